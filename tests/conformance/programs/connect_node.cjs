// @connectrpc/connect-node: Connect's client with its transport of gRPC.
const { createGrpcTransport } = require("@connectrpc/connect-node");
const { GRPC, report } = require("./calls.cjs");
const { digitCalls } = require("./connect_digits.cjs");

const { unary, stream } = digitCalls(createGrpcTransport({ baseUrl: `http://${GRPC}` }));
report({ ...unary, ...stream });
