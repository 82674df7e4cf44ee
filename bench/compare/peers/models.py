"""Makes a model in the forms that the peers of bench/compare read: `models.py JOB`, JOB in JSON (modelJob in models.go). It prints a line
of JSON for each form, with an error where that form can't be had. What is there already is kept.

The folder has a model as transformers writes it (or sentence-transformers, of an encoder); fused.onnx and int8.onnx for ONNX Runtime;
openvino.xml and openvino-int8.xml; ctranslate2/ and classifier.npz."""

import json
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "true"}
warnings.filterwarnings("ignore")

JOB = json.loads(sys.argv[1])
FOLDER = Path(JOB["folder"])
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
VOCABULARY = 30522  # tokens of a model at random, as of bert-base-uncased
LABELS = 16  # so that their logits tell a wrong result


def config():
    return json.loads((FOLDER / "config.json").read_text())


def classifies():
    return config()["architectures"][0] == "BertForSequenceClassification"


def load(**options):
    import transformers

    auto = transformers.BertForSequenceClassification if classifies() else transformers.BertModel
    return auto.from_pretrained(FOLDER, **options).eval()


def make(folder):
    """Copies a model, or makes one at random."""
    if JOB["source"]:
        shutil.copytree(JOB["source"], folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("onnx", "openvino", "*.onnx", "*.bin", ".*"))
        return
    import torch
    import transformers

    tokens = (Path(JOB["vocabulary"]) / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokens += [f"[unused-{i}]" for i in range(VOCABULARY - len(tokens))]
    (folder / "vocab.txt").write_text("".join(token + "\n" for token in tokens), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512}))
    torch.manual_seed(1)
    c = transformers.BertConfig(
        vocab_size=len(tokens), num_hidden_layers=JOB["layers"], hidden_size=JOB["hidden"], num_attention_heads=JOB["heads"],
        intermediate_size=4 * JOB["hidden"],
    )
    if JOB["encoder"]:
        transformers.BertModel(c).save_pretrained(folder)
    else:
        c.num_labels = LABELS
        transformers.BertForSequenceClassification(c).save_pretrained(folder)
    (folder / "tokenizer.json").unlink(missing_ok=True)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    if JOB["encoder"]:
        as_pipeline(folder)


def as_pipeline(folder):
    """Makes an encoder a folder of sentence-transformers: the mean of hidden states, as a vector of length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    transformer = modules.Transformer(str(folder))
    parts = [transformer, modules.Pooling(transformer.get_embedding_dimension(), "mean"), modules.Normalize()]
    with tempfile.TemporaryDirectory(dir=folder.parent) as temp:
        SentenceTransformer(modules=parts, device="cpu").save(temp)
        shutil.copytree(temp, folder, dirs_exist_ok=True)


def plain_onnx(path):
    """Exports the graph: logits, or the last hidden states."""
    import torch

    class Arrays(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, *arrays):
            out = self.model(**dict(zip(INPUTS, arrays, strict=True)))
            return out.logits if hasattr(out, "logits") else out.last_hidden_state

    ids = torch.arange(1000, 1016).reshape(2, 8)
    axes = {0: "batch", 1: "sequence"}
    with torch.no_grad():
        torch.onnx.export(
            Arrays(load(attn_implementation="eager")), (ids, torch.ones_like(ids), torch.zeros_like(ids)), path, dynamo=False,
            opset_version=17, input_names=INPUTS, output_names=["out"],
            dynamic_axes={name: axes for name in INPUTS} | {"out": {0: "batch"} if classifies() else axes},
        )


def fused(path):
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions

    c = config()
    model = optimizer.optimize_model(
        str(needed("plain.onnx")), "bert", num_heads=c["num_attention_heads"], hidden_size=c["hidden_size"],
        optimization_options=FusionOptions("bert"), opt_level=0,
    )
    model.save_model_to_file(str(path))


def int8_onnx(path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        needed("fused.onnx"), path, weight_type=QuantType.QInt8, per_channel=True,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": 1},
    )


def openvino(path):
    import openvino

    openvino.save_model(openvino.convert_model(str(needed("plain.onnx"))), str(path), compress_to_fp16=False)


def openvino_int8(path):
    import nncf
    import numpy
    import openvino
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    samples = []
    for line in Path(JOB["texts"]).read_text(encoding="utf-8").splitlines()[:64]:
        e = tokenizer.encode(line)
        samples.append({name: numpy.array([x], numpy.int64) for name, x in zip(INPUTS, (e.ids, e.attention_mask, e.type_ids), strict=True)})
    model = nncf.quantize(
        openvino.Core().read_model(str(needed("openvino.xml"))), nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples),
    )
    openvino.save_model(model, str(path), compress_to_fp16=False)


def ctranslate2(path):
    """Converts the encoder; a classifier's last product is beside it."""
    import ctranslate2
    import numpy
    import transformers

    with tempfile.TemporaryDirectory(dir=FOLDER) as temp:
        transformers.BertModel.from_pretrained(FOLDER).save_pretrained(temp)
        c = json.loads(Path(temp, "config.json").read_text())
        Path(temp, "config.json").write_text(json.dumps(c | {"position_embedding_type": "absolute"}))  # which the converter asks for
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(FOLDER / name, temp)
        ctranslate2.converters.TransformersConverter(temp).convert(str(path))
    if classifies():
        head = load().classifier
        numpy.savez(FOLDER / "classifier.npz", weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy())


FORMS = {  # in the order in which they are made
    "plain.onnx": plain_onnx, "fused.onnx": fused, "int8.onnx": int8_onnx,
    "openvino.xml": openvino, "openvino-int8.xml": openvino_int8, "ctranslate2": ctranslate2,
}


def needed(name):
    """The path of another form, which has to be there."""
    path = FOLDER / name
    if not path.exists():
        raise FileNotFoundError(f"there is no {name}")
    return path


def whole(path, build):
    """Lets build write a file or folder, which appears when it is complete. OpenVINO writes a second file beside its first."""
    if path.exists():
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".making-") as temp:
        build(Path(temp) / path.name)
        for made in sorted(Path(temp).iterdir(), key=lambda made: made.name == path.name):
            os.replace(made, path.parent / made.name)


def model(path):
    path.mkdir()
    make(path)


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    for name, build in [("model", model), *FORMS.items()]:
        result = {"form": name}
        try:
            whole(FOLDER if build is model else FOLDER / name, build)
        except Exception as e:  # any: it is what is said of the peer
            result["error"] = f"{type(e).__name__}: {e}"[:300]
        out.write(json.dumps(result) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
