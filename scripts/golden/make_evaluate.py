#!/usr/bin/env python3
"""Reference values of src/evaluate: pytorch-fid's calculate_frechet_distance, torch-fidelity's KID and precision/recall,
scikit-learn's kernels and neighbours, numpy.

Features come from a formula that tests/evaluate repeats, so the file holds results only.
Needs: pip install pytorch-fid torch-fidelity scikit-learn.     Usage: python scripts/golden/make_evaluate.py
"""
import json
import pathlib

import numpy as np
import scipy
import sklearn
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from sklearn.metrics.pairwise import cosine_distances, polynomial_kernel, rbf_kernel, euclidean_distances
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric


def features(rows, columns, seed, scale=1.0, shift=0.0):
    i = np.arange(rows, dtype=np.float64)[:, None]
    j = np.arange(columns, dtype=np.float64)[None, :]
    return scale * np.sin(seed + 1.7 * i * (j + 1) + 0.3 * j * j) + shift * (j + 1)


def frechet(x, y):
    return float(calculate_frechet_distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)))


def kernel_distance(x, y):
    kernel = lambda a, b: polynomial_kernel(a, b, degree=3, gamma=1 / a.shape[1], coef0=1)
    m, n = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    return float((xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1)) - 2 * kernel(x, y).mean())


def mmd(x, y, gammas):
    total = lambda a, b: sum(rbf_kernel(a, b, gamma=gamma).mean() for gamma in gammas)
    return float(total(x, x) + total(y, y) - 2 * total(x, y))


def mmd_five(x, y):
    pooled = np.concatenate([x, y])
    squared = euclidean_distances(pooled, squared=True)
    width = squared.sum() / (len(pooled) * (len(pooled) - 1))
    return mmd(x, y, [1 / (width * 2.0**e) for e in range(-2, 3)])


def cmmd(x, y):
    unit = lambda rows: rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return 1000 * mmd(unit(x), unit(y), [1 / (2 * 10.0**2)])


def torch_fidelity_kid(x, y, num_subsets, subset_size):
    values = kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), kid_subsets=num_subsets, kid_subset_size=subset_size,
                                    kid_kernel="poly", kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1,
                                    rng_seed=2020, verbose=False)
    return values["kernel_inception_distance_mean"], values["kernel_inception_distance_std"]


def torch_fidelity_prc(generated, real, k):
    values = prc_features_to_metric(torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=k, prc_batch_size=10000,
                                    save_cpu_ram=False, verbose=False)
    return values["precision"], values["recall"]


def coverage(points, centres, k):
    radii = NearestNeighbors(n_neighbors=k + 1).fit(centres).kneighbors(centres)[0][:, k]
    return float((euclidean_distances(points, centres) <= radii[None, :]).any(1).mean())


def diversity(x):
    distances = cosine_distances(x)
    return float(distances.sum() / (len(x) * (len(x) - 1)))


def main():
    x, y = features(60, 6, 0.5), features(45, 6, 2.0, scale=1.3, shift=0.05)
    wide_x, wide_y = features(700, 16, 0.25), features(600, 16, 4.0, scale=0.9)
    real, drawn = features(400, 3, 0.5), features(300, 3, 0.52, scale=0.97)
    rewards = features(41, 1, 3.0)[:, 0]
    kid_whole, _ = torch_fidelity_kid(wide_x[:600], wide_y, 1, 600)
    kid_mean, kid_deviation = torch_fidelity_kid(wide_x, wide_y, 400, 100)
    precision, recall = torch_fidelity_prc(drawn, real, 5)
    golden = {
        "versions": f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, pytorch-fid 0.3.0, torch-fidelity 0.4.0",
        "frechet_distance": frechet(x, y),
        "frechet_distance_wide": frechet(wide_x, wide_y),
        "kernel_distance": kernel_distance(x, y),
        "kernel_distance_wide": kernel_distance(wide_x, wide_y),
        "torch_fidelity_kid_whole": kid_whole,
        "torch_fidelity_kid_mean": kid_mean,
        "torch_fidelity_kid_deviation": kid_deviation,
        "torch_fidelity_precision": precision,
        "torch_fidelity_recall": recall,
        "cmmd": cmmd(x, y),
        "cmmd_wide": cmmd(wide_x, wide_y),
        "mmd_rbf_sigma_0.7": mmd(x, y, [1 / (2 * 0.7**2)]),
        "mmd_rbf_five": mmd_five(x, y),
        "mmd_rbf_five_wide": mmd_five(wide_x, wide_y),
        "precision": coverage(y, x, 3),
        "recall": coverage(x, y, 3),
        "precision_dense": coverage(drawn, real, 5),
        "recall_dense": coverage(real, drawn, 5),
        "diversity": diversity(x),
        "diversity_wide": diversity(wide_y),
        "reward_mean": float(rewards.mean()),
        "reward_deviation": float(rewards.std(ddof=1)),
        "reward_median": float(np.median(rewards)),
    }
    path = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "evaluate" / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()
