"""Writes goldens.json, what scikit-learn and SciPy say of random and of awkward cases.

    python3 make_goldens.py > goldens.json      # scikit-learn 1.2.1, SciPy 1.10.1, NumPy 1.24.2; the same bits each time

null stands where they have no value: an AUC of one class, a correlation of equal values. The expected calibration error,
which they lack, is computed here from the definition, bin by bin; Pearson's coefficient in exact arithmetic, because SciPy
loses digits of values far from zero, and compared with SciPy's.
"""

import json
import warnings
from fractions import Fraction
from math import isqrt

import numpy as np
from scipy import stats
from sklearn import metrics

warnings.simplefilter("ignore")
rng = np.random.default_rng(20)


def plain(x):
    return x.tolist() if isinstance(x, (np.ndarray, np.generic)) else x


def classification(name, classes, labels, predictions):
    every = list(range(classes))

    def scores(average):
        p, r, f, s = metrics.precision_recall_fscore_support(
            labels, predictions, labels=every, average=average, zero_division=0)
        return {"precision": plain(p), "recall": plain(r), "f1": plain(f), "support": s if s is None else s.astype(int).tolist()}

    return {
        "name": name, "classes": classes, "labels": plain(labels), "predictions": plain(predictions),
        "accuracy": metrics.accuracy_score(labels, predictions),
        "confusion": plain(metrics.confusion_matrix(labels, predictions, labels=every)),
        "matthews": float(metrics.matthews_corrcoef(labels, predictions)),
        "per_class": scores(None), "micro": scores("micro"), "macro": scores("macro"), "weighted": scores("weighted"),
    }


def binary(name, labels, predictions):
    tn, fp, fn, tp = metrics.confusion_matrix(labels, predictions, labels=[0, 1]).ravel()
    return {
        "name": name, "labels": plain(labels), "predictions": plain(predictions),
        "tp": int(tp), "tn": int(tn), "fp": int(fp), "fn": int(fn),
        "precision": plain(metrics.precision_score(labels, predictions, zero_division=0)),
        "recall": plain(metrics.recall_score(labels, predictions, zero_division=0)),
        "f1": plain(metrics.f1_score(labels, predictions, zero_division=0)),
        "accuracy": metrics.accuracy_score(labels, predictions),
        "matthews": float(metrics.matthews_corrcoef(labels, predictions)),
        "auc_hard": auc(labels, predictions),
    }


def auc(labels, scores):
    return plain(metrics.roc_auc_score(labels, scores)) if len(set(plain(labels))) == 2 else None


def ranking(name, labels, scores):
    return {"name": name, "labels": plain(labels), "scores": plain(scores), "auc": auc(labels, scores)}


def correlation(name, x, y):
    def value(f):
        v = f(x, y)[0]
        return None if np.isnan(v) else float(v)

    r = value(stats.pearsonr)
    if r is not None:
        rough, r = r, pearson(x, y)
        assert abs(r - rough) < 1e-9, (name, r, rough)
    return {"name": name, "x": plain(x), "y": plain(y), "pearson": r, "spearman": value(stats.spearmanr)}


