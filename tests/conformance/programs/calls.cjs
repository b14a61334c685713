// What the programs of JavaScript share: a picture's pixels, and one line of JSON with the outcome of each call.
const fs = require("fs");
const path = require("path");

const ROOT = path.join(__dirname, "../../..");
const [GRPC, HTTP] = process.argv.slice(2);

// calls: {name: [function, the result it must have]}
async function report(calls) {
  const outcomes = {};
  for (const [name, [call, expected]] of Object.entries(calls)) {
    try {
      const found = JSON.stringify(await call());
      const wanted = JSON.stringify(expected);
      outcomes[name] = found === wanted ? "ok" : `expected ${wanted}, got ${found}`;
    } catch (error) {
      outcomes[name] = `${error.name}: ${error.message}`;
    }
  }
  console.log(JSON.stringify(outcomes));
  process.exit(0); // clients keep connections, which keep node running
}

const PIXELS = fs.readFileSync(path.join(ROOT, "samples/raw-28x28-2.bin")); // a 2
module.exports = { GRPC, HTTP, PIXELS, ROOT, report };
