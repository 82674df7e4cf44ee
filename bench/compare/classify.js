// Classifies texts with ONNX Runtime and Hugging Face's tokenizers, as a Node.js program would: batches in the order of the
// texts, padded to the longest text of the batch.
//
//	node - MODULES MODEL.onnx tokenizer.json TEXTS batch threads seconds <classify.js
//
// MODULES is the folder that contains node_modules. It prints the milliseconds from the start of the process to the first label,
// for the first text alone, and then, unless seconds is 0, a line for the passes over all texts.
const { createRequire } = require('module');
const fs = require('fs');
const path = require('path');

const [, , modules, model, tokenizer, file, batch, threads, seconds] = process.argv;
const from = createRequire(path.resolve(modules, 'package.json'));
const ort = from('onnxruntime-node');
const { Tokenizer, PaddingDirection } = from('tokenizers');

const texts = fs.readFileSync(file, 'utf8').split('\n').filter((line) => line.length > 0);
const longest = 512; // positions of the model

function tensor(rows, width) {
  const data = new BigInt64Array(rows.length * width);
  rows.forEach((row, i) => row.forEach((v, j) => { data[i * width + j] = BigInt(v); }));
  return new ort.Tensor('int64', data, [rows.length, width]);
}

async function classify(session, t, part) {
  const encodings = await t.encodeBatch(part, { addSpecialTokens: true });
  const ids = encodings.map((e) => e.getIds());
  const width = ids[0].length;
  const { logits } = await session.run({
    input_ids: tensor(ids, width),
    token_type_ids: tensor(encodings.map((e) => e.getTypeIds()), width),
    attention_mask: tensor(encodings.map((e) => e.getAttentionMask()), width),
  });
  const classes = logits.dims[1];
  const labels = [];
  for (let i = 0; i < part.length; i++) {
    const row = logits.data.subarray(i * classes, (i + 1) * classes);
    labels.push(row.indexOf(Math.max(...row)));
  }
  return labels;
}

async function main() {
  const t = Tokenizer.fromFile(tokenizer);
  t.setTruncation(longest);
  t.setPadding({ direction: PaddingDirection.Right, padId: 0, padTypeId: 0, padToken: '[PAD]' }); // to the longest
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['cpu'], graphOptimizationLevel: 'all', executionMode: 'sequential',
    intraOpNumThreads: Number(threads), interOpNumThreads: 1,
  });
  await classify(session, t, texts.slice(0, 1));
  console.log(`first ${performance.now().toFixed(3)} ms`);
  if (Number(seconds) > 0) {
    const times = [];
    const counts = [];
    const pass = async () => {
      counts.length = 0;
      for (let i = 0; i < texts.length; i += Number(batch)) {
        for (const label of await classify(session, t, texts.slice(i, i + Number(batch)))) {
          counts[label] = (counts[label] || 0) + 1;
        }
      }
    };
    await pass();
    for (const end = performance.now() + 1e3 * Number(seconds); performance.now() < end || times.length < 3;) {
      const begun = performance.now();
      await pass();
      times.push(performance.now() - begun);
    }
    times.sort((a, b) => a - b);
    const memory = process.resourceUsage().maxRSS / 1024;
    const labels = Array.from(counts, (n) => n || 0).join(' ');
    console.log(`texts ${texts.length} p50 ${times[times.length >> 1].toFixed(3)} ms labels ${labels}; maxRSS ${memory.toFixed(0)} MB`);
  }
  process.exit(0);
}

main();
