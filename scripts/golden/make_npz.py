#!/usr/bin/env python3
"""npz files as numpy writes them, for tests/io. Needs: pip install numpy.     Usage: scripts/golden/make_npz.py"""
import pathlib

import numpy as np

ARRAYS = {
    "counting": np.arange(6, dtype=np.float32).reshape(2, 3),
    "column_major": np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4)),
    "bytes": (np.arange(1000) % 256).astype(np.uint8),
    "scalar": np.int64(7),
}


def main():
    folder = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "io"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "stored.npz", **ARRAYS)
    np.savez_compressed(folder / "deflated.npz", **ARRAYS)


if __name__ == "__main__":
    main()
