// Types that openapi-typescript makes of our description, compiled in a program of openapi-fetch, and that program run.
const { execFileSync } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");
const { HTTP, ROOT, report } = require("./calls.cjs");

const modules = process.env.NODE_PATH;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "openapi-"));
fs.symlinkSync(modules, path.join(folder, "node_modules"));
fs.writeFileSync(path.join(folder, "package.json"), '{"type": "module"}');
fs.writeFileSync(path.join(folder, "program.ts"), `
import createClient from "openapi-fetch";
import { readFileSync } from "node:fs";
import type { paths } from "./api";
const client = createClient<paths>({ baseUrl: "http://${HTTP}" });
const image = readFileSync("${path.join(ROOT, "samples/black-on-white-3.png")}").toString("base64");
const one = await client.POST("/v1/classify", { body: { image } });
const many = await client.POST("/v1/classify", { body: { images: [image, image] } });
const wrong = await client.POST("/v1/classify", { body: { image: "%" } });
const digit = one.data && "digit" in one.data ? one.data.digit : one.error;
const digits = many.data && "predictions" in many.data ? many.data.predictions.map((each) => each.digit) : many.error;
console.log(JSON.stringify({ digit, digits, code: wrong.error?.code }));
`);
const run = (script, ...words) =>
  execFileSync(process.execPath, [script, ...words], { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

let seen;
try {
  const bin = (name) => path.join(modules, ".bin", name);
  run(bin("openapi-typescript"), `http://${HTTP}/openapi.json`, "-o", "api.ts");
  run(bin("tsc"), ..."--module esnext --target es2022 --moduleResolution bundler --strict --skipLibCheck program.ts".split(" "));
  seen = JSON.parse(run("program.js"));
} catch (error) {
  seen = { failure: `${error.message} ${error.stdout ?? ""}`.slice(0, 500) };
} finally {
  fs.rmSync(folder, { recursive: true });
}
report({
  picture: [() => seen.digit ?? seen.failure, 3],
  pictures: [() => seen.digits ?? seen.failure, [3, 3]],
  error: [() => seen.code ?? seen.failure, "INVALID_ARGUMENT"],
});
