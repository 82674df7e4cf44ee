// Runs ONNX models in ONNX Runtime, for TestGoldenONNXRuntime: node onnxruntime.js FOLDER < runs.json > results.json
//
// FOLDER is that of the node modules. runs.json is a list of {model, shape, inputs: {name: [number]}}, all inputs int64 of
// one shape. results.json is a list of {output: [number]}.
const { createRequire } = require('node:module');
const fs = require('node:fs');
const ort = createRequire(process.argv[2] + '/package.json')('onnxruntime-node');

async function main() {
  const results = [];
  for (const { model, shape, inputs } of JSON.parse(fs.readFileSync(0))) {
    const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1 });
    const feeds = {};
    for (const [name, values] of Object.entries(inputs)) {
      feeds[name] = new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
    }
    const outputs = await session.run(feeds);
    results.push(Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, Array.from(t.data)])));
  }
  fs.writeFileSync(1, JSON.stringify(results));
}

main();
