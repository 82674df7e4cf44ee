"""Writes what the formula of Chefer, Gur and Wolf (2021, equations 5 and 6) makes of the model of make.py, with gradients by
differences.

    pip install numpy==2.4.6
    python chefer.py

The model is computed in float64 by the loops below. Of each label's logit, each probability of each head is moved by 1e-5 both
ways, with the others as they are, which gives the gradient at the probabilities without a backward pass. chefer.json has R after
the last layer, [labels,n,n], for each text of captum.json.
"""

import json
import math
import pathlib
import struct

import numpy as np

here = pathlib.Path(__file__).parent
raw = (here / "model.safetensors").read_bytes()
size = struct.unpack("<Q", raw[:8])[0]
weights = {
    name: np.frombuffer(raw[8 + size :][t["data_offsets"][0] : t["data_offsets"][1]], dtype="<f4").reshape(t["shape"]).astype(np.float64)
    for name, t in json.loads(raw[8 : 8 + size]).items()
    if name != "__metadata__"
}
config = json.loads((here / "config.json").read_text())
vocab = (here / "vocab.txt").read_text().split("\n")
layers, heads, eps = 2, 2, config.get("layer_norm_eps", 1e-12)
erf = np.vectorize(math.erf)


def dense(x, name):
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def norm(x, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weights[name + ".weight"] + weights[name + ".bias"]


def forward(ids, moved=None):
    """The logits and the probabilities [L,A,n,n], of which moved = (layer, head, from, to, by) moves one."""
    e = "bert.embeddings."
    x = weights[e + "word_embeddings.weight"][ids] + weights[e + "position_embeddings.weight"][: len(ids)]
    x = norm(x + weights[e + "token_type_embeddings.weight"][0], e + "LayerNorm")
    all_probabilities = []
    for l in range(layers):
        p = f"bert.encoder.layer.{l}."
        q, k, v = (dense(x, p + "attention.self." + w).reshape(len(ids), heads, -1).swapaxes(0, 1) for w in ("query", "key", "value"))
        scores = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        probabilities = np.exp(scores - scores.max(-1, keepdims=True))
        probabilities /= probabilities.sum(-1, keepdims=True)
        all_probabilities.append(probabilities.copy())
        if moved and moved[0] == l:
            probabilities[moved[1:4]] += moved[4]
        context = (probabilities @ v).swapaxes(0, 1).reshape(len(ids), -1)
        x = norm(x + dense(context, p + "attention.output.dense"), p + "attention.output.LayerNorm")
        inner = dense(x, p + "intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = norm(x + dense(inner, p + "output.dense"), p + "output.LayerNorm")
    pooled = np.tanh(dense(x[:1], "bert.pooler.dense"))
    return dense(pooled, "classifier")[0], np.array(all_probabilities)


golden = {"versions": {"numpy": np.__version__}, "texts": []}
for entry in json.loads((here / "captum.json").read_text())["texts"]:
    ids = [vocab.index(t) for t in entry["tokens"]]
    n = len(ids)
    logits, probabilities = forward(ids)
    assert np.abs(logits - entry["logits"]).max() < 1e-5, "the loops are not the model"
    gradient = np.zeros((len(logits), layers, heads, n, n))
    h = 1e-5
    for place in np.ndindex(layers, heads, n, n):
        gradient[(slice(None), *place)] = (forward(ids, (*place, h))[0] - forward(ids, (*place, -h))[0]) / (2 * h)
    relevance = []
    for label in range(len(logits)):
        r = np.eye(n)
        for l in range(layers):
            r = r + np.maximum(gradient[label, l] * probabilities[l], 0).mean(0) @ r
        relevance.append(r.tolist())
    golden["texts"].append({"text": entry["text"], "relevance": relevance})
(here / "chefer.json").write_text(json.dumps(golden) + "\n")
