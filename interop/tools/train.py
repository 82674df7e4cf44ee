"""Trains a classifier with PyTorch's AdamW: TRAIN.py JOBS RESULTS, as the other tools. A job gives the losses of its steps."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import json

import torch
import transformers
from common import serve


def begin(job):
    """Writes the model to begin with: a classifier without dropout, on the encoder job["from"] or a new one of job["config"]."""
    torch.manual_seed(job["seed"])
    settings = {"num_labels": 2, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if job["from"]:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(job["from"], **settings)
    else:
        model = transformers.AutoModelForSequenceClassification.from_config(transformers.BertConfig(**job["config"], **settings))
    model.save_pretrained(job["to"])
    transformers.AutoTokenizer.from_pretrained(job["tokenizer"]).save_pretrained(job["to"])
    return {}


def batches(job):
    """The examples of each step, in the order of the file, padded to the longest of the step."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    with open(job["data"]) as f:
        examples = [json.loads(line) for line in f]
    for step in range(job["steps"]):
        rows = examples[step * job["batch"] : (step + 1) * job["batch"]]
        texts = tokenizer([x["text"] for x in rows], padding=True, truncation=True, max_length=job["length"], return_tensors="pt")
        yield texts, torch.tensor([int(x["label"]) for x in rows])


def train(job):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(job["model"], attn_implementation=job["attention"])
    model = model.to(getattr(torch, job["dtype"])).train()
    plain = [p for name, p in model.named_parameters() if name.endswith(".bias") or "LayerNorm" in name]
    decaying = [p for name, p in model.named_parameters() if not (name.endswith(".bias") or "LayerNorm" in name)]
    groups = [{"params": decaying, "weight_decay": job["decay"]}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=job["rate"], betas=(0.9, 0.999), eps=1e-8)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, job["warmup"], job["steps"])
    losses = []
    for texts, labels in batches(job):
        loss = model(**texts, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return {"losses": losses}


if __name__ == "__main__":
    torch.set_num_threads(1)  # more wait for one another where the machine does other work too
    serve(f"torch {torch.__version__}, transformers {transformers.__version__}", {"begin": begin, "train": train})
