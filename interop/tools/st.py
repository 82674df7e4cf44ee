"""sentence-transformers: a folder with its pipeline of modules."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import sentence_transformers
import torch
from common import serve
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules


def write(job):
    """Writes an encoder with mean pooling, a dense layer and normalization."""
    torch.manual_seed(1)
    transformer = modules.Transformer(job["from"])
    width = transformer.get_embedding_dimension()
    parts = [transformer, modules.Pooling(width, "mean"), modules.Dense(width, 8), modules.Normalize()]
    model = SentenceTransformer(modules=parts, device="cpu")
    model.save(job["to"])
    vectors = model.encode([line["text"] for line in job["inputs"]])
    backend = model.tokenizer.backend_tokenizer
    return {
        "results": [[{"out": {"pooled": v.tolist()}}] for v in vectors],
        "tokenized": [backend.encode(line["text"], line.get("text_pair")).ids for line in job["texts"]],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(f"sentence-transformers {sentence_transformers.__version__}", {"write": write})
