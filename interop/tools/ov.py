"""OpenVINO: it runs a graph."""

from pathlib import Path

import numpy
import openvino
from common import answer, serve
from tokenizers import Tokenizer


def run(model):
    """Computes the arrays of a sequence."""
    rank = {x.get_any_name(): len(x.get_partial_shape()) for x in model.inputs}

    def outputs(ids, types):
        inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)}
        feed = {name: numpy.array(inputs[name], dtype=numpy.int64).reshape((1,) * (n - 1) + (-1,)) for name, n in rank.items()}
        return {name.get_any_name(): x[0].tolist() for name, x in model(feed).items()}

    return outputs


def read(job):
    # Where the processor has AMX, it would compute in bfloat16.
    model = openvino.Core().compile_model(str(Path(job["from"]) / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return answer(Tokenizer.from_file(str(Path(job["from"]) / "tokenizer.json")), job, run(model))


if __name__ == "__main__":
    serve(f"OpenVINO {openvino.__version__.split('-')[0]}", {"read": read})
