// @connectrpc/connect-web: Connect's client for browsers with its transport of gRPC-Web, which sends no streams.
const { createGrpcWebTransport } = require("@connectrpc/connect-web");
const { GRPC, report } = require("./calls.cjs");
const { digitCalls } = require("./connect_digits.cjs");

report(digitCalls(createGrpcWebTransport({ baseUrl: `http://${GRPC}` })).unary);
