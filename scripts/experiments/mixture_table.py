#!/usr/bin/env python3
"""Markdown table of the runs of scripts/experiments/mixture_truth: mean (deviation over seeds) by method, batch and NFE.

    python3 scripts/experiments/mixture_table.py runs/mixture_truth
"""
import glob
import json
import os
import statistics
import sys

folder = sys.argv[1] if len(sys.argv) > 1 else "runs/mixture_truth"
cells = {}
for file in glob.glob(os.path.join(folder, "*", "summary.json")):
    summary = json.load(open(file))
    config = json.load(open(os.path.join(os.path.dirname(file), "config.json")))
    key = (summary["method"], config["method"]["batch_size"], config["nfe"])
    cells.setdefault(key, []).append(summary)


def spread(values, digits=3):
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ({deviation:.{digits}f})"


print("| method | leaves in flight | NFE | seeds | root value | root - exact | mass of modes 5, 6, 7, 8 | MMD² | s a run |")
print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
for (method, batch, nfe), runs in sorted(cells.items()):
    masses = [statistics.mean(r["mode_masses"][k] for r in runs) for k in range(4, 8)]
    error = [r["root_value"] - r["exact_root_value"] for r in runs]
    print(f"| {method} | {batch} | {nfe:.3g} | {len(runs)} | {spread([r['root_value'] for r in runs])} | {statistics.mean(error):+.3f} | "
          + ", ".join(f"{m:.4f}" for m in masses)
          + f" | {spread([r['mmd'] for r in runs], 4)} | {statistics.mean(r['search_seconds'] for r in runs):.1f} |")
