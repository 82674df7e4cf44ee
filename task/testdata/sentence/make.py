"""Writes cases.json, encoder/ and cross/: small random models, files of sentence-transformers around them, and the vectors,
similarities and scores that it gives.

    pip install sentence-transformers==6.2.0 transformers==5.24.0 torch==2.15.0 && python make.py

cases.json is a list of {name, model, at, files, prompt, prompt_name, vectors, similarities, scores}: the files are put over a copy of the
model, which lies in the folder `at`. Files that are no text are in base64. Numbers are float32.
"""
import base64, json, os, shutil, tempfile
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
H = 8
TEXTS = ['the film was good', 'a joy . a joy ! the film', '', 'Bad Film, Dull!', 'it is a very very long text and it goes on and on to the end', 'm']
PAIRS = [['the film was good', 'a good film'], ['bad', 'a joy ! a joy !']]
WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK]'.split() + [c for c in 'abcdefghijklmnopqrstuvwxyzBDF'] + \
    ['##' + c for c in 'abcdefghijklmnopqrstuvwxyz'] + 'the film was good bad joy dull query . , ! :'.split()


def make_model(folder, kind, **further):
    os.makedirs(folder, exist_ok=True)
    config = BertConfig(vocab_size=len(WORDS), hidden_size=H, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
                        max_position_embeddings=24, initializer_range=0.4, **further)
    model = kind(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p += 0.2 * torch.randn_like(p)
    model.save_pretrained(folder)
    os.chmod(os.path.join(folder, 'model.safetensors'), 0o644)
    vocab = os.path.join(folder, 'vocab.txt')
    open(vocab, 'w').write('\n'.join(WORDS) + '\n')
    config = {'tokenizer_class': 'BertTokenizer', 'do_lower_case': True, 'model_max_length': 20}
    json.dump(config, open(os.path.join(folder, 'tokenizer_config.json'), 'w'))


def saved(module, path):
    """The files that a module writes, under path."""
    with tempfile.TemporaryDirectory() as tmp:
        module.save(tmp)
        return {path + '/' + n: open(os.path.join(tmp, n), 'rb').read() for n in sorted(os.listdir(tmp))}


def modules(*classes, at=''):
    """modules.json as releases before 5.4 write it."""
    paths = [at] + [f'{i + 1}_{c}' for i, c in enumerate(classes)]
    types = ['Transformer', *classes]
    return [{'idx': i, 'name': str(i), 'path': p, 'type': 'sentence_transformers.models.' + t}
            for i, (p, t) in enumerate(zip(paths, types))]


def legacy(*modes, **further):
    """A Pooling's configuration as releases before 5.4 write it."""
    keys = ['cls_token', 'mean_tokens', 'max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken']
    return {'word_embedding_dimension': H} | {'pooling_mode_' + k: k in modes for k in keys} | further


def random_(module):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.6 * torch.randn_like(p))
    return module


def dense(n, m, activation, **further):
    return random_(Dense(n, m, activation_function=activation, **further))


def numbers(x):
    """Nested lists of numbers with the digits that float32 always has."""
    return [numbers(y) for y in x] if isinstance(x, list) else float(f'{x:.7g}')


