#!/usr/bin/env python3
"""The matrix of heads × formats × types × tools, both ways: what bert writes the tool reads, and what the tool writes bert reads, and
either gives the other's numbers. It prints a table of the largest max |a−b| / max(1, |b|), and fails where a bound is crossed."""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import venvs
from heads import HEADS, Head
from tables import DTYPE_FLAGS, DTYPES, FORMATS, MODELS, TOOLS, Format, Model, Tool

HERE = Path(__file__).resolve().parent

# The models that are made at random: small, and of sizes that no vector's divides.
VOCABULARY = (
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    + [c for c in map(chr, range(33, 127)) if not c.isupper()]
    + ["##" + c for c in map(chr, range(ord("a"), ord("z") + 1))]
    + "the was joy dull no not at all long winding story about cat dog and sea it ends how knows nobody who film had in ##ing".split()
)
CONFIG = {
    "vocab_size": len(VOCABULARY), "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 52,
    "max_position_embeddings": 68, "hidden_act": "gelu",
}

# Texts whose ids have to be equal, for vocabularies that are lower-cased.
TEXTS = [
    {"text": "The film was a joy."},
    {"text": "Was it dull?", "text_pair": "It was NOT dull!"},
    {"text": "don't stop -- it's $5.00 (or less)"},
    {"text": "Überraschung: naïve café, Ångström, ﬁne"},
    {"text": "  tabs\tand   blanks "},
    {"text": "中文字 mixed with 日本語 text"},
    {"text": "a smile 🙂 and zero\u200bwidth, soft\u00adhyphen"},
    {"text": "x" * 150 + " after a long word"},
    {"text": "[MASK] and [SEP] in a text"},
    {"text": ""},
]


class BertError(Exception):
    """bert ended with an error."""


class Bert:
    """The program."""

    def __init__(self, path):
        self.path = path

    def run(self, *args, lines=()):
        stdin = "".join(json.dumps(line) + "\n" for line in lines)
        done = subprocess.run([self.path, *map(str, args)], input=stdin, capture_output=True, text=True)
        if done.returncode:
            raise BertError(done.stderr.strip().splitlines()[-1])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def version(self):
        return self.run("version", "--json")[0]


@dataclass
class Case:
    tool: Tool
    reads: bool  # the tool, what bert writes; else bert, what the tool writes
    format: Format
    dtype: str
    head: Head
    model: Model
    folder: Path
    job: dict

    def row(self):
        way = f"bert → {self.tool.name}" if self.reads else f"{self.tool.name} → bert"
        return way, self.format.name, self.dtype


