// What the clients of npm get: `node clients.mjs URL EXPECTED.json` prints an object of answers by names of checks, which clients.py compares.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { InferenceClient } from "@huggingface/inference";

const [url, file] = process.argv.slice(2);
const of = JSON.parse(readFileSync(file, "utf8"));
const openai = new OpenAI({ baseURL: url + "/v1", apiKey: "none" });
const hf = model => new InferenceClient(undefined, { endpointUrl: `${url}/models/${model}` });

const checks = {
  "openai (npm), embeddings": async () => (await openai.embeddings.create({ model: "vectors", input: of.texts })).data.map(d => d.embedding),
  "openai (npm), floats": async () => (await openai.embeddings.create({ model: "vectors", input: of.texts, encoding_format: "float" })).data.map(d => d.embedding),
  "@huggingface/inference, featureExtraction": () => hf("vectors").featureExtraction({ inputs: of.texts, normalize: true }),
  "@huggingface/inference, sentenceSimilarity": () => hf("vectors").sentenceSimilarity({ inputs: { source_sentence: of.texts[0], sentences: of.texts } }),
  "@huggingface/inference, textClassification": () => hf("classes").textClassification({ inputs: of.texts[0], parameters: { top_k: 3 } }),
  "@huggingface/inference, tokenClassification": () => hf("ner").tokenClassification({ inputs: of.entities }),
  "@huggingface/inference, questionAnswering": () => hf("qa").questionAnswering({ inputs: of.question }),
  "@huggingface/inference, fillMask": () => hf("mlm").fillMask({ inputs: of.masked }),
  "@huggingface/inference, zeroShotClassification": () => hf("nli").zeroShotClassification({ inputs: of.texts[0], parameters: { candidate_labels: of.labels } }),
};

const answers = {};
for (const [name, ask] of Object.entries(checks)) {
  try {
    answers[name] = { answer: await ask() };
  } catch (e) {
    answers[name] = { error: String(e) };
  }
}
console.log(JSON.stringify(answers));
