#!/usr/bin/env python3
"""Times the peer of `linden bench sampler`: diffusers' UNet2DModel on one GPU, eager and compiled with CUDA graphs.

    python3 scripts/bench/diffusers_unet.py configs/models/digits_unet --batches 1 8 64 256

Random weights (time does not depend on them), fp32 with TF32, channels-last. Prints, for each batch, the median over
repeats of the time of one step in ms: `network` is the forward alone; `step` adds DDIMScheduler.step with eta = 1.
Needs diffusers and a GPU.
"""
import argparse
import json
import statistics
import time

import torch
from diffusers import DDIMScheduler, UNet2DModel


def load(folder):
    config = {k: v for k, v in json.load(open(f"{folder}/config.json")).items() if not k.startswith("_")}
    model = UNet2DModel(**config).eval().requires_grad_(False).cuda()
    return model.to(memory_format=torch.channels_last), config


def timed(action, steps, repeats):
    """Median over repeats of the time of one call, in ms."""
    times = []
    for repeat in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            action()
        torch.cuda.synchronize()
        if repeat > 0:
            times.append((time.perf_counter() - start) * 1e3 / steps)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also torch.compile(mode='reduce-overhead')")
    parser.add_argument("--autotune", action="store_true", help="let cuDNN measure its algorithms (cudnn.benchmark)")
    arguments = parser.parse_args()
    torch.backends.cudnn.benchmark = arguments.autotune
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model, config = load(arguments.folder)
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(50)
    size, channels = config["sample_size"], config["in_channels"]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {arguments.folder}")
    print(f"{'batch':>6} {'eager network':>14} {'eager step':>12} {'compiled network':>17}  ms")
    for batch in arguments.batches:
        x = torch.randn(batch, channels, size, size, device="cuda").contiguous(memory_format=torch.channels_last)
        t = torch.tensor(500, device="cuda")
        with torch.no_grad():
            def step():
                scheduler.step(model(x, t).sample, 500, x, eta=1.0)
            eager = timed(lambda: model(x, t).sample, arguments.steps, arguments.repeats)
            whole = timed(step, arguments.steps, arguments.repeats)
            compiled = float("nan")
            if arguments.compile:
                torch._dynamo.reset()
                fast = torch.compile(model, mode="reduce-overhead", dynamic=False)
                for _ in range(5):
                    fast(x, t)
                compiled = timed(lambda: fast(x, t).sample, arguments.steps, arguments.repeats)
        print(f"{batch:>6} {eager:>14.3f} {whole:>12.3f} {compiled:>17.3f}", flush=True)


if __name__ == "__main__":
    main()
