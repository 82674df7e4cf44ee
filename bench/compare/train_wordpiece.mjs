// Trains WordPiece with tokenizers on a file: 30,000 tokens, any frequency, all characters. Its binding for Node has no other
// options. Arguments: the folder with node_modules, and the file.
import fs from 'fs';
import path from 'path';
import { createRequire } from 'module';

const [folder, file] = process.argv.slice(-2);
const { Tokenizer } = createRequire(path.resolve(folder) + '/')('tokenizers');
const tokenizer = Tokenizer.fromString(JSON.stringify({
  version: '1.0', truncation: null, padding: null, added_tokens: [],
  normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
  pre_tokenizer: { type: 'BertPreTokenizer' }, post_processor: null, decoder: null,
  model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: { '[UNK]': 0 } },
}));
const begun = performance.now();
tokenizer.train([file]);
const seconds = (performance.now() - begun) / 1e3;
const size = Object.keys(tokenizer.getVocab()).length;
console.log(`${size} tokens: ${(fs.statSync(file).size / 1e6 / seconds).toFixed(4)} MB/s maxRSS ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
process.exit(0);
