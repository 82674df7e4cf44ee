"""Writes a small random classifier and what transformers and captum make of it.

    pip install torch==2.15.0 transformers==5.24.0 captum==0.9.0 safetensors
    python make.py

The model is BERT with 2 layers of width 16; its weights are large enough for its answers to depend on the text. captum.json has, for
each text, the attributions of the tokens, summed over the embedding, of each label's logit, and the attention probabilities.
"""

import json
import pathlib

import captum
import torch
import transformers
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a film was is good bad not dull joy ##ful ##ly . , ! very actor s and".split()
labels = ["neg", "neutral", "pos"]
texts = ["the film was not good .", "a joyful actor , very badly dull !", "joy", "the actor is good and the film is bad"]

torch.manual_seed(7)
config = transformers.BertConfig(
    vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=16, type_vocab_size=2, num_labels=3, id2label=dict(enumerate(labels)),
    label2id={l: i for i, l in enumerate(labels)}, attn_implementation="eager",
)
model = transformers.BertForSequenceClassification(config).eval()
with torch.no_grad():
    for name, p in model.named_parameters():
        if "LayerNorm" not in name:
            p.normal_(0, 0.25)

(here / "vocab.txt").write_text("\n".join(words) + "\n")
(here / "tokenizer_config.json").write_text('{"do_lower_case": true, "tokenizer_class": "BertTokenizer"}\n')
settings = config.to_diff_dict()
settings["architectures"] = ["BertForSequenceClassification"]
for key in ("dtype", "transformers_version", "attn_implementation"):
    settings.pop(key, None)
(here / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
save_file({k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}, str(here / "model.safetensors"))


def pieces(text):
    """WordPiece, longest match first, of words between blanks and punctuation."""
    out = []
    for word in text.split():
        at = 0
        while at < len(word):
            end = len(word)
            while end > at and ("##" if at else "") + word[at:end] not in words:
                end -= 1
            assert end > at, word
            out.append(("##" if at else "") + word[at:end])
            at = end
    return ["[CLS]"] + out + ["[SEP]"]


def forward(ids):
    return model(input_ids=ids).logits


embeddings = model.bert.embeddings.word_embeddings
golden = {"versions": {"captum": captum.__version__, "torch": torch.__version__, "transformers": transformers.__version__}, "texts": []}
for text in texts:
    tokens = pieces(text)
    ids = torch.tensor([[words.index(t) for t in tokens]])
    baseline = ids.clone()
    baseline[0, 1:-1] = words.index("[PAD]")
    entry = {"text": text, "tokens": tokens, "logits": forward(ids)[0].tolist(), "integrated": [], "gradient_input": []}
    for label in range(len(labels)):
        ig = LayerIntegratedGradients(forward, embeddings)
        a = ig.attribute(ids, baselines=baseline, target=label, n_steps=50, method="gausslegendre")
        entry["integrated"].append(a.sum(-1)[0].tolist())
        gx = LayerGradientXActivation(forward, embeddings).attribute(ids, target=label)
        entry["gradient_input"].append(gx.sum(-1)[0].tolist())
    entry["attention"] = [layer[0].tolist() for layer in model(input_ids=ids, output_attentions=True).attentions]
    golden["texts"].append(entry)
(here / "captum.json").write_text(json.dumps(golden) + "\n")
