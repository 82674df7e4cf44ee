#!/usr/bin/env python3
"""Makes testdata/golden: requests to the server with the answers of transformers on the same weights.

    go test ./serve -run TestSaveModels -models DIR      # writes the small models
    make.py DIR                                          # writes golden/*.json beside this script

Needs torch, numpy and transformers 4.57 (5 has no pipeline of question answering any more). Scores are rounded to 7 digits.
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
from transformers import (AutoModel, AutoModelForMaskedLM, AutoModelForMultipleChoice, AutoModelForQuestionAnswering,
                          AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer, pipeline)

MODELS = pathlib.Path(sys.argv[1])
OUT = pathlib.Path(__file__).parent / "golden"
HEADS = {"encoder": AutoModel, "classifier": AutoModelForSequenceClassification, "multilabel": AutoModelForSequenceClassification,
         "regression": AutoModelForSequenceClassification, "reranker": AutoModelForSequenceClassification,
         "nli": AutoModelForSequenceClassification, "tagger": AutoModelForTokenClassification, "reader": AutoModelForQuestionAnswering,
         "masked": AutoModelForMaskedLM, "chooser": AutoModelForMultipleChoice}

torch.manual_seed(0)
models = {name: head.from_pretrained(MODELS / name).eval() for name, head in HEADS.items()}
tokenizers = {name: AutoTokenizer.from_pretrained(MODELS / name) for name in HEADS}


def pipe(task, name, **more):
    return pipeline(task, model=models[name], tokenizer=tokenizers[name], device="cpu", **more)


def rounded(x):
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [rounded(v) for v in x]
    if isinstance(x, (float, np.floating)):
        return float(f"{float(x):.7g}")
    if isinstance(x, np.integer):
        return int(x)
    return x


def states(text, pair=None, name="encoder", **more):
    with torch.no_grad():
        enc = tokenizers[name](text, pair, return_tensors="pt", truncation=True, **more)
        return models[name](**enc)


def vector(text, normalize=True, side="right", dimensions=None):
    t = tokenizers["encoder"]
    t.truncation_side = side
    v = states(text).last_hidden_state[0].mean(0)
    t.truncation_side = "right"
    # The folder of the model normalizes.
    v = v / v.norm()
    if dimensions:
        v = v[:dimensions]
        if normalize:
            v = v / v.norm()
    return v.tolist()


def logits(name, text, pair=None):
    return states(text, pair, name).logits[0]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


files = {}


def case(file, name, models, path, request, response, method="POST"):
    files.setdefault(file, []).append({"name": name, "models": models, "method": method, "path": path, "request": request,
                                       "response": rounded(response)})


TEXTS = ["The film was good.", "Ana lives in Paris!", "bad"]
LONG = " ".join(["joy dull film good bad ."] * 12)

# --- vectors
E = ["encoder"]
case("tei", "a text", E, "/embed", {"inputs": TEXTS[0]}, [vector(TEXTS[0])])
case("tei", "texts", E, "/embed", {"inputs": TEXTS, "unknown": {"a": [1]}}, [vector(t) for t in TEXTS])
case("tei", "ids", E, "/embed", {"inputs": [tokenizers["encoder"](t)["input_ids"] for t in TEXTS]}, [vector(t) for t in TEXTS])
case("tei", "a long text", E, "/embed", {"inputs": LONG}, [vector(LONG)])
case("tei", "its end", E, "/embed", {"inputs": LONG, "truncate": True, "truncation_direction": "Left"}, [vector(LONG, side="left")])
case("tei", "a prompt", E, "/embed", {"inputs": ["ana"], "prompt_name": "query"}, [vector("who: ana")])
case("tei", "tokens", E, "/embed_all", {"inputs": TEXTS[:2]}, [states(t).last_hidden_state[0].tolist() for t in TEXTS[:2]])
u = [vector(t) for t in TEXTS]
cosines = [float(np.dot(u[0], v)) for v in u[1:]]
case("tei", "similarity", E, "/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}, cosines)
sparse = []
for t in TEXTS[:2]:
    w = torch.log1p(torch.relu(logits("masked", t))).max(0).values
    sparse.append([{"index": i, "value": x} for i, x in enumerate(w.tolist()) if x > 0])
case("tei", "sparse", ["masked"], "/embed_sparse", {"inputs": TEXTS[:2]}, sparse)


def usage(n):
    return {"prompt_tokens": n, "total_tokens": n}


def tokens(*texts, pair=None):
    return sum(len(tokenizers["encoder"](t)["input_ids"]) for t in texts)


def openai(vectors, n):
    return {"object": "list", "model": "encoder", "data": [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)],
            "usage": usage(n)}


case("openai", "a text", E, "/v1/embeddings", {"model": "encoder", "input": TEXTS[0], "user": "u"}, openai([vector(TEXTS[0])], tokens(TEXTS[0])))
case("openai", "texts", E, "/embeddings", {"model": "encoder", "input": TEXTS, "encoding_format": "float"}, openai(u, tokens(*TEXTS)))

# --- classification
T = tokenizers["encoder"]


def classifier(name):
    p = pipe("text-classification", name, top_k=None)
    # Of a text alone the pipeline gives a list of a list.
    return lambda x, **more: p(x, **more)[0] if isinstance(x, str) else p(x, **more)


classify = {n: classifier(n) for n in ("classifier", "multilabel", "regression", "reranker")}
for n in classify:
    one = classify[n](TEXTS[0])
    pair = classify[n]({"text": TEXTS[0], "text_pair": TEXTS[1]})
    case("tei", "predict " + n, [n], "/predict", {"inputs": TEXTS[0]}, one)
    case("tei", "predict pairs " + n, [n], "/predict", {"inputs": [[TEXTS[0], TEXTS[1]], [TEXTS[0]]]}, [pair, one])
    case("hf", "classification " + n, [n], "/", {"inputs": TEXTS[0]}, [one])
    case("hf", "classification of texts " + n, E + [n], f"/models/{n}", {"inputs": TEXTS}, [classify[n](t) for t in TEXTS])
    case("hf", "classification of a pair " + n, E + [n], f"/models/{n}/pipeline/text-classification",
         {"inputs": {"text": TEXTS[0], "text_pair": TEXTS[1]}, "parameters": {"top_k": 1}}, [pair[:1]])
    for f in ("none", "sigmoid", "softmax"):
        case("hf", f"classification by {f} {n}", [n], "/", {"inputs": TEXTS[0], "parameters": {"function_to_apply": f}},
             [classify[n](TEXTS[0], function_to_apply=f)])
case("tei", "a pair", ["classifier"], "/predict", {"inputs": [TEXTS[0], TEXTS[1]], "raw_scores": True},
     sorted([{"label": models["classifier"].config.id2label[i], "score": x} for i, x in enumerate(logits("classifier", TEXTS[0], TEXTS[1]).tolist())],
            key=lambda x: -x["score"]))
case("rerank", "classify", ["classifier"], "/classify", {"model": "classifier", "input": TEXTS},
     {"object": "classify", "model": "classifier", "data": [classify["classifier"](t) for t in TEXTS], "usage": usage(tokens(*TEXTS))})

# --- rerank
QUERY = "who lives where?"
raw = [logits("reranker", QUERY, t)[0].item() for t in TEXTS]
order = sorted(range(len(raw)), key=lambda i: -raw[i])
R = ["reranker"]
n = sum(len(T(QUERY, t)["input_ids"]) for t in TEXTS)
case("tei", "rerank", R, "/rerank", {"query": QUERY, "texts": TEXTS}, [{"index": i, "score": sigmoid(raw[i])} for i in order])
case("tei", "rerank raw", R, "/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True},
     [{"index": i, "score": raw[i], "text": TEXTS[i]} for i in order])
results = [{"index": i, "relevance_score": sigmoid(raw[i])} for i in order]
meta = {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}}
for path in ("/rerank", "/v1/rerank", "/reranking", "/v1/reranking"):
    case("rerank", path, R, path, {"model": "reranker", "query": QUERY, "documents": TEXTS},
         {"object": "list", "model": "reranker", "usage": usage(n), "results": results, "meta": meta})
case("rerank", "documents", R, "/v1/rerank", {"query": QUERY, "documents": [{"text": t, "id": i} for i, t in enumerate(TEXTS)], "top_n": 2,
                                              "return_documents": True},
     {"object": "list", "model": "reranker", "usage": usage(n), "meta": meta,
      "results": [dict(r, document={"text": TEXTS[r["index"]]}) for r in results[:2]]})
case("rerank", "cohere", R, "/v2/rerank", {"model": "reranker", "query": QUERY, "documents": TEXTS, "top_n": 1, "max_tokens_per_doc": 4096},
     {"results": results[:1], "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}})

# --- tokens
def simple(text, special=True):
    e = T(text, add_special_tokens=special, return_offsets_mapping=True, return_special_tokens_mask=True)
    # The library counts characters, text-embeddings-inference bytes.
    at = [len(text[:i].encode()) for i in range(len(text) + 1)]
    out = []
    for i, (a, b), s in zip(e["input_ids"], e["offset_mapping"], e["special_tokens_mask"]):
        if s and (a, b) == (0, 0):
            out.append({"id": i, "text": T.convert_ids_to_tokens(i), "special": True, "start": None, "stop": None})
        else:
            out.append({"id": i, "text": text[a:b], "special": False, "start": at[a], "stop": at[b]})
    return out


WIDE = "é 日😀 Ana lives, unknown✓ 𝕏films [MASK]"
case("tei", "tokenize", E, "/tokenize", {"inputs": [WIDE, "ana"]}, [simple(WIDE), simple("ana")])
case("tei", "tokenize a text", E, "/tokenize", {"inputs": WIDE, "add_special_tokens": False}, [simple(WIDE, False)])
ids = T(WIDE)["input_ids"]
case("tei", "decode", E, "/decode", {"ids": ids}, [T.decode(ids, skip_special_tokens=True)])
case("tei", "decode all", E, "/decode", {"ids": [ids, ids[:3]], "skip_special_tokens": False}, [T.decode(ids), T.decode(ids[:3])])

# --- token classification
NER = ["Ana lives in Paris, it was 日 good. 𝕏films unknown✓!", "good Ana", LONG]
for how in ("none", "simple", "first", "average", "max"):
    ner = pipe("token-classification", "tagger", aggregation_strategy=how, ignore_labels=["O"])
    parameters = {"aggregation_strategy": how}
    case("hf", "entities " + how, ["tagger"], "/", {"inputs": NER[0], "parameters": parameters}, ner(NER[0]))
    case("hf", "entities of texts " + how, E + ["tagger"], "/models/tagger/pipeline/token-classification",
         {"inputs": NER, "parameters": dict(parameters, ignore_labels=["B-PER"])},
         [pipe("token-classification", "tagger", aggregation_strategy=how, ignore_labels=["B-PER"])(t) for t in NER])
    if how != "none":
        stride = pipe("token-classification", "tagger", aggregation_strategy=how, stride=4)
        case("hf", "entities in windows " + how, ["tagger"], "/", {"inputs": LONG, "parameters": dict(parameters, stride=4)}, stride(LONG))
case("hf", "entities by default", ["tagger"], "/", {"inputs": NER[0]}, pipe("token-classification", "tagger", aggregation_strategy="simple")(NER[0]))

# --- question answering
qa = pipe("question-answering", "reader")
CONTEXT = "Ana lives in Paris, 日😀 and é film was good. The bad joy was dull in it."
LONGER = CONTEXT + " " + LONG
for name, context, parameters in (
        ("one", CONTEXT, {}), ("three", CONTEXT, {"top_k": 3}), ("impossible", CONTEXT, {"handle_impossible_answer": True, "top_k": 2}),
        ("tokens", CONTEXT, {"align_to_words": False, "top_k": 4}), ("short", CONTEXT, {"max_answer_len": 2, "top_k": 3}),
        ("windows", LONGER, {"top_k": 3, "doc_stride": 6}), ("small windows", LONGER, {"max_seq_len": 20, "doc_stride": 4, "top_k": 2})):
    answer = qa(question="where lives Ana?", context=context, **parameters)
    case("hf", "answer " + name, ["reader"], "/", {"inputs": {"question": "where lives Ana?", "context": context}, "parameters": parameters}, answer)

# --- masks
fill = pipe("fill-mask", "masked")
for name, text, parameters in (("one", "the film was [MASK].", {}), ("two", "[MASK] lives in [MASK]", {"top_k": 2}),
                               ("targets", "the film was [MASK].", {"targets": ["good", "bad", "filming"]}),
                               ("a target", "the film was [MASK].", {"targets": "joy", "top_k": 3})):
    case("hf", "masks " + name, ["masked"], "/", {"inputs": text, "parameters": parameters}, fill(text, **parameters))
case("hf", "masks of texts", E + ["masked"], "/models/masked", {"inputs": ["[MASK] film", "joy [MASK] [MASK]"]},
     fill(["[MASK] film", "joy [MASK] [MASK]"]))

# --- zero-shot
zero = pipe("zero-shot-classification", "nli")


def scored(r):
    return [{"label": l, "score": s} for l, s in zip(r["labels"], r["scores"])]


for name, parameters in (("one", {"candidate_labels": ["film", "paris", "joy"]}), ("several", {"candidate_labels": ["film", "paris"], "multi_label": True}),
                         ("template", {"candidate_labels": "film, joy", "hypothesis_template": "it was {}"}),
                         ("a label", {"candidate_labels": ["film"]})):
    case("hf", "zero-shot " + name, ["nli"], "/", {"inputs": TEXTS[0], "parameters": parameters}, scored(zero(TEXTS[0], **parameters)))

# --- vectors and similarity, the way of Hugging Face
case("hf", "vectors", E, "/", {"inputs": TEXTS[0]}, [vector(TEXTS[0])])
case("hf", "vectors of a model", E, "/models/encoder/pipeline/feature-extraction", {"inputs": TEXTS, "normalize": True, "truncate": True}, u)
case("hf", "similarity", E, "/models/encoder/pipeline/sentence-similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}, cosines)
case("hf", "similarity by shape", E, "/", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}, "parameters": {}}, cosines)

# --- multiple choice
choices = ["joy", "the film was bad", "dull."]
with torch.no_grad():
    enc = tokenizers["chooser"]([TEXTS[0]] * 3, choices, padding=True, return_tensors="pt")
    p = models["chooser"](**{k: v[None] for k, v in enc.items()}).logits[0].softmax(-1).tolist()
case("hf", "choices", ["chooser"], "/multiple_choice", {"prompt": TEXTS[0], "choices": choices},
     [{"index": i, "score": p[i]} for i in sorted(range(3), key=lambda i: -p[i])])

# --- SageMaker and Vertex AI
case("tei", "invocation", E, "/invocations", {"inputs": TEXTS}, u)
case("tei", "invocation of a classifier", ["classifier"], "/invocations", {"inputs": TEXTS[0]}, classify["classifier"](TEXTS[0]))
case("tei", "vertex", E, "/vertex", {"instances": [{"inputs": TEXTS[0]}, {"inputs": TEXTS[1:]}]}, {"predictions": [[u[0]], u[1:]]})
case("tei", "vertex rerank", R, "/vertex", {"instances": [{"query": QUERY, "texts": TEXTS}]},
     {"predictions": [[{"index": i, "score": sigmoid(raw[i])} for i in order]]})

OUT.mkdir(exist_ok=True)
for name, cases in files.items():
    with open(OUT / f"{name}.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
    print(name, len(cases))
