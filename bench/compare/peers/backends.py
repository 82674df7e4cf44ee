"""The runtimes, each set up as its documentation recommends for throughput on processors. Each imports its own library alone, so that a
start is measured as it would be in a program of its own.

Legend: B sequences, n tokens, H hidden, C labels."""

import json
import os
from pathlib import Path


def centred(logits):
    """Logits less their mean, which log-probabilities share: [B,C]."""
    return logits - logits.mean(-1, keepdims=True)


class Backend:
    """A model in spec["folder"], as models.py makes it."""

    batch = 32  # of texts

    def __init__(self, spec):
        self.spec = spec
        self.threads, self.precision, self.folder = spec["threads"], spec["precision"], Path(spec["folder"])
        self.varied = spec["work"] != "infer"  # batches have many shapes
        self.config = json.loads((self.folder / "config.json").read_text())
        self.classifies = self.config["architectures"][0] == "BertForSequenceClassification"
        self.tokenizer = None

    def output(self, ids, mask):
        """The logits [B,C] of a classifier or the last hidden states [B,n,H] of an encoder, from int64 arrays [B,n]."""
        raise NotImplementedError

    def prepare(self, ids):
        """A pass over sequences without padding, which gives output."""
        import numpy

        mask = numpy.ones_like(ids)
        return lambda: self.output(ids, mask)

    def finish(self, out, mask):
        """Centred logits, or the mean of hidden states as a vector of length 1."""
        import numpy

        out = numpy.asarray(out, dtype=numpy.float32)
        if self.classifies:
            return centred(out)
        v = numpy.einsum("bnh,bn->bh", out, mask.astype(numpy.float32)) / mask.sum(1, keepdims=True)
        return v / numpy.linalg.norm(v, axis=1, keepdims=True)

    def batches(self, texts, max_length):
        """The texts in batches of like length, the longest first, padded: their places, ids and mask."""
        import numpy
        from tokenizers import Tokenizer

        if self.tokenizer is None:
            self.tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
            self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_length)
        rows = [e.ids for e in self.tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        for at in range(0, len(order), self.batch):
            places = order[at : at + self.batch]
            ids = numpy.zeros((len(places), len(rows[places[0]])), numpy.int64)
            mask = numpy.zeros_like(ids)
            for row, i in enumerate(places):
                ids[row, : len(rows[i])] = rows[i]
                mask[row, : len(rows[i])] = 1
            yield places, ids, mask

    def encode(self, texts, max_length):
        """What finish makes of each text."""
        answers = [None] * len(texts)
        for places, ids, mask in self.batches(texts, max_length):
            for i, v in zip(places, self.finish(self.output(ids, mask), mask), strict=True):
                answers[i] = v
        return answers


class Torch(Backend):
    """transformers with scaled_dot_product_attention; where it is compiled, with frozen weights."""

    def __init__(self, spec):
        super().__init__(spec)
        import torch
        import transformers

        self.torch = torch
        torch.set_num_threads(self.threads)
        auto = transformers.BertForSequenceClassification if self.classifies else transformers.BertModel
        more = {} if self.classifies else {"add_pooling_layer": False}
        model = auto.from_pretrained(self.folder, dtype=torch.float32, attn_implementation="sdpa", **more).eval()
        if self.precision == "bf16":
            model = model.to(torch.bfloat16)
        if self.precision == "int8":
            torch.backends.quantized.engine = "onednn"
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        if spec["variant"] == "compiled":
            import torch._inductor.config

            torch._inductor.config.freezing = True
            model = torch.compile(model, dynamic=self.varied)
        self.model = model

    def run(self, ids, mask):
        with self.torch.inference_mode():
            out = self.model(input_ids=ids, attention_mask=mask)
            return out.logits if self.classifies else out.last_hidden_state

    def prepare(self, ids):
        ids = self.torch.from_numpy(ids)
        return lambda: self.run(ids, None)

    def output(self, ids, mask):
        return self.run(self.torch.from_numpy(ids), self.torch.from_numpy(mask))

    def finish(self, out, mask):
        out = out.float()
        if self.classifies:
            return centred(out).numpy()
        mask = self.torch.from_numpy(mask).unsqueeze(-1).float()
        return self.torch.nn.functional.normalize((out * mask).sum(1) / mask.sum(1)).numpy()


class SentenceTransformers(Backend):
    """Its own encode, which sorts texts by length too."""

    def __init__(self, spec):
        super().__init__(spec)
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(self.threads)
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        self.model = SentenceTransformer(str(self.folder), device="cpu", model_kwargs={"dtype": dtype, "attn_implementation": "sdpa"})

    def encode(self, texts, max_length):
        self.model.max_seq_length = max_length
        return self.model.encode(texts, batch_size=self.batch, normalize_embeddings=True, show_progress_bar=False)


class ONNXRuntime(Backend):
    """The graph with fused attention, GELU and LayerNorm; int8 quantized dynamically, by channel."""

    def __init__(self, spec):
        super().__init__(spec)
        import onnxruntime

        o = onnxruntime.SessionOptions()
        o.intra_op_num_threads, o.inter_op_num_threads = self.threads, 1
        o.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        o.log_severity_level = 3
        path = self.folder / ("int8.onnx" if self.precision == "int8" else "fused.onnx")
        self.session = onnxruntime.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])

    def output(self, ids, mask):
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
        return self.session.run(None, {x.name: inputs[x.name].astype(x.type[7:-1]) for x in self.session.get_inputs()})[0]


