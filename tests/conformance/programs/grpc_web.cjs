// grpc-web, Google's client for browsers, in both of its forms; node gets a browser's XMLHttpRequest from xhr2.
globalThis.XMLHttpRequest = require("xhr2");
const path = require("path");
const { GrpcWebClientBase, MethodDescriptor, MethodType, StatusCode } = require("grpc-web");
const protobuf = require("protobufjs");
const { GRPC, PIXELS, ROOT, report } = require("./calls.cjs");

const root = protobuf.loadSync(path.join(ROOT, "protos/mnist/v1/digits.proto"));
const Request = root.lookupType("mnist.v1.ClassifyRequest");
const Response = root.lookupType("mnist.v1.ClassifyResponse");
const name = "/mnist.v1.DigitClassifier/Classify";
const encode = (request) => Request.encode(request).finish();
const method = new MethodDescriptor(name, MethodType.UNARY, Object, Object, encode, (bytes) => Response.decode(bytes));

const classify = async (format, images) => {
  const client = new GrpcWebClientBase({ format });
  const response = await client.unaryCall(`http://${GRPC}${name}`, { images }, {}, method);
  return response.predictions.map((each) => each.digit);
};

report({
  "Classify, binary": [() => classify("binary", [{ pixels: PIXELS }]), [2]],
  "Classify, text": [() => classify("text", [{ pixels: PIXELS }]), [2]],
  "no image": [() => classify("text", []).catch((error) => error.code), StatusCode.INVALID_ARGUMENT],
});