class Matrix:
    def __init__(self, bert, work, models, tools, quick):
        self.bert, self.work, self.models, self.tools = bert, work, models, tools
        self.formats = {f.name: f for f in FORMATS if not (quick and f.slow)}
        self.dtypes = ["float32"] if quick else DTYPES
        self.bases = {}  # (model, head, whether the format has a configuration of its own) -> folder
        self.cases = []
        self.cells = defaultdict(dict)  # model -> (row, column) -> text
        self.faults = []
        self.versions = {}

    def folder(self, *names):
        return self.work.joinpath(*(name.replace(" ", "-").replace(",", "") for name in names))

    def make_bases(self):
        """Makes the model of each head that all else is made of."""
        jobs = []
        for model in self.models:
            for head, f in itertools.product(HEADS, self.formats.values()):
                key = (model.name, head.name, str(f.config))
                if key in self.bases or head.name not in model.heads or head.name not in f.heads or model.source and f.config:
                    continue
                folder = self.folder("base", model.name, head.name, "".join(f.config.values()))
                self.bases[key] = folder
                if model.source:
                    self.bert.run("convert", model.source, folder, "--to", "hf", "--json")
                    continue
                folder.mkdir(parents=True)
                (folder / "vocab.txt").write_text("".join(token + "\n" for token in VOCABULARY))
                (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}))
                config = CONFIG | head.config | f.config
                (folder / "config.json").write_text(json.dumps({"model_type": "bert"} | config))
                jobs.append({"do": "make", "to": str(folder), "auto": head.auto, "config": config, "seed": len(jobs)})
        if jobs:
            for result in self.work_through("torch", "hf", jobs)["results"]:
                if "error" in result:
                    raise SystemExit(f"a model could not be made: {result['error']}")

    def work_through(self, venv, script, jobs):
        """Lets a tool's program carry out jobs."""
        asked, answered = self.work / f"{venv}-{script}-jobs.json", self.work / f"{venv}-{script}-results.json"
        asked.write_text(json.dumps(jobs))
        with open(self.work / f"{venv}-{script}.log", "a") as log:
            done = subprocess.run([venvs.python(venv), HERE / "tools" / f"{script}.py", asked, answered], stdout=log, stderr=log)
        if done.returncode:
            tail = Path(log.name).read_text().splitlines()[-20:]
            raise SystemExit("\n".join(tail + [f"tools/{script}.py ended with status {done.returncode}"]))
        return json.loads(answered.read_text())

    def converted(self, base, model, head, f, dtype):
        """What bert makes of a base."""
        folder = self.folder("bert", model.name, head.name, f.name, dtype)
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            if f.int8:
                self.bert.run("quantize", base, self.quantized(folder), "--json")
                self.bert.run("convert", self.quantized(folder), folder, *f.convert, "--json")
            else:
                self.bert.run("convert", base, folder, *f.convert, "--dtype", DTYPE_FLAGS[dtype], "--json")
        return folder

    @staticmethod
    def quantized(folder):
        """The model of int8 weights that a folder was made of."""
        return folder.with_name(folder.name + "-quantized")

    def plan(self):
        """Lists the cases, and writes what bert writes."""
        for tool, model in itertools.product(self.tools, self.models):
            for reads, name in [(True, name) for name in tool.reads] + [(False, name) for name in tool.writes]:
                if name not in self.formats:
                    continue
                f = self.formats[name]
                for dtype, head in itertools.product(f.dtypes, HEADS):
                    base = self.bases.get((model.name, head.name, str(f.config)))
                    if dtype not in self.dtypes or base is None or head.name not in f.heads:
                        continue
                    job = {"auto": head.auto, "inputs": head.inputs, "texts": TEXTS, "format": f.name, "dtype": dtype, "head": head.name}
                    if reads:
                        folder = self.converted(base, model, head, f, dtype)
                        job |= {"do": "read", "from": str(folder)}
                    else:
                        folder = self.folder(tool.name, model.name, head.name, f.name, dtype)
                        job |= {"do": "write", "from": str(base), "to": str(folder)}
                        if f.name == "ONNX, optimized":
                            job["onnx"] = str(self.converted(base, model, head, self.formats["ONNX"], dtype))
                    self.cases.append(Case(tool, reads, f, dtype, head, model, folder, job))

    def run(self):
        for tool in self.tools:
            cases = [case for case in self.cases if case.tool is tool]
            if not cases:
                continue
            print(f"{tool.name}: {len(cases)} cases", file=sys.stderr, flush=True)
            done = self.work_through(tool.venv, tool.script, [case.job for case in cases])
            self.versions[tool.name] = done["version"]
            for case, result in zip(cases, done["results"], strict=True):
                self.judge(case, result)

    def judge(self, case, result):
        cells = self.cells[case.model.name]
        try:
            if "error" in result:
                raise ValueError(result["error"])
            worst = self.compare(case, result)
            cells[case.row(), case.head.name] = f"{worst:.1e}"
            bound = case.format.bound or case.tool.bound
            if not worst <= bound:
                raise ValueError(f"the numbers differ by {worst:.1e}, more than {bound:.0e}")
        except (BertError, ValueError, LookupError) as e:
            way, name, dtype = case.row()
            self.faults.append(f"{case.model.name}, {way}, {name}, {dtype}, {case.head.name}: {type(e).__name__}: {e} ({case.folder})")
            cells[case.row(), case.head.name] = f"**{cells.get((case.row(), case.head.name), 'fault')}** ({len(self.faults)})"

    def compare(self, case, result):
        """The largest difference of the numbers. Other ids of the texts are an error."""
        ids = [line["ids"] for line in self.bert.run("tokenize", "--model", case.folder, "--json", lines=TEXTS)]
        for line, ours, theirs in zip(TEXTS, ids, result["tokenized"], strict=True):
            if ours != theirs:
                raise ValueError(f"{line}: bert's ids are {ours}, the tool's {theirs}")
        ours = self.quantized(case.folder) if case.format.int8 else case.folder
        lines = self.bert.run(*case.head.ask, "--model", ours, "--json", lines=case.head.inputs)
        vocabulary = (self.bases[case.model.name, case.head.name, str(case.format.config)] / "vocab.txt").read_text().splitlines()
        pairs = list(case.head.pairs(lines, result["results"], vocabulary))
        if not pairs:
            raise ValueError("no numbers to compare")
        return max(abs(a - b) / max(1, abs(b)) for a, b in pairs)

    def table(self):
        """The tables, in Markdown."""
        out = []
        for model in self.models:
            cells = self.cells[model.name]
            if not cells:
                continue
            heads = [head.name for head in HEADS if any(column == head.name for _, column in cells)]
            out += [f"Model: {model.name}", "", f"| | format | type | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
            for row in dict.fromkeys(row for row, _ in cells):
                out.append(f"| {' | '.join(row)} | {' | '.join(cells.get((row, head), '–') for head in heads)} |")
            out.append("")
        out += [f"{i}. {fault}" for i, fault in enumerate(self.faults, 1)]
        return "\n".join(out)


def main():
    names = [tool.name for tool in TOOLS]
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--bert", default="bert", help="the program")
    p.add_argument("--tools", default=",".join(names), help=f"between commas, of: {', '.join(names)}")
    p.add_argument("--model", action="append", default=[], help="an encoder to take too, such as the folder of all-MiniLM-L6-v2")
    p.add_argument("--quick", action="store_true", help="the random model in float32 only, and no format that takes long")
    p.add_argument("--work", help="the folder to write to, which is kept; without it, one that is removed")
    p.add_argument("--prepare", action="store_true", help="make the environments and no more")
    a = p.parse_args()
    if unknown := set(a.tools.split(",")) - set(names):
        p.error(f"--tools: there is no {', '.join(unknown)}")
    tools = [tool for tool in TOOLS if tool.name in a.tools.split(",")]
    try:
        for venv in dict.fromkeys(["torch"] + [tool.venv for tool in tools]):
            venvs.make(venv)
    except venvs.Unavailable as e:
        print(f"{p.prog}: {e}", file=sys.stderr)
        return 3
    if a.prepare:
        return 0
    models = (MODELS[:1] if a.quick else MODELS) + [Model(Path(path).name, ["encoder"], path) for path in a.model]
    bert = Bert(a.bert)
    work = Path(a.work or tempfile.mkdtemp(prefix="bert-interop-"))
    if a.work:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    try:
        m = Matrix(bert, work, models, tools, a.quick)
        m.make_bases()
        m.plan()
        m.run()
    finally:
        if not a.work:
            shutil.rmtree(work)
    print("Versions: " + "; ".join(m.versions.values()) + ".\n")
    print(m.table())
    print(f"{len(m.cases)} cases, {len(m.faults)} faults", file=sys.stderr)
    return 1 if m.faults else 0


if __name__ == "__main__":
    sys.exit(main())
