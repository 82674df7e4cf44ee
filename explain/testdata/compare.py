"""Times t-SNE of bert, openTSNE and scikit-learn on the same points, one after another.

    pip install scikit-learn==1.9.1 openTSNE==1.0.4
    python compare.py BERT [POINTS [DIMENSIONS]]

BERT is the program. The points are 40 normal clouds. All take 50 principal components, a perplexity of 30, 1,000 iterations and two
threads. Seconds are of the wall clock and of all processors; the trustworthiness of all three is scikit-learn's function, over a sample.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

os.environ.update(OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2")

import numpy as np
import openTSNE
import sklearn
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

program = sys.argv[1]
n = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
d = int(sys.argv[3]) if len(sys.argv) > 3 else 256
rng = np.random.default_rng(1)
x = (2 * rng.standard_normal((40, d))[rng.integers(40, size=n)] + rng.standard_normal((n, d))).astype(np.float32)
sample = rng.choice(n, min(n, 4000), replace=False)


def cpu():
    return sum(resource.getrusage(w).ru_utime + resource.getrusage(w).ru_stime for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(name, run):
    wall, busy = time.perf_counter(), cpu()
    y, kl = run()
    wall, busy = time.perf_counter() - wall, cpu() - busy
    trust = trustworthiness(x[sample], y[sample], n_neighbors=10)
    print(json.dumps({"program": name, "seconds": round(wall, 1), "cpu_seconds": round(busy, 1), "kl": round(kl, 4), "trustworthiness": round(trust, 4)}), flush=True)


def bert():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.npy"
        np.save(path, x)
        out = subprocess.run(
            [program, "project", "--vectors", path, "--method", "tsne", "--threads", "2", "--sample", str(n), "--json"],
            check=True, capture_output=True, text=True,
        ).stdout.splitlines()
    points = [json.loads(line) for line in out[1:]]
    return np.array([[p["x"], p["y"]] for p in points]), json.loads(out[0])["kl"]


def opentsne():
    y = PCA(50, random_state=1).fit_transform(x)
    e = openTSNE.TSNE(perplexity=30, n_jobs=2, random_state=1, early_exaggeration_iter=250, n_iter=750).fit(y)
    return np.asarray(e), float(e.kl_divergence)


def scikit():
    y = PCA(50, random_state=1).fit_transform(x)
    t = TSNE(perplexity=30, init="pca", learning_rate="auto", max_iter=1000, n_jobs=2, random_state=1)
    return t.fit_transform(y), float(t.kl_divergence_)


print(f"{n} points of {d} dimensions; openTSNE {openTSNE.__version__}, scikit-learn {sklearn.__version__}", flush=True)
measure("bert", bert)
measure("openTSNE", opentsne)
measure("scikit-learn", scikit)
