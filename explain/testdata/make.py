"""Writes the goldens of package explain: what scikit-learn 1.9.1 and SciPy make of its own data sets.

    pip install scikit-learn==1.9.1
    python make.py

digits.csv.gz and iris.csv are the data with their classes in the last column; projections.json the numbers.
"""

import gzip
import json
import pathlib

import numpy as np
import sklearn
from scipy.spatial.distance import pdist, squareform
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.manifold._t_sne import _gradient_descent, _joint_probabilities, _kl_divergence
from sklearn.neighbors import NearestNeighbors

assert sklearn.__version__ == "1.9.1", sklearn.__version__
here = pathlib.Path(__file__).parent


def table(x, y, fmt):
    return "".join(",".join([fmt(v) for v in row] + [str(c)]) + "\n" for row, c in zip(x, y))


digits, digit = load_digits(return_X_y=True)
iris, species = load_iris(return_X_y=True)
with gzip.GzipFile(here / "digits.csv.gz", "w", mtime=0) as f:
    f.write(table(digits, digit, lambda v: str(int(v))).encode())
(here / "iris.csv").write_text(table(iris, species, lambda v: repr(float(v))))


def pca(x, k, points):
    p = PCA(n_components=k, svd_solver="full").fit(x)
    return {
        "ratios": p.explained_variance_ratio_.tolist(),
        "variances": p.explained_variance_.tolist(),
        "components": p.components_.tolist(),
        "points": p.transform(x)[:points].tolist(),
    }


def start(n):
    """Where t-SNE begins: the same numbers here and in Go."""
    i = np.arange(n)
    return 1e-4 * np.stack([np.sin(0.7 * i + 1), np.cos(1.3 * i)], axis=1)


def recall(x, y, k):
    a = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False)
    b = NearestNeighbors(n_neighbors=k).fit(y).kneighbors(return_distance=False)
    return float(np.mean([len(set(p) & set(q)) / k for p, q in zip(a, b)]))


n = len(digits)
init = start(n)
p = _joint_probabilities(squareform(pdist(digits, "sqeuclidean")), 30, 0)
rate = max(n / 12 / 4, 50)
first, _, _ = _gradient_descent(
    _kl_divergence, init.ravel().copy(), it=0, max_iter=10, n_iter_check=50, momentum=0.5, learning_rate=rate,
    args=[p * 12, 1, n, 2],
)
first = first.reshape(n, 2)

tsne = {}
for method in ("exact", "barnes_hut"):
    t = TSNE(perplexity=30, init=init.astype(np.float32), method=method, learning_rate="auto", max_iter=1000)
    y = t.fit_transform(digits)
    tsne[method] = {
        "kl": float(t.kl_divergence_),
        "trustworthiness": float(trustworthiness(digits, y, n_neighbors=12)),
        "recall": recall(digits, y, 10),
    }
    print(method, tsne[method])

flat = PCA(n_components=2, svd_solver="full").fit_transform(digits)
golden = {
    "pca": {"digits": pca(digits, 5, 10), "iris": pca(iris, 4, 10)},
    "trustworthiness": {str(k): float(trustworthiness(digits, flat, n_neighbors=k)) for k in (5, 12)},
    "tsne": {
        "affinities": {"sum_of_squares": float((p**2).sum() * 2), "first": squareform(p)[0, 1:11].tolist()},
        "after_10": first[:50].tolist(),
        "after_10_norm": float(np.linalg.norm(first)),
        **tsne,
    },
}
(here / "projections.json").write_text(json.dumps(golden, indent=1) + "\n")
