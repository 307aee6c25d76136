#!/usr/bin/env python3
"""Times the peer of `linden bench dit`: diffusers' WanTransformer3DModel with random weights, eager and by torch.compile.

    python3 scripts/bench/diffusers_wan.py
    python3 scripts/bench/diffusers_wan.py --device cpu --dtype float32 --heads 2 --head-dim 32 --ffn-dim 128 --layers 2 --text-dim 48 \
        --freq-dim 32 --frames 5 --height 96 --width 128 --text-tokens 16 --repeats 3

The defaults are Wan 2.1 T2V 1.3B at 81 frames of 480 x 832: one pass without guidance, without gradients. Prints one JSON line for each
mode: {"what", "mode", "ms", "peak_gb", "tokens", "layers", "batch", "text_tokens", "width", "dtype", "device", "torch", "diffusers"}; ms is the median of --repeats passes by
CUDA events after warm-up, peak_gb the most memory allocated in a pass (null on the CPU). A failure is a line with "error".
Needs diffusers (0.42.1 was used); nothing is downloaded. torch.compile takes some minutes.
"""
import argparse
import json
import statistics
import sys
import time

import diffusers
import torch
from diffusers import WanTransformer3DModel


def make_model(a, device, dtype):
    torch.manual_seed(0)
    with torch.device(device):
        model = WanTransformer3DModel(
            num_attention_heads=a.heads, attention_head_dim=a.head_dim, ffn_dim=a.ffn_dim, num_layers=a.layers, text_dim=a.text_dim, freq_dim=a.freq_dim)
    model = model.eval().requires_grad_(False)
    # As from_pretrained(torch_dtype=...) loads it: these stay in fp32.
    keep = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    for name, parameter in model.named_parameters():
        if not any(part in keep for part in name.split(".")):
            parameter.data = parameter.data.to(dtype)
    return model


def once(call, device):
    """Milliseconds of one call."""
    if device.type == "cpu":
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def measure(forward, device, repeats):
    """(median milliseconds, peak GB or None)"""
    for _ in range(3):
        once(forward, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = [once(forward, device) for _ in range(repeats)]
    return statistics.median(times), torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("heads", 12), ("head-dim", 128), ("ffn-dim", 8960), ("layers", 30), ("text-dim", 4096), ("freq-dim", 256), ("frames", 81), ("height", 480),
                          ("width", 832), ("text-tokens", 512), ("batch", 1), ("repeats", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--modes", nargs="+", choices=("eager", "compiled"), default=["eager", "compiled"])
    parser.add_argument("--compile-mode", default="default", help="of torch.compile: default, max-autotune-no-cudagraphs ...")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--device", default="cuda")
    a = parser.parse_args()
    if (a.frames - 1) % 4 or a.height % 16 or a.width % 16:
        parser.error(f"--frames {a.frames} --height {a.height} --width {a.width}: wanted 1 more than a multiple of 4, and multiples of 16")
    device, dtype = torch.device(a.device), getattr(torch, a.dtype)
    model = make_model(a, device, dtype)
    size = ((a.frames - 1) // 4 + 1, a.height // 8, a.width // 8)
    latents = torch.randn(a.batch, 16, *size, device=device).to(dtype)
    text = torch.randn(a.batch, a.text_tokens, a.text_dim, device=device).to(dtype)
    timestep = torch.full((a.batch,), 500, device=device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    about = {"tokens": size[0] * size[1] * size[2] // 4, "layers": a.layers, "batch": a.batch, "text_tokens": a.text_tokens, "width": a.heads * a.head_dim, "dtype": a.dtype, "device": name, "torch": torch.__version__, "diffusers": diffusers.__version__}
    failures = 0
    for mode in a.modes:
        line = {"what": "wan_forward", "mode": mode}
        try:
            run = torch.compile(model, mode=a.compile_mode, dynamic=False) if mode == "compiled" else model
            with torch.no_grad():
                ms, peak = measure(lambda: run(latents, timestep, text, return_dict=False)[0], device, a.repeats)
            print(json.dumps({**line, "ms": round(ms, 3), "peak_gb": peak and round(peak, 3), **about}), flush=True)
        except RuntimeError as error:  # out of memory, no compiler
            failures += 1
            print(json.dumps({**line, "error": (str(error).splitlines() or [type(error).__name__])[0], **about}), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
