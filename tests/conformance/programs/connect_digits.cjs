// Calls of Connect's clients, over any of their transports.
const fs = require("fs");
const path = require("path");
const { create, createFileRegistry, fromBinary } = require("@bufbuild/protobuf");
const { FileDescriptorProtoSchema, FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { createClient, Code } = require("@connectrpc/connect");
const { PIXELS, ROOT } = require("./calls.cjs");

const description = fs.readFileSync(path.join(ROOT, "client/mnist_digits/digits.binpb"));
const file = fromBinary(FileDescriptorProtoSchema, description);
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));

const image = { form: { case: "pixels", value: PIXELS } };

function digitCalls(transport) {
  const client = createClient(registry.getService("mnist.v1.DigitClassifier"), transport);
  const classify = async (images) =>
    (await client.classify({ images }, { timeoutMs: 10000 })).predictions.map((each) => each.digit);
  const stream = async () => {
    async function* requests() {
      for (const id of [1n, 2n]) yield { id, request: { images: [image] } };
    }
    const ids = [];
    for await (const response of client.classifyStream(requests(), { timeoutMs: 10000 })) ids.push(Number(response.id));
    return ids.sort();
  };
  return {
    unary: {
      Classify: [() => classify([image]), [2]],
      GetModel: [async () => (await client.getModel({})).name, "mnist"],
      "no image": [() => classify([]).catch((error) => Code[error.code]), "InvalidArgument"],
    },
    stream: { ClassifyStream: [stream, [1, 2]] },
  };
}

module.exports = { digitCalls };
