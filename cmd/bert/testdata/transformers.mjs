// Runs exported models in transformers.js, Hugging Face's own library, for TestGoldenTransformers:
// node transformers.mjs MODULES FOLDER TEXT ... > results.json
//
// MODULES is the folder of node_modules, FOLDER that of the models "classifier", "mlm" and "encoder".
import { createRequire } from 'node:module';

const [, , modules, folder, ...texts] = process.argv;
const require = createRequire(modules + '/package.json');
const path = require.resolve('@huggingface/transformers').replace(/cjs$/, 'mjs');
const { pipeline, env } = await import(path);
env.allowRemoteModels = false;
env.localModelPath = folder;
const options = { subfolder: '', dtype: 'fp32' };

const classify = await pipeline('text-classification', 'classifier', options);
const fill = await pipeline('fill-mask', 'mlm', options);
const extract = await pipeline('feature-extraction', 'encoder', options);
const vectors = await extract(texts, { pooling: 'mean' });
const width = vectors.dims[1];
console.log(JSON.stringify({
  labels: await classify(texts, { top_k: null }),
  tokens: (await fill(texts[0] + ' [MASK]', { top_k: 3 })).map((c) => c.score),
  vectors: texts.map((_, i) => Array.from(vectors.data.slice(i * width, (i + 1) * width))),
}));
