#!/usr/bin/env python3
"""What transformers and sentence-transformers say: `reference.py ENCODER DIR` makes models of the encoder with heads of random weights in DIR,
and prints the inputs and the answers as JSON."""

import json
import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    pipeline,
)

ENCODER, OUT = sys.argv[1], Path(sys.argv[2])

TEXTS = ["A joy from start to finish.", "The plot is thin, and the actors know it.", "Größe und Länge: 你好, wörld!", "x"]
ENTITIES = "Ana Müller lives in Zürich and works for Acme."
QUESTION = {"question": "Where does Ana live?", "context": "Ana Müller lives in Zürich, by the lake. She works for Acme."}
MASKED = "It was a [MASK] film."
LABELS = ["politics", "sports", "food"]
QUERY = "How tall is the tower?"
DOCUMENTS = ["The tower is 330 metres tall.", "Paris is the capital of France.", "It was built for the fair of 1889."]

# Each head: its class, and labels.
HEADS = {
    "classes": (BertForSequenceClassification, ["bad", "so-so", "good"]),
    "ner": (BertForTokenClassification, ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
    "qa": (BertForQuestionAnswering, None),
    "mlm": (BertForMaskedLM, None),
    "nli": (BertForSequenceClassification, ["contradiction", "neutral", "entailment"]),
    "rerank": (BertForSequenceClassification, ["LABEL_0"]),
}


def make():
    tokenizer = AutoTokenizer.from_pretrained(ENCODER)
    for name, (head, labels) in HEADS.items():
        torch.manual_seed(len(name) + ord(name[0]))
        more = {"id2label": dict(enumerate(labels)), "label2id": {l: i for i, l in enumerate(labels)}} if labels else {}
        model = head.from_pretrained(ENCODER, **more).eval()
        for part in ("classifier", "qa_outputs"):  # whose weights are small: the answers would all be alike
            if hasattr(model, part):
                torch.nn.init.normal_(getattr(model, part).weight, std=0.5)
        model.save_pretrained(OUT / name)
        tokenizer.save_pretrained(OUT / name)


def plain(x):
    """Numbers of numpy and PyTorch as those of Python."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return x.item() if hasattr(x, "item") else x


def answer():
    """The best answer, as transformers' pipeline for questions has it: of the pairs of places in the context with the largest product of
    probabilities, softmaxes over the context and [CLS]."""
    tokenizer, model = AutoTokenizer.from_pretrained(OUT / "qa"), BertForQuestionAnswering.from_pretrained(OUT / "qa").eval()
    batch = tokenizer(QUESTION["question"], QUESTION["context"], return_tensors="pt", return_offsets_mapping=True)
    offsets = batch.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        out = model(**batch)
    of_context = [s == 1 for s in batch.sequence_ids(0)]
    allowed = torch.tensor([c or i == 0 for i, c in enumerate(of_context)])
    start, end = (torch.where(allowed, x[0], -10000.0).softmax(0) for x in (out.start_logits, out.end_logits))
    start[0] = end[0] = 0
    best = max(((start[i] * end[j]).item(), i, j) for i in range(len(offsets)) for j in range(i, min(i + 15, len(offsets))) if of_context[i] and of_context[j])
    words = QUESTION["context"]
    first, last = offsets[best[1]][0], offsets[best[2]][1]
    while first > 0 and not words[first - 1].isspace():  # whole words
        first -= 1
    while last < len(words) and not words[last].isspace():
        last += 1
    return {"score": best[0], "start": first, "end": last, "answer": words[first:last]}


def main():
    make()
    of = lambda task, name, **more: pipeline(task, model=str(OUT / name), tokenizer=str(OUT / name), device="cpu", **more)
    vectors = SentenceTransformer(ENCODER, device="cpu").encode(TEXTS, normalize_embeddings=True)
    tokenizer, ranker = AutoTokenizer.from_pretrained(OUT / "rerank"), BertForSequenceClassification.from_pretrained(OUT / "rerank").eval()
    with torch.inference_mode():
        logits = ranker(**tokenizer([QUERY] * len(DOCUMENTS), DOCUMENTS, padding=True, return_tensors="pt")).logits[:, 0]
    expected = {
        "texts": TEXTS, "entities": ENTITIES, "question": QUESTION, "masked": MASKED, "labels": LABELS, "query": QUERY, "documents": DOCUMENTS,
        "vectors": vectors.tolist(),
        "similarities": (vectors @ vectors[0]).tolist(),
        "classes": of("text-classification", "classes", top_k=None)(TEXTS),
        "found": of("token-classification", "ner", aggregation_strategy="simple")(ENTITIES),
        "answer": answer(),
        "fills": of("fill-mask", "mlm", top_k=5)(MASKED),
        "chosen": of("zero-shot-classification", "nli")(TEXTS[0], candidate_labels=LABELS),
        "scores": torch.sigmoid(logits).tolist(),
    }
    json.dump(plain(expected), sys.stdout)


if __name__ == "__main__":
    main()
