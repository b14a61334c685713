// @connectrpc/connect-web on the HTTP port: gRPC-Web, and Connect's own protocol in binary and in JSON.
const { createConnectTransport, createGrpcWebTransport } = require("@connectrpc/connect-web");
const { GRPC, report } = require("./calls.cjs");
const { digitCalls } = require("./connect_digits.cjs");

const transports = {
  "gRPC-Web": createGrpcWebTransport({ baseUrl: `http://${GRPC}` }),
  "Connect, binary": createConnectTransport({ baseUrl: `http://${GRPC}`, useBinaryFormat: true }),
  "Connect, JSON": createConnectTransport({ baseUrl: `http://${GRPC}` }),
};
const calls = {};
for (const [name, transport] of Object.entries(transports))
  for (const [call, tried] of Object.entries(digitCalls(transport).unary)) calls[`${name}: ${call}`] = tried;
report(calls);
