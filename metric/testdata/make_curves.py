"""Writes curves.json, what scikit-learn says of the points and areas of curves, of calibration and of Brier's score.

    python3 make_curves.py > curves.json      # scikit-learn 1.9.1, NumPy 2.4.6; the same bits each time
"""

import json

import numpy as np
from sklearn import calibration, metrics

rng = np.random.default_rng(17)


def case(name, labels, scores):
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, at = metrics.precision_recall_curve(labels, scores)
    out = {
        "name": name, "labels": labels.tolist(), "scores": scores.tolist(),
        "fpr": fpr.tolist(), "tpr": tpr.tolist(), "thresholds": [None if np.isinf(t) else t for t in thresholds.tolist()],
        "precision": precision.tolist(), "recall": recall.tolist(), "pr_thresholds": at.tolist(),
        "auc": float(metrics.auc(fpr, tpr)), "average_precision": float(metrics.average_precision_score(labels, scores)),
    }
    if scores.min() >= 0 and scores.max() <= 1:
        out["brier"] = float(metrics.brier_score_loss(labels, scores))
        for strategy in ("uniform", "quantile"):
            true, mean = calibration.calibration_curve(labels, scores, n_bins=7, strategy=strategy)
            out[strategy] = {"accuracy": true.tolist(), "confidence": mean.tolist()}
    return out


n = 60
labels = rng.integers(0, 2, n)
print(json.dumps([
    case("random", labels, rng.random(n)),
    case("good", labels, np.clip(labels * 0.4 + rng.random(n) * 0.6, 0, 1)),
    case("ties", labels, rng.integers(0, 5, n) / 4),
    case("logits", labels, rng.normal(0, 3, n) + labels),
    case("few", [0, 1, 1, 0], [0.1, 0.4, 0.35, 0.8]),
]))
