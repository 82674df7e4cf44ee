#!/usr/bin/env python3
"""Trains the same classifier on the same examples in the same order with bert and with PyTorch, in float32, and compares the losses of
all steps with one another and with those of PyTorch in float64. It fails where bert and PyTorch differ by more than a bound."""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import venvs

HERE = Path(__file__).resolve().parent
CONFIG = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512, "max_position_embeddings": 128}
WORDS = 2000  # in the vocabulary of a model at random
LENGTH = 128  # tokens of a text, at most
WARMUP = 0.1  # of the steps


def sst2(n):
    """The first examples of SST-2, where they are at hand."""
    shared = Path(os.environ.get("BERT_SHARED") or HERE.parents[1] / "shared")
    with open(shared / "data" / "glue" / "SST-2" / "train.tsv", encoding="utf-8") as f:
        for line in itertools.islice(f, 1, n + 1):
            text, label = line.rstrip("\n").split("\t")
            yield {"text": text.strip(), "label": label}


def made(n):
    """Examples that are made by rule: the label is that of the last of the words with one."""
    good, bad = "joy warm bright clever moving".split(), "dull cold flat noisy empty".split()
    rest = "the a film story cast score scene of with and but so is was very quite hardly never".split()
    seed = 1
    for _ in range(n):
        words, label = [], 0
        for k in range(24):
            seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
            draw = seed >> 33
            kind = draw % 8 if k > 4 else draw % 2
            if k > 6 and draw % 11 == 0:
                break
            words.append([good, bad][kind][draw // 8 % 5] if kind < 2 else rest[draw // 8 % len(rest)])
            label = 1 - kind if kind < 2 else label
        yield {"text": " ".join(words), "label": str(label)}


def vocabulary(examples):
    """The most frequent words, and the characters to spell the others with."""
    words = Counter(word for x in examples for word in x["text"].split())
    characters = sorted(set("".join(words)))
    frequent = sorted(words, key=lambda word: (-words[word], word))[:WORDS]
    return dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + c for c in characters), *frequent])


def bert(path, *args):
    done = subprocess.run([path, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def ask(work, jobs):
    """Lets PyTorch carry out jobs."""
    asked, answered = work / "jobs.json", work / "results.json"
    asked.write_text(json.dumps(jobs))
    subprocess.run([venvs.python("torch"), HERE / "tools" / "train.py", asked, answered], stdout=sys.stderr, check=True)
    done = json.loads(answered.read_text())
    for result in done["results"]:
        if "error" in result:
            raise SystemExit(result["error"])
    return done


def largest(a, b):
    """The largest relative difference, and the step at which it is."""
    return max((abs(x - y) / abs(y), step) for step, (x, y) in enumerate(zip(a, b, strict=True), 1))


def compare(a, work):
    n = a.steps * a.batch
    try:
        name, examples = "SST-2", list(sst2(n))
    except OSError:
        name, examples = "made", list(made(n))
    data = work / "train.jsonl"
    data.write_text("".join(json.dumps(x) + "\n" for x in examples))
    source, tokenizer = "", a.model
    if a.model:
        source = a.model
    else:
        tokenizer = str(work / "vocabulary")
        Path(tokenizer).mkdir()
        (work / "vocabulary" / "vocab.txt").write_text("".join(token + "\n" for token in vocabulary(examples)), encoding="utf-8")
        (work / "vocabulary" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    size = len((Path(tokenizer) / "vocab.txt").read_text(encoding="utf-8").splitlines())
    begin = str(work / "begin")
    ask(work, [{"do": "begin", "from": source, "to": begin, "tokenizer": tokenizer, "config": CONFIG | {"vocab_size": size}, "seed": 1}])

    bert(a.bert, "finetune", "--task", "text", "--data", data, "--model", begin, "--output", work / "run", "--no-shuffle",
         "--optimizer", "adamw", "--learning-rate", a.rate, "--weight-decay", a.decay, "--max-grad-norm", 1, "--warmup-proportion", WARMUP,
         "--train-batch-size", a.batch, "--max-steps", a.steps, "--max-seq-length", LENGTH, "--log-steps", 1, "--save-steps", 0)
    events = map(json.loads, (work / "run" / "events.jsonl").read_text().splitlines())
    ours = [event["loss"] for event in events if event["event"] == "step"]

    job = {"do": "train", "model": begin, "data": str(data), "steps": a.steps, "batch": a.batch, "rate": a.rate, "decay": a.decay,
           "warmup": round(a.steps * WARMUP), "length": LENGTH, "attention": a.attention}
    done = ask(work, [job | {"dtype": "float32"}, job | {"dtype": "float64"}])
    theirs, exact = (result["losses"] for result in done["results"])
    return name, done["version"], ours, theirs, exact


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bert", required=True, help="the program")
    p.add_argument("--model", default="", help="the folder of an encoder to begin with; without it, one of 4 layers of 128 at random")
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--rate", type=float, default=2e-5)
    p.add_argument("--decay", type=float, default=0.01)
    p.add_argument("--attention", default="sdpa", help="PyTorch's implementation of attention: sdpa or eager")
    p.add_argument("--bound", type=float, default=1e-6, help="the largest relative difference of a loss")
    p.add_argument("--losses", help="a file to write the losses to: step, bert, PyTorch, PyTorch in float64")
    a = p.parse_args()
    try:
        venvs.make("torch")
    except venvs.Unavailable as e:
        print(f"{p.prog}: {e}", file=sys.stderr)
        return 3
    work = Path(tempfile.mkdtemp(prefix="bert-parity-"))
    try:
        name, version, ours, theirs, exact = compare(a, work)
    finally:
        shutil.rmtree(work)
    if a.losses:
        rows = zip(range(1, a.steps + 1), ours, theirs, exact, strict=True)
        Path(a.losses).write_text("".join("\t".join(map(repr, row)) + "\n" for row in rows))
    print(f"{a.steps} steps of {a.batch} examples of {name}, from {a.model or 'random weights'}, beside {version}:")
    print(f"losses from {ours[0]:.4f} to {ours[-1]:.4f}\n")
    print("| | largest relative difference | at step |\n|---|---|---|")
    for what, x, y in [("bert to PyTorch", ours, theirs), ("bert to PyTorch in float64", ours, exact), ("PyTorch to PyTorch in float64", theirs, exact)]:
        difference, step = largest(x, y)
        print(f"| {what} | {difference:.1e} | {step} |")
    difference, _ = largest(ours, theirs)
    if not difference <= a.bound:
        print(f"the losses differ by {difference:.1e}, more than {a.bound:.0e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
