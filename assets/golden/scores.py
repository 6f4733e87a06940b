"""Makes scores.json: what scikit-learn, scipy and ZADU say of some maps.

    python3 assets/golden/scores.py        (numpy, scipy, scikit-learn, zadu)

Data: the digits (600 rows), the irises and Old Faithful, jittered so that no two distances are equal. Maps: two sums of columns, with
whole coefficients. tests/score.rs makes the same of the same files.
"""

import itertools
import json
import pathlib

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score
from zadu.measures import scale_normalized_stress, stress, trustworthiness_continuity

here = pathlib.Path(__file__).parent


def table(path):
    return np.array([[float(x) for x in line.split(",")] for line in path.read_text().split()[1:]])


def case(x):
    n, m = x.shape
    i, j = np.mgrid[:n, :m]
    x = (x + 0.01 * (((i * 7919 + j * 104729) % 1009) / 1009.0)).astype(np.float32).astype(np.float64)
    a = np.array([[(c * 37 + 11) % 101 - 50, (c * 53 + 29) % 101 - 50] for c in range(m)], dtype=np.float64)
    y = (x @ a).astype(np.float32).astype(np.float64)
    return x, y, (np.arange(n) * 5) // n


def measures(x, y, labels):
    n = len(x)
    dx, dy = squareform(pdist(x)), squareform(pdist(y))
    order = lambda d: np.argsort(np.where(np.eye(n, dtype=bool), -1, d), axis=1, kind="stable")[:, 1:]
    ox, oy = order(dx), order(dy)
    rank = lambda o: np.argsort(np.argsort(np.hstack([np.arange(n)[:, None], o]), axis=1), axis=1)
    rx, ry = np.empty((n, n), int), np.empty((n, n), int)
    for r, o in [(rx, ox), (ry, oy)]:
        for row in range(n):
            r[row, o[row]] = np.arange(1, n)
            r[row, row] = 0
    larger = np.maximum(rx, ry)[~np.eye(n, dtype=bool)]
    kept = np.cumsum(np.bincount(larger, minlength=n)[1:])
    ks = np.arange(1, n - 1)
    rnx = ((n - 1) * kept[: n - 2] / (ks * n) - ks) / (n - 1 - ks)
    out = {"k": {}}
    for k in [5, 10, 30]:
        both = trustworthiness_continuity.measure(x, y, k=k)
        trust, cont = trustworthiness(x, y, n_neighbors=k), trustworthiness(y, x, n_neighbors=k)
        assert abs(trust - both["trustworthiness"]) < 1e-12 and abs(cont - both["continuity"]) < 1e-12
        recall = np.mean([len(set(a[:k]) & set(b[:k])) / k for a, b in zip(ox, oy)])
        votes = [np.bincount(labels[o[:k]]).argmax() for o in oy]
        out["k"][str(k)] = {
            "trustworthiness": trust,
            "continuity": cont,
            "knn_recall": recall,
            "label_accuracy": float(np.mean(votes == labels)),
        }
    a, b = pdist(x), pdist(y)
    out.update(
        rnx_area=float(np.sum(rnx / ks) / np.sum(1 / ks)),
        silhouette=silhouette_score(y, labels),
        spearman=spearmanr(a, b)[0],
        pearson=pearsonr(a, b)[0],
        stress_1=float(np.sqrt(np.sum((a - b) ** 2) / np.sum(b**2))),
        normalized_stress=float(stress.measure(x, y)["stress"]),
        scale_normalized_stress=float(scale_normalized_stress.measure(x, y)["scale_normalized_stress"]),
    )
    few = 60
    right = [(dx[i, j] < dx[i, k]) == (dy[i, j] < dy[i, k]) for i in range(few) for j, k in itertools.combinations([p for p in range(few) if p != i], 2)]
    out["triplets_of_60"] = float(np.mean(right))
    return out


digits = np.load(here.parent / "digits.npy").astype(np.float64)[:600]
irises, faithful = table(here / "iris.csv"), table(here.parent / "faithful.csv")
result = {name: measures(*case(x)) for name, x in [("digits", digits), ("iris", irises), ("faithful", faithful)]}
(here / "scores.json").write_text(json.dumps(result, indent=1) + "\n")
