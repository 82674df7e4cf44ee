"""The table of heads: what each is called in transformers, what bert is asked of it, and which numbers of two answers belong together.

A result of a tool is a list of sequences for each input: one, or one for each choice. A sequence has "ids", "types", "offsets" and
"words" of its tokens, and under "out" the arrays of the model by the names that transformers has for them.
"""

import math
from dataclasses import dataclass, field
from typing import Callable

TEXTS = [
    {"text": "the film was a joy"},
    {"text": "was it dull?", "text_pair": "no, it was not dull at all."},
    {"text": "z"},
    {"text": "a long and winding story about a cat, a dog and the sea; nobody knows how it ends"},
]
MASKED = [
    {"text": "the film was [MASK]."},
    {"text": "was it [MASK]?", "text_pair": "no, it was not dull at all."},
    {"text": "[MASK]"},
]
PAIRS = [line for line in TEXTS if "text_pair" in line] + [{"text": "a cat", "text_pair": "the sea"}]
WHOLE = [{"text": line["text"]} for line in TEXTS]
WORDS = [{"words": line["text"].split()} for line in TEXTS]
QUESTIONS = [
    {"question": "was it dull?", "context": "no, the film was not dull at all. a dog and a cat had a joy in it."},
    {"question": "who knows?", "context": "nobody"},
]
CHOICES = [
    {"text": "the film was", "choices": ["a joy", "dull", "the sea, a cat and a dog"]},
    {"text": "a cat", "choices": ["and a dog", "knows"]},
]


def flat(x):
    """The numbers of nested lists, in their order."""
    if isinstance(x, list):
        for y in x:
            yield from flat(y)
    else:
        yield x


def both(ours, theirs):
    """The pairs of two nested lists of the same shape."""
    yield from zip(flat(ours), flat(theirs), strict=True)


def single(results):
    """The sequence of each input that has one."""
    for sequences in results:
        (sequence,) = sequences
        yield sequence


def hidden_states(lines, results, _):
    for line, s in zip(lines, single(results), strict=True):
        (layer,) = line["layers"]
        yield from both(layer["values"], s["out"]["last_hidden_state"])
        yield from both(line["pooled"], s["out"]["pooler_output"])


def log_probabilities(name):
    """The logarithms of the probabilities of all tokens at the [MASK] of each text, from the logits of that name."""

    def pairs(lines, results, vocabulary):
        for line, s in zip(lines, single(results), strict=True):
            logits = s["out"][name][line["position"]]
            top = max(logits)
            total = top + math.log(sum(math.exp(x - top) for x in logits))
            ours = {c["token"]: c["probability"] for c in line["candidates"]}
            if len(ours) != len(vocabulary):
                raise ValueError(f"{len(ours)} candidates for {len(vocabulary)} tokens")
            for token, logit in zip(vocabulary, logits, strict=True):
                yield math.log(ours[token]), logit - total

    return pairs


def vectors(lines, results, _):
    for line, s in zip(lines, single(results), strict=True):
        yield from both(line["pooled"], s["out"]["pooled"])


def logits(lines, results, _):
    for line, s in zip(lines, single(results), strict=True):
        yield from both(line["logits"], s["out"]["logits"])


def next_sentence(lines, results, _):
    """The logarithms of both probabilities."""
    for line, s in zip(lines, single(results), strict=True):
        row = s["out"]["logits"]
        top = max(row)
        total = top + math.log(sum(math.exp(x - top) for x in row))
        for name, logit in zip(["is_next", "not_next"], row, strict=True):
            yield math.log(line["probabilities"][name]), logit - total


def value(lines, results, _):
    for line, s in zip(lines, single(results), strict=True):
        yield from both([line["value"]], s["out"]["logits"])


def choice_logits(lines, results, _):
    for line, sequences in zip(lines, results, strict=True):
        yield from both(line["logits"], [s["out"]["logits"] for s in sequences])


def word_labels(lines, results, _):
    """The probability of the best label of each word. All labels begin an entity, so that each word is one."""
    for line, s in zip(lines, single(results), strict=True):
        for entity in line["entities"]:
            row = s["out"]["logits"][s["words"].index(entity["first_word"])]
            top = max(row)
            yield entity["score"], 1 / sum(math.exp(x - top) for x in row)
            yield ord(entity["type"]) - ord("A"), row.index(top)


def answers(lines, results, _):
    """The logits of the first and the last token of each candidate. The contexts are ASCII: bytes are characters."""
    for line, s in zip(lines, single(results), strict=True):
        context = [i for i, (kind, (start, end)) in enumerate(zip(s["types"], s["offsets"])) if kind == 1 and end > start]
        first = {s["offsets"][i][0]: i for i in context}
        last = {s["offsets"][i][1]: i for i in context}
        for answer in line["n_best"]:
            yield answer["start_logit"], s["out"]["start_logits"][first[answer["start"]]]
            yield answer["end_logit"], s["out"]["end_logits"][last[answer["end"]]]


def labels(*names):
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


@dataclass(frozen=True)
class Head:
    name: str
    auto: str  # transformers' class
    ask: list[str]  # a command of bert and its flags
    inputs: list[dict]  # what it reads, a line each
    pairs: Callable  # (bert's lines, a tool's results, the vocabulary) -> pairs of numbers
    config: dict = field(default_factory=dict)  # keys of config.json


ENCODE = ["encode", "--layers", "-1", "--pooling", "pooler"]
FILL_MASK = ["fill-mask", "--top-k", "1000000"]  # all tokens

HEADS = [
    Head("encoder", "AutoModel", ENCODE, TEXTS, hidden_states),
    Head("pre-training", "AutoModelForPreTraining", FILL_MASK, MASKED, log_probabilities("prediction_logits")),
    Head("masked LM", "AutoModelForMaskedLM", FILL_MASK, MASKED, log_probabilities("logits")),
    Head("next sentence", "AutoModelForNextSentencePrediction", ["predict"], PAIRS, next_sentence),
    Head("classifier", "AutoModelForSequenceClassification", ["predict"], TEXTS, logits, labels("bad", "fair", "good")),
    Head("multi-label", "AutoModelForSequenceClassification", ["predict"], TEXTS, logits,
         labels("a", "b", "c", "d") | {"problem_type": "multi_label_classification"}),
    Head("regression", "AutoModelForSequenceClassification", ["predict"], TEXTS, value, labels("score") | {"problem_type": "regression"}),
    Head("tokens", "AutoModelForTokenClassification", ["predict"], WORDS, word_labels, labels("B-A", "B-B", "B-C")),
    Head("questions", "AutoModelForQuestionAnswering", ["predict"], QUESTIONS, answers),
    Head("choices", "AutoModelForMultipleChoice", ["predict"], CHOICES, choice_logits),
    Head("sentence vector", "AutoModel", ["encode"], WHOLE, vectors),
]
