#!/usr/bin/env python3
"""Compares what clients get from bert serve with what reference.py printed. A check is a row of CHECKS: who asks, and the pairs of an answer
and what it should be. The exit status is 1 where one is missing or further away than TOLERANCE."""

import argparse
import json
import math
import subprocess
import sys

import cohere
import numpy as np
import ollama
import openai
import tritonclient.http
from huggingface_hub import InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

TOLERANCE = 1e-5

parser = argparse.ArgumentParser(description=__doc__)
for name in ("url", "expected", "node", "bert", "models", "vectors"):
    parser.add_argument("--" + name, required=True)
ARGS = parser.parse_args()
URL = ARGS.url
OF = json.load(open(ARGS.expected))
NODE = json.load(open(ARGS.node))

OPENAI = openai.OpenAI(base_url=URL + "/v1", api_key="none")
TRITON = tritonclient.http.InferenceServerClient(URL.removeprefix("http://"))


def hf(model):
    return InferenceClient(model=f"{URL}/models/{model}")


def fields(items, *names):
    """The fields of objects or dictionaries."""
    get = lambda item, name: item[name] if isinstance(item, dict) else getattr(item, name)
    return [[get(item, name) for name in names] for item in items]


def labelled(items):
    """Labels with scores, whatever their order."""
    return sorted(fields(items, "label", "score"))


def chosen(items):
    return labelled([{"label": l, "score": s} for l, s in zip(OF["chosen"]["labels"], OF["chosen"]["scores"])]), labelled(items)


def ranked(pairs):
    """Scores in the order of the documents."""
    return [score for _, score in sorted(pairs)]


def refused_ids():
    """Ids of another tokenizer are refused, and the error says what to do."""
    try:
        OPENAI.embeddings.create(model="vectors", input=[[9906, 1917]])
    except openai.BadRequestError as e:
        assert "check_embedding_ctx_length" in str(e), e
        return 1, 1
    raise AssertionError("ids were taken for the model's own")


def langchain_tei():
    """Its class takes names of the hub alone since version 1.2. What it sends, and how it reads the answer, is as before."""
    embeddings = HuggingFaceEndpointEmbeddings(model="some/model")
    embeddings.client = InferenceClient(model=URL)
    return embeddings.embed_documents(OF["texts"])


def llama_rerank():
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(i))) for i, text in enumerate(OF["documents"])]
    best = TextEmbeddingInference(base_url=URL, top_n=len(nodes)).postprocess_nodes(nodes, query_str=OF["query"])
    return ranked((int(n.node.node_id), n.score) for n in best)


def cohere_rerank():
    client = cohere.ClientV2(api_key="none", base_url=URL)
    results = client.rerank(model="rerank", query=OF["query"], documents=OF["documents"], top_n=3).results
    return ranked((r.index, r.relevance_score) for r in results)


def triton(binary):
    assert TRITON.is_server_live() and TRITON.is_server_ready() and TRITON.is_model_ready("vectors")
    names = [o["name"] for o in TRITON.get_model_metadata("vectors")["outputs"]]
    assert "embedding" in names, names
    text = tritonclient.http.InferInput("text", [len(OF["texts"])], "BYTES")
    text.set_data_from_numpy(np.array([t.encode() for t in OF["texts"]], dtype=object), binary_data=binary)
    wanted = tritonclient.http.InferRequestedOutput("embedding", binary_data=binary)
    return TRITON.infer("vectors", [text], outputs=[wanted]).as_numpy("embedding").tolist()


