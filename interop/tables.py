"""The tables of formats, tools and models. Adding one is a row."""

from dataclasses import dataclass, field

from heads import HEADS

DTYPES = ["float32", "float16", "bfloat16"]

# bert's names of them.
DTYPE_FLAGS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


SENTENCE = ["sentence vector"]
PLAIN = [head.name for head in HEADS if head.name not in SENTENCE]
GRAPHS = [name for name in PLAIN if name != "next sentence"]  # whose graph has no output that bert prints


@dataclass(frozen=True)
class Format:
    name: str
    convert: list[str] | None  # how bert writes it; None: it does not
    dtypes: list[str] = field(default_factory=lambda: ["float32"])
    heads: list[str] = field(default_factory=lambda: PLAIN)
    config: dict = field(default_factory=dict)  # keys of config.json that a model of this format has
    slow: bool = False  # left out by --quick
    int8: bool = False  # of a model that bert quantize made, which bert runs as it is
    bound: float | None = None  # in place of the tool's


FORMATS = [
    Format("safetensors", ["--to", "hf"], DTYPES),
    Format("safetensors, sharded", ["--to", "hf", "--max-shard-size", "20KB"], DTYPES),
    Format("PyTorch", ["--to", "torch"], DTYPES),
    Format("ONNX", ["--to", "onnx"], heads=GRAPHS),
    # Where the last bits of a number differ, it may be rounded to the next integer, which is a 127th of the largest in its row.
    Format("ONNX, int8", ["--to", "onnx"], heads=GRAPHS, int8=True, bound=0.15),
    Format("ONNX, dynamo", None, heads=GRAPHS, slow=True),
    Format("ONNX, optimized", None, heads=GRAPHS),
    # Where the name gelu means tanh's approximation, only gelu_new is the same to both.
    Format("TensorFlow", ["--to", "tf"], heads=["encoder", "pre-training", "classifier"], config={"hidden_act": "gelu_new"}),
    Format("sentence-transformers", None, heads=SENTENCE),
]


@dataclass(frozen=True)
class Tool:
    name: str
    venv: str  # a row of venvs.VENVS
    script: str  # in tools/
    reads: list[str]  # formats that bert writes and the tool reads
    writes: list[str]  # formats that the tool writes and bert reads
    bound: float  # the largest max |a−b| / max(1, |b|) of float32


TOOLS = [
    Tool("transformers 5", "torch", "hf", ["safetensors", "safetensors, sharded", "PyTorch"],
         ["safetensors", "safetensors, sharded", "PyTorch", "ONNX", "ONNX, dynamo"], 1e-5),
    Tool("transformers 4", "transformers4", "hf", ["safetensors", "safetensors, sharded", "PyTorch"],
         ["safetensors", "safetensors, sharded", "PyTorch"], 1e-5),
    Tool("ONNX Runtime", "torch", "ort", ["ONNX", "ONNX, int8"], ["ONNX, optimized"], 1e-5),
    Tool("OpenVINO", "openvino", "ov", ["ONNX"], [], 1e-5),
    Tool("google-research/bert", "tensorflow", "google_bert", ["TensorFlow"], ["TensorFlow"], 1e-5),
    Tool("sentence-transformers", "torch", "st", [], ["sentence-transformers"], 1e-5),
]


@dataclass(frozen=True)
class Model:
    name: str
    heads: list[str]
    source: str  # what bert convert reads; "": it is made at random


# Beside these, --model DIR adds an encoder.
MODELS = [
    Model("random, 2 layers of 24", PLAIN + SENTENCE, ""),
    Model("starter", ["masked LM"], "starter"),
]