class Cases(list):
    def add(self, name, files, model='encoder', at='', prompt=None, prompt_name=None, pairs=False):
        plain = {p: (json.dumps(c) if isinstance(c, (dict, list)) else c) for p, c in files.items()}
        with tempfile.TemporaryDirectory() as tmp:
            shutil.copytree(os.path.join(HERE, model), os.path.join(tmp, at), dirs_exist_ok=True)
            for path, content in plain.items():
                path = os.path.join(tmp, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                open(path, 'wb').write(content.encode() if isinstance(content, str) else content)
            case = {'name': name, 'model': model, 'at': at, 'prompt': prompt, 'prompt_name': prompt_name, 'files': {}}
            for path, content in plain.items():
                if isinstance(content, bytes):
                    try:
                        content = content.decode('ascii')
                    except UnicodeDecodeError:
                        content = 'base64:' + base64.b64encode(content).decode()
                case['files'][path] = content
            if model == 'cross':
                m = CrossEncoder(tmp, device='cpu')
                case['scores'] = numbers(m.predict(PAIRS, batch_size=1).tolist())
            else:
                m = SentenceTransformer(tmp, device='cpu')
                case['vectors'] = [numbers(m.encode(t, prompt=prompt, prompt_name=prompt_name).tolist()) for t in TEXTS]
                if pairs:
                    a, b = (m.encode([p[i] for p in PAIRS], batch_size=1) for i in (0, 1))
                    case['similarities'] = numbers(m.similarity_pairwise(a, b).tolist())
        self.append({k: v for k, v in case.items() if v is not None})


torch.manual_seed(7)
make_model(os.path.join(HERE, 'encoder'), BertModel)
make_model(os.path.join(HERE, 'cross'), BertForSequenceClassification, num_labels=1)
cases = Cases()

# Poolings, as written by old releases and by this one.
for mode in Pooling.POOLING_MODES:
    cases.add('pooling ' + mode, {'modules.json': modules('Pooling')} | saved(Pooling(H, mode), '1_Pooling'))
pooled = {'modules.json': modules('Pooling')}
for mode in ['cls_token', 'mean_tokens', 'max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken']:
    cases.add('flag ' + mode, pooled | {'1_Pooling/config.json': legacy(mode)})
cases.add('no flag', pooled | {'1_Pooling/config.json': legacy()})
cases.add('several flags', pooled | {'1_Pooling/config.json': legacy('mean_tokens', 'cls_token', 'lasttoken', 'max_tokens')})
cases.add('modes in another order', pooled | {'1_Pooling/config.json': {'embedding_dimension': H, 'pooling_mode': ['weightedmean', 'cls', 'cls']}})

# Modules after it.
mean = {'1_Pooling/config.json': legacy('mean_tokens')}
for activation in [torch.nn.Tanh(), torch.nn.Identity(), torch.nn.ReLU(), torch.nn.GELU(), torch.nn.Sigmoid(), torch.nn.SiLU(), torch.nn.Mish(),
                   torch.nn.LeakyReLU(), torch.nn.ELU(), torch.nn.SELU(), torch.nn.CELU(), torch.nn.ReLU6(), torch.nn.Softplus(),
                   torch.nn.Softsign(), torch.nn.LogSigmoid(), torch.nn.Hardtanh(), torch.nn.Hardsigmoid(), torch.nn.Hardswish()]:
    name = type(activation).__name__
    cases.add('dense ' + name, {'modules.json': modules('Pooling', 'Dense')} | mean | saved(dense(H, 3, activation), '2_Dense'))
cases.add('dense without bias, normalized', {'modules.json': modules('Pooling', 'Dense', 'Normalize')} | mean | saved(dense(H, 3, None, bias=False), '2_Dense'))
cases.add('dense residuals', {'modules.json': modules('Pooling', 'Dense', 'Dense')} | mean
          | saved(dense(H, H, torch.nn.ReLU(), use_residual=True), '2_Dense') | saved(dense(H, 4, torch.nn.Tanh(), use_residual=True), '3_Dense'))
with tempfile.TemporaryDirectory() as tmp:
    d = dense(H, 4, torch.nn.Tanh())
    torch.save(d.state_dict(), tmp + '/w')
    cases.add('dense of PyTorch', {'modules.json': modules('Pooling', 'Dense')} | mean | {
        '2_Dense/config.json': {'in_features': H, 'out_features': 4, 'bias': True, 'activation_function': 'torch.nn.modules.activation.Tanh'},
        '2_Dense/pytorch_model.bin': open(tmp + '/w', 'rb').read()})
cases.add('dense of tokens', {'modules.json': modules('Dense', 'Pooling')} | {'2_Pooling/config.json': legacy('mean_tokens', 'cls_token')}
          | saved(dense(H, 6, torch.nn.Tanh(), module_input_name='token_embeddings'), '1_Dense'))
cases.add('tokens normalized', {'modules.json': modules('Normalize', 'Pooling'), '2_Pooling/config.json': legacy('max_tokens')}
          | saved(Normalize(module_input_name='token_embeddings'), '1_Normalize'))
cases.add('layer norm and dropout', {'modules.json': modules('Pooling', 'LayerNorm', 'Dropout'), '3_Dropout/config.json': {'dropout': 0.3}}
          | mean | saved(random_(LayerNorm(H)), '2_LayerNorm'))

# Texts: prompts, length, case, and the dimensions that are kept.
prompts = {'prompts': {'query': 'query : ', 'joy': 'a joy '}, 'default_prompt_name': 'query'}
every = list(Pooling.POOLING_MODES)
for include in [True, False]:
    around = pooled | {'config_sentence_transformers.json': prompts,
                       '1_Pooling/config.json': {'embedding_dimension': H, 'pooling_mode': 'mean' if include else every, 'include_prompt': include}}
    word = 'with' if include else 'without'
    cases.add(f'default prompt, {word} it', around)
    cases.add(f'named prompt, {word} it', around, prompt_name='joy')
    cases.add(f'own prompt, {word} it', around, prompt='the ')
    cases.add(f'no prompt, {word} it', around, prompt='')
    cases.add(f'prompt that fills the sequence, {word} it', around | {'sentence_bert_config.json': {'max_seq_length': 5}}, prompt='a b c d e f g')
# With the text m it is one word: fewer tokens than the prompt has alone, so none is left to pool.
cases.add('prompt that joins the text', pooled | {'1_Pooling/config.json': {'pooling_mode': ['mean', 'lasttoken', 'cls', 'weightedmean', 'mean_sqrt_len_tokens'],
                                                                            'embedding_dimension': H, 'include_prompt': False}}, prompt='fil')
cases.add('length', pooled | mean | {'sentence_bert_config.json': {'max_seq_length': 6, 'do_lower_case': False}})
cases.add('length of another name', pooled | mean | {'sentence_roberta_config.json': {'max_seq_length': 7, 'do_lower_case': False}})
cases.add('length of the tokenizer', pooled | mean | {'sentence_bert_config.json': {'max_seq_length': None, 'tokenizer_args': {'model_max_length': 8}}})
cased = {'tokenizer_config.json': {'tokenizer_class': 'BertTokenizer', 'do_lower_case': False, 'model_max_length': 20}}
cases.add('cased', pooled | mean | cased)
cases.add('lower-cased', pooled | mean | cased | {'sentence_bert_config.json': {'max_seq_length': 20, 'do_lower_case': True}})
cases.add('first dimensions', pooled | mean | {'config_sentence_transformers.json': {'truncate_dim': 3}})
cases.add('encoder in a folder', {'modules.json': modules('Pooling', at='0_Transformer')} | mean
          | {'0_Transformer/sentence_bert_config.json': {'max_seq_length': 6, 'do_lower_case': False}}, at='0_Transformer')
for name in ['cosine', 'dot', 'euclidean', 'manhattan']:
    cases.add('similarity ' + name, pooled | mean | {'config_sentence_transformers.json': {'similarity_fn_name': name}}, pairs=True)

# As this release writes a whole folder, but for the encoder's own files.
with tempfile.TemporaryDirectory() as tmp:
    m = SentenceTransformer(modules=[Transformer(os.path.join(HERE, 'encoder')), Pooling(H, ('mean', 'cls')), dense(2 * H, 4, torch.nn.Tanh()), Normalize()],
                            device='cpu', prompts={'query': 'query : '})
    m.save(tmp, create_model_card=False)
    files = {os.path.relpath(os.path.join(d, f), tmp): open(os.path.join(d, f), 'rb').read()
             for d, _, names in os.walk(tmp) for f in names if d != tmp or 'sentence' in f or f == 'modules.json'}
    cases.add('whole folder', dict(sorted(files.items())))

# Cross-encoders.
config = json.load(open(os.path.join(HERE, 'cross', 'config.json')))
identity, sigmoid, tanh = ('torch.nn.modules.linear.Identity', 'torch.nn.modules.activation.Sigmoid', 'torch.nn.modules.activation.Tanh')
for name, keys in {
    'section without activation': {'sentence_transformers': {'version': '4.0.1'}},
    'section': {'sentence_transformers': {'activation_fn': identity, 'version': '4.0.1'}},
    'section and older key': {'sentence_transformers': {'activation_fn': sigmoid}, 'sbert_ce_default_activation_function': identity},
    'older key': {'sbert_ce_default_activation_function': identity},
    'older key, tanh': {'sbert_ce_default_activation_function': tanh},
    'older key null': {'sbert_ce_default_activation_function': None, 'sentence_transformers': {}},
}.items():
    cases.add('cross-encoder: ' + name, {'config.json': config | keys}, model='cross')
with tempfile.TemporaryDirectory() as tmp:
    m = CrossEncoder(os.path.join(HERE, 'cross'), device='cpu', activation_fn=torch.nn.Tanh())
    m.save(tmp)
    files = {f: open(os.path.join(tmp, f), 'rb').read() for f in os.listdir(tmp) if 'sentence' in f or f == 'modules.json'}
    cases.add('cross-encoder: whole folder', dict(sorted(files.items())), model='cross')

text = '[\n' + ',\n'.join(json.dumps(c) for c in cases) + '\n]\n'
open(os.path.join(HERE, 'cases.json'), 'w').write(text)
print(len(cases), 'cases,', len(text), 'bytes')
