"""Runs a Python library on a file, as its documents recommend, and times its stages.

    runners.py openTSNE|umap|pacmap|pynndescent DATA.npy START.npy ITERATIONS OUT     writes OUT/{report.json, map.npy, neighbours.npy}
    runners.py field MAP.npy FORCE.npy                                    openTSNE's repulsive forces at a map
    runners.py cut DATA.npy FIRST OUT.npy                                 the rows from FIRST on
    runners.py labels LABELS.idx.gz FIRST OUT.npy                         the same of an idx file of labels

Stages are timed by wrapping the functions that the library calls for them; the rest of the fit counts as affinities. What
numba compiles is compiled before, by a fit of other data that takes the same path.
"""

import gzip
import json
import os
import sys
import time
from importlib import import_module

import numpy as np

SEED = 0
PERPLEXITY = 30


class Clock:
    """Seconds spent in functions of a module, with what they were given and returned."""

    def __init__(self):
        self.seconds, self.given, self.results = {}, {}, {}

    def wrap(self, owner, name, stage):
        inner = getattr(owner, name)

        def timed(*args, **kwargs):
            start = time.perf_counter()
            self.given[stage] = args
            self.results[stage] = inner(*args, **kwargs)
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
            return self.results[stage]

        setattr(owner, name, timed)


def fit_opentsne(data, start, iterations, clock):
    import openTSNE
    from openTSNE import affinity

    if not clock.results:
        clock.wrap(affinity, "joint_probabilities_nn", "affinities")
    began = time.perf_counter()
    affinities = affinity.PerplexityBasedNN(data, perplexity=PERPLEXITY, n_jobs=-1, random_state=SEED)
    prepared = time.perf_counter()
    clock.seconds["neighbours"] = prepared - began - clock.seconds["affinities"]
    early = min(250, iterations)
    tsne = openTSNE.TSNE(n_jobs=-1, random_state=SEED, early_exaggeration_iter=early, n_iter=iterations - early)
    points = tsne.fit(affinities=affinities, initialization=start)
    clock.seconds["descent"] = time.perf_counter() - prepared
    return np.asarray(points), clock.given["affinities"][0], iterations


def fit_umap(data, start, _, clock):
    import umap

    module = import_module("umap.umap_")
    if not clock.results:
        clock.wrap(module, "nearest_neighbors", "neighbours")
        clock.wrap(module, "simplicial_set_embedding", "descent")
    points = umap.UMAP(init=start, n_jobs=-1).fit_transform(data)
    # Its own default: 500 epochs up to 10,000 points, 200 above.
    return points, clock.results["neighbours"][0][:, 1:], 500 if len(data) <= 10_000 else 200


def fit_pacmap(data, _, __, clock):
    import pacmap

    module = import_module("pacmap.pacmap")
    if not clock.results:
        clock.wrap(module, "compute_nearest_neighbors", "neighbours")
        clock.wrap(module, "pacmap", "descent")
    points = pacmap.PaCMAP(n_neighbors=10, MN_ratio=0.5, FP_ratio=2.0).fit_transform(data, init="pca")
    return points, clock.results["neighbours"][1], 450


def fit_pynndescent(data, _, __, clock):
    """Neighbours alone, as many as perplexity 30 asks for."""
    from pynndescent import NNDescent

    began = time.perf_counter()
    # Each point finds itself first.
    graph = NNDescent(data, n_neighbors=3 * PERPLEXITY + 1, n_jobs=-1, random_state=SEED).neighbor_graph
    clock.seconds["neighbours"] = time.perf_counter() - began
    return None, graph[0][:, 1:], 0


LIBRARIES = {"openTSNE": fit_opentsne, "umap": fit_umap, "pacmap": fit_pacmap, "pynndescent": fit_pynndescent}


def run(library, data, start, iterations, out):
    data, start = np.load(data).astype(np.float32), np.load(start)
    fit, clock = LIBRARIES[library], Clock()
    if library != "openTSNE":
        # 5,000 points: umap searches smaller data by another path. As many columns, since numba compiles for shapes.
        other = np.random.default_rng(1).normal(size=(5000 if len(data) > 4096 else 1000, data.shape[1]))
        fit(other.astype(np.float32), np.zeros((len(other), 2), np.float32) + other[:, :2], iterations, clock)
    clock.seconds.clear()
    began = time.perf_counter()
    points, neighbours, iterations = fit(data, start.copy(), iterations, clock)
    rest = time.perf_counter() - began - sum(clock.seconds.values())
    if points is not None:
        clock.seconds["affinities"] = clock.seconds.get("affinities", 0.0) + max(rest, 0.0)
    report = {"seconds": clock.seconds, "iterations": iterations, "peak_bytes": peak_bytes()}
    with open(f"{out}/report.json", "w") as file:
        json.dump(report, file, indent=2)
    if points is not None:
        np.save(f"{out}/map.npy", np.ascontiguousarray(points, np.float32))
    sample = min(len(data), 1000)
    rows = [s * len(data) // sample for s in range(sample)]
    np.save(f"{out}/neighbours.npy", np.ascontiguousarray(neighbours[rows], np.uint32))


def peak_bytes():
    """The peak of this process's resident memory, where the system tells it (Linux)."""
    if not os.path.exists("/proc/self/status"):
        return None
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def field(points, force):
    from openTSNE import _tsne

    points = np.load(points).astype(np.float64)
    gradient = np.zeros_like(points)
    # The defaults of TSNE: 3 nodes in intervals of 1, 50 of them at least.
    z = _tsne.estimate_negative_gradient_fft_2d(
        points, gradient, dof=1, n_interpolation_points=3, min_num_intervals=50, ints_in_interval=1
    )
    # It returns forces over Z, attraction positive.
    np.save(force, (-gradient * z).astype(np.float32))


def main(command, *arguments):
    if command == "field":
        field(*arguments)
    elif command == "cut":
        data, first, out = arguments
        np.save(out, np.load(data)[int(first):])
    elif command == "labels":
        labels, first, out = arguments
        with gzip.open(labels) as file:
            np.save(out, np.frombuffer(file.read(), np.uint8)[8 + int(first):])
    else:
        data, start, iterations, out = arguments
        run(command, data, start, int(iterations), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
