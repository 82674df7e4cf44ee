"""What the tools' programs share. Each is started as `TOOL.py JOBS RESULTS`, with the paths of two JSON files, and carries out a list of
jobs: "make" a model at random, "read" one that bert wrote, or "write" one for bert to read."""

import json
import sys
import traceback


def sequences(tokenizer, line):
    """The sequences of an input, encoded by a tokenizer of the library tokenizers."""
    if "choices" in line:
        return [tokenizer.encode(line["text"], choice) for choice in line["choices"]]
    if "words" in line:
        return [tokenizer.encode(line["words"], is_pretokenized=True)]
    return [tokenizer.encode(line.get("text", line.get("question")), line.get("text_pair", line.get("context")))]


def answer(tokenizer, job, run):
    """The results of a job: run gives the arrays of a sequence, from its ids and type ids."""
    tokenizer.no_padding()  # which some published tokenizers ask for, and bert does without
    tokenizer.no_truncation()
    return {
        "results": [
            [
                {"ids": e.ids, "types": e.type_ids, "offsets": e.offsets, "words": e.word_ids, "out": run(e.ids, e.type_ids)}
                for e in sequences(tokenizer, line)
            ]
            for line in job["inputs"]
        ],
        "tokenized": [tokenizer.encode(line["text"], line.get("text_pair")).ids for line in job["texts"]],
    }


def serve(version, do):
    """Carries out the jobs. do has a function for each sort of them."""
    with open(sys.argv[1]) as f:
        jobs = json.load(f)
    results = []
    for job in jobs:
        try:
            results.append(do[job["do"]](job))
        except Exception as e:  # any: it is what the table is to show
            traceback.print_exc()
            results.append({"error": f"{type(e).__name__}: {e}"})
    with open(sys.argv[2], "w") as f:
        json.dump({"version": version, "results": results}, f)