class OpenVINO(Backend):
    """int8 by NNCF, whose other products are in bfloat16. Batches of one shape have a model compiled for that shape. The variant "streams"
    computes as many batches at once as there are threads."""

    def __init__(self, spec):
        super().__init__(spec)
        import openvino

        self.openvino = openvino
        self.core = openvino.Core()
        if spec["work"] == "start":
            self.core.set_property({"CACHE_DIR": str(self.folder / "openvino-cache")})
        self.streams = spec["variant"] == "streams"
        self.path = self.folder / ("openvino-int8.xml" if self.precision == "int8" else "openvino.xml")
        self.settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32" if self.precision == "float32" else "bf16",
            "PERFORMANCE_HINT": "THROUGHPUT" if self.streams else "LATENCY",
        }
        self.compiled, self.request = None, None

    def compile(self, shape=None):
        model = self.core.read_model(str(self.path))
        if shape:
            model.reshape({x.get_any_name(): list(shape) for x in model.inputs})
        return self.core.compile_model(model, "CPU", self.settings)

    def feed(self, ids, mask):
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}

    def prepare(self, ids):
        import numpy

        request = self.compile(ids.shape).create_infer_request()
        inputs = self.feed(ids, numpy.ones_like(ids))
        return lambda: request.infer(inputs, share_inputs=True, share_outputs=True)[0]

    def output(self, ids, mask):
        if self.request is None:
            self.request = self.compile().create_infer_request()
        return self.request.infer(self.feed(ids, mask), share_inputs=True)[0]

    def encode(self, texts, max_length):
        if not self.streams:
            return super().encode(texts, max_length)
        self.compiled = self.compiled or self.compile()
        answers, queue = [None] * len(texts), self.openvino.AsyncInferQueue(self.compiled, self.threads)

        def keep(request, batch):
            places, mask = batch
            for i, v in zip(places, self.finish(request.get_output_tensor(0).data, mask), strict=True):
                answers[i] = v

        queue.set_callback(keep)
        for places, ids, mask in self.batches(texts, max_length):
            queue.start_async(self.feed(ids, mask), (places, mask))
        queue.wait_all()
        return answers


class CTranslate2(Backend):
    """The encoder, whose padding it removes itself, and with numpy a classifier's last product."""

    def __init__(self, spec):
        super().__init__(spec)
        import ctranslate2
        import numpy

        self.ctranslate2, self.numpy = ctranslate2, numpy
        self.encoder = ctranslate2.Encoder(str(self.folder / "ctranslate2"), device="cpu", compute_type=self.precision, intra_threads=self.threads)
        if self.classifies:
            head = numpy.load(self.folder / "classifier.npz")
            self.weight, self.bias = head["weight"], head["bias"]

    def view(self, x):
        return self.ctranslate2.StorageView.from_array(self.numpy.ascontiguousarray(x.astype(self.numpy.int32)))

    def run(self, ids, lengths):
        out = self.encoder.forward_batch(ids, lengths)
        if not self.classifies:
            return self.numpy.array(out.last_hidden_state)
        return self.numpy.array(out.pooler_output) @ self.weight.T + self.bias

    def prepare(self, ids):
        lengths = self.view(self.numpy.full(len(ids), ids.shape[1]))
        ids = self.view(ids)
        return lambda: self.run(ids, lengths)

    def output(self, ids, mask):
        return self.run(self.view(ids), self.view(mask.sum(1)))


class TorchTrainer:
    """Steps of fine-tuning: dropout as configured, the norm of the gradient clipped to 1, fused AdamW; bf16 is autocast's."""

    def __init__(self, spec):
        import torch
        import transformers

        self.torch, self.precision = torch, spec["precision"]
        torch.set_num_threads(spec["threads"])
        torch.manual_seed(1)
        self.model = transformers.BertForSequenceClassification.from_pretrained(spec["folder"], dtype=torch.float32, attn_implementation="sdpa")
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)
        self.forward = torch.compile(self.mean_loss, dynamic=False) if spec["variant"] == "compiled" else self.mean_loss
        self.steps = {}

    def mean_loss(self, ids, labels):
        return self.torch.nn.functional.cross_entropy(self.model(input_ids=ids).logits.float(), labels)

    def autocast(self):
        return self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.precision == "bf16")

    def loss(self, ids, labels):
        """The loss without dropout."""
        self.model.eval()
        with self.torch.no_grad(), self.autocast():
            return float(self.mean_loss(self.torch.tensor(ids), self.torch.tensor(labels)))

    def prepare(self, batch, length):
        if (batch, length) not in self.steps:
            c = self.model.config
            ids = self.torch.randint(1000, c.vocab_size, (batch, length))
            labels = self.torch.randint(0, c.num_labels, (batch,))
            self.steps[batch, length] = lambda: self.step(ids, labels)
        return self.steps[batch, length]

    def step(self, ids, labels):
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = self.forward(ids, labels)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()


BACKENDS = {
    "torch": Torch, "sentence-transformers": SentenceTransformers, "onnxruntime": ONNXRuntime, "openvino": OpenVINO, "ctranslate2": CTranslate2,
}


def open_backend(spec):
    os.environ.setdefault("OMP_NUM_THREADS", str(spec["threads"]))
    return BACKENDS[spec["backend"]](spec)
