"""A server of a BERT as tutorials write one, with FastAPI and transformers: `plain.py MODEL PORT`. It has no batches: each request is a
pass of its own, in one of the threads that FastAPI has for functions that aren't async."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

MODEL, PORT = sys.argv[1], int(sys.argv[2])
MAX_LENGTH = 256  # as all-MiniLM-L6-v2's sentence_bert_config.json has it

app = FastAPI()
tokenizer = AutoTokenizer.from_pretrained(MODEL)
scores = "BertForSequenceClassification" in (AutoConfig.from_pretrained(MODEL).architectures or [])
model = (AutoModelForSequenceClassification if scores else AutoModel).from_pretrained(MODEL).eval()


class Embed(BaseModel):
    model: str
    input: str | list[str]


class Rerank(BaseModel):
    query: str
    texts: list[str]


@app.get("/health")
def health():
    return {}


@app.post("/v1/embeddings")
def embed(request: Embed):
    texts = [request.input] if isinstance(request.input, str) else request.input
    with torch.inference_mode():
        batch = tokenizer(texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors.tolist())]
    return {"object": "list", "model": request.model, "data": data}


@app.post("/rerank")
def rerank(request: Rerank):
    with torch.inference_mode():
        batch = tokenizer([request.query] * len(request.texts), request.texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
        logits = model(**batch).logits[:, 0]
    return [{"index": i, "score": s} for i, s in enumerate(torch.sigmoid(logits).tolist())]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
