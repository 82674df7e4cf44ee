"""google-research/bert, whose modeling.py is of TensorFlow 1: what of that is gone from TensorFlow 2 is put in its place."""

import json
import os
import shutil
import sys
import types
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy
import tensorflow
from common import answer, serve
from tokenizers import Tokenizer

tf = tensorflow.compat.v1


def dense(inputs, units, activation=None, name="dense", kernel_initializer=None):
    """tf.layers.dense of a matrix or a batch of vectors."""
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [inputs.shape[-1], units], initializer=kernel_initializer)
        bias = tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
    y = tf.matmul(inputs, kernel) + bias
    return activation(y) if activation else y


def layer_norm(inputs, begin_norm_axis, begin_params_axis, scope):
    """tf.contrib.layers.layer_norm over the last axis, whose epsilon is 1e-12."""
    assert begin_norm_axis == begin_params_axis == -1
    with tf.variable_scope(scope or "LayerNorm"):
        beta = tf.get_variable("beta", [inputs.shape[-1]], initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", [inputs.shape[-1]], initializer=tf.ones_initializer())
    mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)


contrib = types.ModuleType("tensorflow.contrib")
contrib.layers = types.SimpleNamespace(layer_norm=layer_norm)
sys.modules["tensorflow.contrib"] = contrib

from bert import modeling  # it imports contrib


class Old:
    """tf as modeling.py is to see it."""

    layers = types.SimpleNamespace(dense=dense)

    def __getattr__(self, name):
        return getattr(tf, name)


modeling.tf = Old()


def pre_training(model, config):
    """The heads of run_pretraining.py, of all tokens."""
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            x = dense(model.get_sequence_output()[0], config.hidden_size, modeling.get_activation(config.hidden_act))
            x = modeling.layer_norm(x)
        bias = tf.get_variable("output_bias", [config.vocab_size], initializer=tf.zeros_initializer())
        predictions = tf.matmul(x, model.get_embedding_table(), transpose_b=True) + bias
    with tf.variable_scope("cls/seq_relationship"):
        weights = tf.get_variable("output_weights", [2, config.hidden_size])
        bias = tf.get_variable("output_bias", [2])
    return {"prediction_logits": predictions, "seq_relationship_logits": tf.matmul(model.get_pooled_output(), weights, transpose_b=True) + bias}


def classifier(model, config):
    """The head of run_classifier.py."""
    weights = tf.get_variable("output_weights", [len(config.id2label), config.hidden_size])
    bias = tf.get_variable("output_bias", [len(config.id2label)])
    return {"logits": (tf.matmul(model.get_pooled_output(), weights, transpose_b=True) + bias)[0]}


def encoder(model, _):
    return {"last_hidden_state": model.get_sequence_output()[0], "pooler_output": model.get_pooled_output()[0]}


HEADS = {"encoder": encoder, "pre-training": pre_training, "classifier": classifier}


class Graph:
    """A model's graph, in a session."""

    def __init__(self, config, head):
        self.session = tf.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            self.ids, self.types = tf.placeholder(tf.int32, [1, None]), tf.placeholder(tf.int32, [1, None])
            model = modeling.BertModel(config, False, self.ids, token_type_ids=self.types)
            self.outputs = HEADS[head](model, config)
            self.variables = tf.global_variables()
            self.saver = tf.train.Saver()

    def run(self, ids, types):
        out = self.session.run(self.outputs, {self.ids: [ids], self.types: [types]})
        return {name: x.tolist() for name, x in out.items()}


def read(job):
    folder = Path(job["from"])
    graph = Graph(modeling.BertConfig.from_json_file(str(folder / "bert_config.json")), job["head"])
    prefix = str(folder / "bert_model.ckpt")
    names = {name for name, _ in tf.train.list_variables(prefix)}
    if names != {v.op.name for v in graph.variables}:
        raise ValueError(f"not in both: {sorted(names ^ {v.op.name for v in graph.variables})}")
    graph.saver.restore(graph.session, prefix)
    return answer(Tokenizer.from_file(str(folder / "tokenizer.json")), job, graph.run)


def write(job):
    source, folder = Path(job["from"]), Path(job["to"])
    folder.mkdir(parents=True)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder)
    config = json.loads((source / "config.json").read_text())
    config["hidden_act"] = "gelu"  # which is tanh's approximation here
    (folder / "bert_config.json").write_text(json.dumps(config))
    graph = Graph(modeling.BertConfig.from_json_file(str(folder / "bert_config.json")), job["head"])
    rng = numpy.random.default_rng(1)
    with graph.session.graph.as_default():
        for v in graph.variables:
            v.load(rng.normal(1 if v.op.name.endswith("gamma") else 0, 0.2, v.shape.as_list()).astype("float32"), graph.session)
        graph.saver.save(graph.session, str(folder / "bert_model.ckpt"))
    return answer(Tokenizer.from_file(str(source / "tokenizer.json")), job, graph.run)


if __name__ == "__main__":
    tf.disable_eager_execution()
    serve(f"google-research/bert of bert-tensorflow 1.0.4, TensorFlow {tensorflow.__version__}", {"read": read, "write": write})
