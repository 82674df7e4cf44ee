"""ONNX Runtime: it runs a graph, and writes one that its optimizers have changed."""

import shutil
from pathlib import Path

import numpy
import onnxruntime
from common import answer, serve
from tokenizers import Tokenizer


def open_graph(path, optimized=None, exact=False):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if exact:  # without operators of its own, whose last bits differ
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    if optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(session):
    """Computes the arrays of a sequence."""
    shape = {x.name: len(x.shape) for x in session.get_inputs()}
    names = [x.name for x in session.get_outputs()]

    def outputs(ids, types):
        inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)}
        feed = {name: numpy.array(inputs[name], dtype=numpy.int64).reshape((1,) * (rank - 1) + (-1,)) for name, rank in shape.items()}
        return {name: x[0].tolist() for name, x in zip(names, session.run(names, feed), strict=True)}

    return outputs


def tokenizer_of(folder):
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def read(job):
    graph = open_graph(Path(job["from"]) / "model.onnx", exact="int8" in job["format"])
    return answer(tokenizer_of(job["from"]), job, run(graph))


def write(job):
    """Takes the graph that bert writes, in job["onnx"]."""
    source, folder = Path(job["onnx"]), Path(job["to"])
    folder.mkdir(parents=True)
    for path in source.iterdir():
        if path.suffix in (".json", ".txt"):
            shutil.copy(path, folder)
    session = open_graph(source / "model.onnx", folder / "model.onnx")
    return answer(tokenizer_of(folder), job, run(session))


if __name__ == "__main__":
    serve(f"ONNX Runtime {onnxruntime.__version__}", {"read": read, "write": write})
