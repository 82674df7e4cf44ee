"""One peer of bench/compare: `worker.py SPEC`, SPEC in JSON (spec in process.go). It asks nothing and is asked: a question is a line of
JSON on standard input, its answer a line on standard output, both as in worker.go. Where spec["work"] is start or vocab it is asked
nothing: it does that once and ends."""

import json
import os
import statistics
import sys
import time

SPEC = json.loads(sys.argv[1])
for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = str(SPEC["threads"])
os.environ |= {"TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer


def answer(**fields):
    ANSWERS.write(json.dumps(fields) + "\n")
    ANSWERS.flush()


def peak_memory():
    """The peak resident memory in bytes since it was reset; 0 where it is unknown."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM:"))
    except OSError:
        return 0


def reset_peak_memory():
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


class Clock:
    """Times runs of the same work, as clock in worker.go."""

    def __init__(self):
        self.known = {}  # work -> seconds of its last runs

    def time(self, work, run, seconds):
        known = self.known.get(work)
        began = time.perf_counter()
        if known is None:
            run()
        if known is None or known < seconds / 2:
            while time.perf_counter() - began < seconds / 10:
                run()
        reset_peak_memory()
        samples, began = [], time.perf_counter()
        while not samples or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            run()
            samples.append(time.perf_counter() - start)
        self.known[work] = statistics.median(samples)
        return {"seconds": self.known[work], "runs": len(samples), "peak_bytes": peak_memory()}


def read_texts(path):
    with open(path, encoding="utf-8") as f:
        return f.read().rstrip("\n").split("\n")


class Tokenizing:
    """The library tokenizers by itself."""

    batch = 1000  # texts that are given to it at once

    def __init__(self):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(os.path.join(SPEC["folder"], "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def ask(self, q, clock):
        if q["ask"] == "check":
            return {"numbers": [[float(i) for i in e.ids] for e in self.tokenizer.encode_batch(q["texts"])]}
        texts = read_texts(q["file"])

        def run():
            for i in range(0, len(texts), self.batch):
                self.tokenizer.encode_batch(texts[i : i + self.batch])

        return clock.time(q["file"], run, q["seconds"])


class Model:
    """A model by one of the runtimes of backends.py."""

    def __init__(self):
        import backends

        self.backend = backends.open_backend(SPEC)
        self.encode = self.backend.encode
        self.runs = {}  # by the shape of a batch

    def ask(self, q, clock):
        import numpy

        if q["ask"] == "check":
            numbers = self.passed(numpy.array(q["ids"])) if q.get("ids") else self.encode(q["texts"], q["max_length"])
            return {"numbers": numpy.asarray(numbers, dtype=float).tolist()}
        if q["ask"] == "texts":
            texts = read_texts(q["file"])
            return clock.time(q["file"], lambda: self.encode(texts, q["max_length"]), q["seconds"])
        shape = q["batch"], q["length"]
        ids = numpy.random.default_rng(1).integers(1000, self.backend.config["vocab_size"], shape)
        return clock.time(shape, self.prepared(ids), q["seconds"])

    def prepared(self, ids):
        if ids.shape not in self.runs:
            self.runs[ids.shape] = self.backend.prepare(ids)
        return self.runs[ids.shape]

    def passed(self, ids):
        """What a pass that is timed makes of each sequence."""
        import numpy

        return self.backend.finish(self.backend.prepare(ids)(), numpy.ones_like(ids))


class Training:
    """Steps of PyTorch."""

    def __init__(self):
        import backends

        self.trainer = backends.TorchTrainer(SPEC)

    def ask(self, q, clock):
        ids, labels = q.get("ids"), q.get("labels")
        if q["ask"] == "check":
            return {"numbers": [[self.trainer.loss(ids, labels)]]}
        return clock.time((q["batch"], q["length"]), self.trainer.prepare(q["batch"], q["length"]), q["seconds"])


def learn():
    """Learns a vocabulary as `bert vocab` does."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train([SPEC["file"]], trainers.WordPieceTrainer(vocab_size=SPEC["size"], min_frequency=1, special_tokens=special, show_progress=False))
    return {"numbers": [[float(t.get_vocab_size())]]}


def main():
    work = SPEC["work"]
    try:
        if work == "vocab":
            return answer(**learn())
        peer = {"tokenize": Tokenizing, "train": Training}.get(work, Model)()
        if work == "start":
            return answer(**peer.ask({"ask": "check", "texts": SPEC["texts"], "max_length": 128}, None))
    except Exception as e:  # any: it is what the table is to show
        return answer(error=f"{type(e).__name__}: {e}"[:300])
    answer(ready=True)
    clock = Clock()
    for line in sys.stdin:
        try:
            answer(**peer.ask(json.loads(line), clock))
        except Exception as e:
            answer(error=f"{type(e).__name__}: {e}"[:300])


if __name__ == "__main__":
    main()
    ANSWERS.flush()
    os._exit(0)  # what libraries do at the end of a process is not measured
