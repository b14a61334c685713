// @grpc/grpc-js with @grpc/proto-loader: unary calls, a stream, an error.
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { GRPC, PIXELS, ROOT, report } = require("./calls.cjs");

const options = { keepCase: true, longs: Number, includeDirs: [ROOT] };
const load = (file) => grpc.loadPackageDefinition(loader.loadSync(file, options));
const plain = grpc.credentials.createInsecure();
const digits = new (load("protos/mnist/v1/digits.proto").mnist.v1.DigitClassifier)(GRPC, plain);
const inference = new (load("protos/inference/open_inference.proto").inference.GRPCInferenceService)(GRPC, plain);

const unary = (client, method, request) =>
  new Promise((resolve, reject) => {
    const done = (error, response) => (error ? reject(error) : resolve(response));
    client[method](request, { deadline: Date.now() + 10000 }, done);
  });
const classify = async (images) => (await unary(digits, "Classify", { images })).predictions.map((each) => each.digit);

const stream = () =>
  new Promise((resolve, reject) => {
    const call = digits.ClassifyStream({ deadline: Date.now() + 10000 });
    const ids = [];
    call.on("data", (response) => ids.push(response.id));
    call.on("error", reject);
    call.on("end", () => resolve(ids.sort()));
    for (const id of [1, 2]) call.write({ id, request: { images: [{ pixels: PIXELS }] } });
    call.end();
  });

const infer = async () => {
  const inputs = [{ name: "pixels", datatype: "UINT8", shape: [1, 784] }];
  const request = { model_name: "mnist", inputs, outputs: [{ name: "digit" }], raw_input_contents: [PIXELS] };
  return Number((await unary(inference, "ModelInfer", request)).raw_output_contents[0].readBigInt64LE());
};

report({
  Classify: [() => classify([{ pixels: PIXELS }]), [2]],
  ClassifyStream: [stream, [1, 2]],
  "no image": [() => classify([]).catch((error) => error.code), grpc.status.INVALID_ARGUMENT],
  ServerReady: [async () => (await unary(inference, "ServerReady", {})).ready, true],
  ModelInfer: [infer, 2],
});
