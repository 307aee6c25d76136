#!/usr/bin/env python3
"""Reference values of src/evaluate: scikit-learn's kernels and neighbours, scipy's matrix root in
pytorch-fid's formula (mseitzer/pytorch-fid, fid_score.py, calculate_frechet_distance), numpy.

Features come from a formula that tests/evaluate repeats, so the file holds results only.
Needs: pip install numpy scipy scikit-learn.     Usage: scripts/golden/make_evaluate.py
"""
import json
import pathlib

import numpy as np
import scipy
import sklearn
from scipy import linalg
from sklearn.metrics.pairwise import cosine_distances, polynomial_kernel, rbf_kernel, euclidean_distances
from sklearn.neighbors import NearestNeighbors


def features(rows, columns, seed, scale=1.0, shift=0.0):
    i = np.arange(rows, dtype=np.float64)[:, None]
    j = np.arange(columns, dtype=np.float64)[None, :]
    return scale * np.sin(seed + 1.7 * i * (j + 1) + 0.3 * j * j) + shift * (j + 1)


def frechet(x, y):
    mu1, mu2 = x.mean(0), y.mean(0)
    sigma1, sigma2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = linalg.sqrtm(sigma1.dot(sigma2)).real
    return float((mu1 - mu2).dot(mu1 - mu2) + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(root))


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
    golden = {
        "versions": f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}",
        "frechet_distance": frechet(x, y),
        "frechet_distance_wide": frechet(wide_x, wide_y),
        "kernel_distance": kernel_distance(x, y),
        "kernel_distance_wide": kernel_distance(wide_x, wide_y),
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