def pearson(x, y):
    x, y = [Fraction(v) for v in plain(x)], [Fraction(v) for v in plain(y)]
    x, y = [v - sum(x) / len(x) for v in x], [v - sum(y) / len(y) for v in y]
    xy = sum(a * b for a, b in zip(x, y))
    square = xy * xy / (sum(a * a for a in x) * sum(b * b for b in y))
    root = float(Fraction(isqrt((square.numerator << 400) // square.denominator), 2**200))
    return root if xy > 0 else -root


def probability(name, labels, p):
    p = np.asarray(p, dtype=np.float64)

    def ece(bins):
        confidence, predicted = p.max(axis=1), p.argmax(axis=1)
        error = 0.0
        for b in range(1, bins + 1):
            inside = np.ceil(confidence * bins) == b
            if inside.any():
                error += inside.mean() * abs((predicted[inside] == labels[inside]).mean() - confidence[inside].mean())
        return float(error)

    labels = np.asarray(labels)
    return {
        "name": name, "classes": p.shape[1], "labels": plain(labels), "probabilities": plain(p.ravel()),
        "log_loss": float(metrics.log_loss(labels, p, labels=list(range(p.shape[1])))),
        "ece": [{"bins": b, "value": ece(b)} for b in (1, 2, 10, 15)],
    }


def multilabel(name, labels, predictions):
    def scores(average):
        p, r, f, s = metrics.precision_recall_fscore_support(labels, predictions, average=average, zero_division=0)
        return {"precision": plain(p), "recall": plain(r), "f1": plain(f), "support": s if s is None else s.astype(int).tolist()}

    return {
        "name": name, "classes": labels.shape[1], "labels": plain(labels.ravel() == 1), "predictions": plain(predictions.ravel() == 1),
        "per_class": scores(None), "micro": scores("micro"), "macro": scores("macro"), "weighted": scores("weighted"),
        "subset_accuracy": metrics.accuracy_score(labels, predictions), "hamming_loss": plain(metrics.hamming_loss(labels, predictions)),
    }


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


out = {"classification": [], "binary": [], "ranking": [], "correlation": [], "probability": [], "multilabel": []}

for classes, n in ((2, 40), (3, 50), (5, 60), (20, 80)):
    labels = rng.integers(0, classes, n)
    noisy = np.where(rng.random(n) < 0.7, labels, rng.integers(0, classes, n))
    out["classification"] += [
        classification(f"random {classes}", classes, labels, rng.integers(0, classes, n)),
        classification(f"mostly right {classes}", classes, labels, noisy),
        classification(f"all right {classes}", classes, labels, labels),
        classification(f"all wrong {classes}", classes, labels, (labels + 1) % classes),
        classification(f"one class predicted {classes}", classes, labels, np.full(n, classes - 1)),
        classification(f"skewed {classes}", classes, rng.choice(classes, n, p=softmax(-3.0 * np.arange(classes)[None])[0]), noisy),
    ]
out["classification"] += [
    classification("one example right", 2, np.array([1]), np.array([1])),
    classification("one example wrong", 2, np.array([1]), np.array([0])),
    classification("one class", 1, np.array([0, 0, 0]), np.array([0, 0, 0])),
    classification("classes without examples", 6, np.array([1, 1, 4, 4, 4]), np.array([1, 4, 4, 4, 2])),
    classification("one label in all examples", 3, np.array([2, 2, 2, 2]), np.array([2, 0, 2, 1])),
]

for tp, tn, fp, fn in ((7, 5, 2, 3), (2, 9, 8, 1), (0, 5, 0, 4), (0, 5, 3, 0), (4, 0, 0, 3), (4, 0, 6, 0), (0, 0, 0, 3), (0, 0, 3, 0),
                       (3, 0, 0, 0), (0, 3, 0, 0), (0, 0, 2, 3), (1, 1, 1, 1), (1, 50, 1, 0), (20, 21, 3, 4)):
    labels = np.array([1] * tp + [0] * tn + [0] * fp + [1] * fn)
    predictions = np.array([1] * tp + [0] * tn + [1] * fp + [0] * fn)
    order = rng.permutation(len(labels))
    out["binary"].append(binary(f"TP {tp} TN {tn} FP {fp} FN {fn}", labels[order], predictions[order]))

for n in (2, 3, 10, 100):
    labels = np.concatenate([[0, 1], rng.integers(0, 2, n - 2)])
    for digits in (16, 1, 0):
        scores = np.round(rng.normal(size=n) + labels, digits)
        out["ranking"] += [ranking(f"{n} scores of {digits} digits", labels, scores)]
    out["ranking"] += [
        ranking(f"{n} equal scores", labels, np.full(n, 0.25)),
        ranking(f"{n} separated", labels, labels * 2.0 + rng.random(n)),
        ranking(f"{n} inverted", labels, -labels * 2.0 + rng.random(n)),
        ranking(f"{n} of one class", np.ones(n, dtype=int), rng.random(n)),
        ranking(f"{n} of the other", np.zeros(n, dtype=int), rng.random(n)),
    ]
out["ranking"].append(ranking("skewed", np.array([1] + [0] * 60), np.round(rng.random(61), 1)))
out["ranking"].append(ranking("neighbours", np.array([0, 1, 1, 0]), np.array([1.0, np.nextafter(1, 2), 1.0, np.nextafter(1, 0)])))
out["ranking"].append(ranking("both zeros", np.array([0, 1, 0, 1]), np.array([0.0, -0.0, -1.0, 1.0])))

for n in (2, 3, 10, 60):
    x, noise = rng.normal(size=n), rng.normal(size=n)
    out["correlation"] += [
        correlation(f"{n} independent", x, noise),
        correlation(f"{n} dependent", x, 2 * x + 0.5 * noise),
        correlation(f"{n} opposite", x, -3 * x + 1),
        correlation(f"{n} monotone", x, np.exp(3 * x)),
        correlation(f"{n} with ties", np.round(x), np.round(x + noise, 0)),
        correlation(f"{n} far from zero", x + 1e6, noise + x - 1e6),
        correlation(f"{n} tiny", x * 1e-300, (x + noise) * 1e-200),
        correlation(f"{n} huge", x * 1e300, (x + noise) * 1e200),
        correlation(f"{n} against a constant", x, np.full(n, 0.1)),
        correlation(f"{n} a constant against", np.full(n, 1e9 + 0.1), x),
    ]
out["correlation"].append(correlation("equal against unequal", np.array([1.0, 1.0]), np.array([1.0, 2.0])))
out["correlation"].append(correlation("ratings", np.round(rng.random(60) * 5, 1), np.round(rng.random(60) * 25) / 5))

for classes, n in ((2, 30), (3, 40), (10, 20)):
    labels = rng.integers(0, classes, n)
    z = rng.normal(size=(n, classes)) * 2
    z[np.arange(n), labels] += 1.5
    p = softmax(z)
    out["probability"] += [
        probability(f"softmax {classes}", labels, p),
        probability(f"float32 softmax {classes}", labels, softmax(z.astype(np.float32))),
        probability(f"sure {classes}", labels, softmax(40 * z)),
        probability(f"equal {classes}", labels, np.full((n, classes), 1 / classes)),
        probability(f"right and certain {classes}", labels, np.eye(classes)[labels]),
        probability(f"wrong and certain {classes}", labels, np.eye(classes)[(labels + 1) % classes]),
    ]
tenths = rng.integers(0, 11, 40) / 10
out["probability"].append(probability("on the edges of bins", rng.integers(0, 2, 40), np.stack([tenths, 1 - tenths], axis=1)))
out["probability"].append(probability("one example", [1], [[0.25, 0.75]]))

for classes, n in ((2, 30), (4, 40), (12, 25)):
    labels = (rng.random((n, classes)) < 0.3).astype(int)
    noisy = np.where(rng.random((n, classes)) < 0.8, labels, 1 - labels)
    none, every = np.zeros_like(labels), np.ones_like(labels)
    out["multilabel"] += [
        multilabel(f"mostly right {classes}", labels, noisy),
        multilabel(f"all right {classes}", labels, labels),
        multilabel(f"all wrong {classes}", labels, 1 - labels),
        multilabel(f"none predicted {classes}", labels, none),
        multilabel(f"every predicted {classes}", labels, every),
        multilabel(f"none there {classes}", none, noisy),
        multilabel(f"one never there {classes}", labels * (np.arange(classes) > 0), noisy),
    ]
out["multilabel"].append(multilabel("one example", np.array([[1, 0, 1]]), np.array([[1, 1, 0]])))

print("{")
for i, kind in enumerate(out):
    print(f' "{kind}": [')
    print(",\n".join("  " + json.dumps(case, allow_nan=False) for case in out[kind]))
    print(" ]" + ("," if i + 1 < len(out) else ""))
print("}")
