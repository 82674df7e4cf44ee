"""transformers, of version 4 or 5."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from pathlib import Path

import torch
import transformers
from common import answer, serve

MAJOR = int(transformers.__version__.split(".")[0])
DTYPE = "dtype" if MAJOR >= 5 else "torch_dtype"


def load(folder, auto, dtype=torch.float32):
    """A model, all of whose tensors have to be in the file, and no others."""
    model, info = getattr(transformers, auto).from_pretrained(folder, output_loading_info=True, **{DTYPE: dtype})
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if wrong := sorted(map(str, info.get(key) or [])):
            raise ValueError(f"{key}: {', '.join(wrong)}")
    return model.eval()


def tokenizer_of(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def run(model):
    """Computes the arrays of a sequence."""
    choices = isinstance(model, transformers.BertForMultipleChoice)

    def outputs(ids, types):
        with torch.no_grad():
            ids, types = torch.tensor([ids]), torch.tensor([types])
            if choices:
                ids, types = ids[None], types[None]
            out = model(input_ids=ids, token_type_ids=types, attention_mask=torch.ones_like(ids))
        return {name: x[0].tolist() for name, x in out.items() if isinstance(x, torch.Tensor)}

    return outputs


def make(job):
    """Makes a model at random. Biases and LayerNorms are random as well, so that none of them can be mistaken for another."""
    folder = Path(job["to"])
    torch.manual_seed(job["seed"])
    model = getattr(transformers, job["auto"]).from_config(transformers.BertConfig(**job["config"]))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(0, 0.2)
            if name.endswith("LayerNorm.weight"):
                p.add_(1)
    model.save_pretrained(folder)
    tokenizer_of(folder).save_pretrained(folder)
    return {}


def read(job):
    model = load(job["from"], job["auto"])
    return answer(tokenizer_of(job["from"]).backend_tokenizer, job, run(model))


def save_torch(model, folder):
    if MAJOR < 5:
        model.save_pretrained(folder, safe_serialization=False)
        return
    model.config.save_pretrained(folder)  # transformers 5 writes safetensors alone
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


class Arrays(torch.nn.Module):
    """A model with arrays for inputs and outputs, as an exporter wants it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        out = self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return tuple(x for x in out.values() if isinstance(x, torch.Tensor))


def export(dynamo):
    def save(model, folder):
        folder.mkdir(parents=True)
        model.config.save_pretrained(folder)
        shape = (2, 2, 8) if isinstance(model, transformers.BertForMultipleChoice) else (2, 8)
        ids = torch.arange(5, 5 + torch.Size(shape).numel()).reshape(shape)
        names = ["input_ids", "attention_mask", "token_type_ids"]
        axes = dict(enumerate(["batch", "choices", "sequence"] if len(shape) == 3 else ["batch", "sequence"]))
        if dynamo:
            shapes = {"dynamic_shapes": [{i: torch.export.Dim.DYNAMIC for i in axes}] * 3}
        else:
            shapes = {"dynamic_axes": {name: axes for name in names}}
        torch.onnx.export(
            Arrays(model).eval(), (ids, torch.ones_like(ids), torch.zeros_like(ids)), folder / "model.onnx",
            input_names=names, dynamo=dynamo, **shapes,
        )

    return save


WRITE = {
    "safetensors": lambda model, folder: model.save_pretrained(folder),
    "safetensors, sharded": lambda model, folder: model.save_pretrained(folder, max_shard_size="20KB"),
    "PyTorch": save_torch,
    "ONNX": export(dynamo=False),
    "ONNX, dynamo": export(dynamo=True),
}


def write(job):
    folder = Path(job["to"])
    model = load(job["from"], job["auto"], getattr(torch, job["dtype"]))
    WRITE[job["format"]](model, folder)
    tokenizer = tokenizer_of(job["from"])
    tokenizer.save_pretrained(folder)
    return answer(tokenizer.backend_tokenizer, job, run(model.float()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(f"transformers {transformers.__version__}, torch {torch.__version__}", {"make": make, "read": read, "write": write})