def curl(path, body):
    command = ["curl", "--silent", "--show-error", "--fail-with-body", URL + path, "--header", "Content-Type: application/json", "--data", json.dumps(body)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def library(verb, model, texts, *flags):
    lines = "".join(json.dumps(t if isinstance(t, dict) else {"text": t}) + "\n" for t in texts)
    out = subprocess.run([ARGS.bert, verb, "--model", model, "--json", "--quiet", *flags], input=lines, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def node(name):
    if error := NODE[name].get("error"):
        raise AssertionError(error)
    return NODE[name]["answer"]


FOUND = fields(OF["found"], "entity_group", "score", "start", "end")
ANSWER = fields([OF["answer"]], "answer", "score", "start", "end")
FILLS = fields(OF["fills"], "token_str", "score", "token")
FIRST = labelled(OF["classes"][0])

# Who asks, and a function of what it gets and what that should be.
CHECKS = {
    "library, bert encode": lambda: ([x["pooled"] for x in library("encode", ARGS.vectors, OF["texts"])], OF["vectors"]),
    "library, bert predict": lambda: (
        [sorted(x["probabilities"].items()) for x in library("predict", ARGS.models + "/classes", OF["texts"])],
        [[tuple(x) for x in labelled(c)] for c in OF["classes"]],
    ),
    "openai, embeddings": lambda: ([d.embedding for d in OPENAI.embeddings.create(model="vectors", input=OF["texts"]).data], OF["vectors"]),
    "openai, floats": lambda: (
        [d.embedding for d in OPENAI.embeddings.create(model="vectors", input=OF["texts"], encoding_format="float").data], OF["vectors"],
    ),
    "openai, models": lambda: (sorted(m.id for m in OPENAI.models.list()), sorted(["vectors", "classes", "ner", "qa", "mlm", "nli", "rerank"])),
    "openai, ids": refused_ids,
    "langchain-openai": lambda: (
        OpenAIEmbeddings(model="vectors", base_url=URL + "/v1", api_key="none", check_embedding_ctx_length=False).embed_documents(OF["texts"]), OF["vectors"],
    ),
    "langchain-huggingface, TEI": lambda: (langchain_tei(), OF["vectors"]),
    "huggingface_hub, feature_extraction": lambda: (
        [np.squeeze(hf("vectors").feature_extraction(t, normalize=True)).tolist() for t in OF["texts"]], OF["vectors"],
    ),
    "huggingface_hub, sentence_similarity": lambda: (hf("vectors").sentence_similarity(OF["texts"][0], other_sentences=OF["texts"]), OF["similarities"]),
    "huggingface_hub, text_classification": lambda: (labelled(hf("classes").text_classification(OF["texts"][0], top_k=3)), FIRST),
    "huggingface_hub, token_classification": lambda: (fields(hf("ner").token_classification(OF["entities"]), "entity_group", "score", "start", "end"), FOUND),
    "huggingface_hub, question_answering": lambda: (
        fields([hf("qa").question_answering(**OF["question"])], "answer", "score", "start", "end"), ANSWER,
    ),
    "huggingface_hub, fill_mask": lambda: (fields(hf("mlm").fill_mask(OF["masked"], top_k=5), "token_str", "score", "token"), FILLS),
    "huggingface_hub, zero_shot_classification": lambda: chosen(hf("nli").zero_shot_classification(OF["texts"][0], OF["labels"])),
    "LlamaIndex, TEI rerank": lambda: (llama_rerank(), OF["scores"]),
    "cohere, rerank": lambda: (cohere_rerank(), OF["scores"]),
    "ollama, embed": lambda: ([list(v) for v in ollama.Client(host=URL).embed(model="vectors", input=OF["texts"]).embeddings], OF["vectors"]),
    "ollama, embeddings": lambda: (list(ollama.Client(host=URL).embeddings(model="vectors", prompt=OF["texts"][0]).embedding), OF["vectors"][0]),
    "tritonclient, JSON": lambda: (triton(False), OF["vectors"]),
    "tritonclient, binary": lambda: (triton(True), OF["vectors"]),
    "curl, /embed": lambda: (curl("/embed", {"inputs": OF["texts"]}), OF["vectors"]),
    "curl, /predict": lambda: (labelled(curl("/predict", {"inputs": OF["texts"][0]})), FIRST),
    "curl, /rerank": lambda: (ranked((r["index"], r["score"]) for r in curl("/rerank", {"query": OF["query"], "texts": OF["documents"], "model": "rerank"})), OF["scores"]),
    "openai (npm), embeddings": lambda: (node("openai (npm), embeddings"), OF["vectors"]),
    "openai (npm), floats": lambda: (node("openai (npm), floats"), OF["vectors"]),
    "@huggingface/inference, featureExtraction": lambda: (node("@huggingface/inference, featureExtraction"), OF["vectors"]),
    "@huggingface/inference, sentenceSimilarity": lambda: (node("@huggingface/inference, sentenceSimilarity"), OF["similarities"]),
    "@huggingface/inference, textClassification": lambda: (labelled(node("@huggingface/inference, textClassification")), FIRST),
    "@huggingface/inference, tokenClassification": lambda: (
        fields(node("@huggingface/inference, tokenClassification"), "entity_group", "score", "start", "end"), FOUND,
    ),
    "@huggingface/inference, questionAnswering": lambda: (
        fields([node("@huggingface/inference, questionAnswering")], "answer", "score", "start", "end"), ANSWER,
    ),
    "@huggingface/inference, fillMask": lambda: (fields(node("@huggingface/inference, fillMask"), "token_str", "score", "token"), FILLS),
    "@huggingface/inference, zeroShotClassification": lambda: chosen(node("@huggingface/inference, zeroShotClassification")),
}


def distance(got, want):
    """The largest difference of two numbers; infinite where anything else differs."""
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return math.inf
        return max((distance(g, w) for g, w in zip(got, want)), default=0.0)
    if isinstance(want, (int, float)) and isinstance(got, (int, float)):
        return abs(got - want) if math.isfinite(got) else math.inf
    return 0.0 if got == want else math.inf


def main():
    failed = 0
    for name, check in CHECKS.items():
        try:
            got, want = check()
            d = distance(got, want)
            ok = d <= TOLERANCE
            said = f"{d:.1e}" if math.isfinite(d) else f"{str(got)[:150]} in place of {str(want)[:150]}"
        except Exception as e:  # a client's own, of any kind: the other checks go on
            ok, said = False, f"{type(e).__name__}: {str(e)[:300]}"
        failed += not ok
        print(f"{'ok    ' if ok else 'FAILED'}  {name}: {said}", flush=True)
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} checks passed, within {TOLERANCE:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
