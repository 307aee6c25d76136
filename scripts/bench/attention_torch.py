#!/usr/bin/env python3
"""Times torch's own expressions of what linden has operators for, on one GPU: the peers of linden's attention benchmarks.

    python3 scripts/bench/attention_torch.py --what linear softmax --maps hedgehog elu_plus_one --shapes 1,32760,12,128
    python3 scripts/bench/attention_torch.py --what norms --passes forward --compile off

--shapes is B,N,H,D; the norms have width H * D. `linear` is linear attention by einsum and the feature maps of
docs/linear_attention.md, `softmax` scaled_dot_product_attention by cuDNN, `norms` RMSNorm + rotary embedding and gate + residual +
LayerNorm + scale-shift, written as models write them. Each runs eagerly and (--compile on, both) by torch.compile(dynamic=False,
fullgraph=True), which takes up to a minute for each expression and pass.

Prints one JSON line for each: {"what", "shape", "map", "dtype", "mode", "pass", "us", "device", "torch"}; us is the median of --repeats
calls by CUDA events after warm-up, over inputs that rotate through more memory than an L2 cache has. `backward` is
autograd.grad on a forward pass that is not timed; a failure is a line with "error".
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

ROTATED_BYTES = 256 << 20  # that inputs cover: more than the L2 of any card
MAPS = ("hedgehog", "softmax", "elu_plus_one", "relu", "exp", "taylor2")
EPS = {"relu": 1e-6}       # of the denominator; 1e-12 for the others
PROJECTED_DIM = 16         # of taylor2


def feature_map(name, x, w, shift):
    """phi(x): [B, N, H, D] -> [B, N, H, R]. shift: of `exp` only."""
    if name == "hedgehog":
        y = torch.einsum("bnhd,hde->bnhe", x, w)
        return torch.cat([y.softmax(-1), (-y).softmax(-1)], -1)
    if name == "softmax":
        return x.softmax(-1)
    if name == "elu_plus_one":
        return F.elu(x) + 1
    if name == "relu":
        return x.relu()
    if name == "exp":
        return shift(x)
    u = torch.einsum("bnhd,hdp->bnhp", x, w)
    i, j = torch.triu_indices(u.shape[-1], u.shape[-1], device=u.device)
    weight = 1 + (0.5 ** 0.5 - 1) * (i == j).to(u.dtype)
    return torch.cat([torch.ones_like(u[..., :1]), u, u[..., i] * u[..., j] * weight], -1)


def linear_attention(name):
    def expression(q, k, v, w_q=None, w_k=None):
        largest = k.detach().amax(1, keepdim=True) if name == "exp" else None
        phi_q = feature_map(name, q, w_q, lambda x: (x + largest).softmax(-1))
        phi_k = feature_map(name, k, w_k, lambda x: (x - largest).exp())
        state = torch.einsum("bnhr,bnhd->bhrd", phi_k, v)
        denominator = torch.einsum("bnhr,bhr->bnh", phi_q, phi_k.sum(1)).clamp_min(EPS.get(name, 1e-12) * k.shape[1])
        return torch.einsum("bnhr,bhrd->bnhd", phi_q, state) / denominator[..., None]
    return expression


def softmax_attention(q, k, v):
    return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)


def rms_norm_rotary(x, weight, cos, sin):
    """x: [B, N, H, D], normed over H and D; cos, sin: [N, D/2], pairs interleaved."""
    wide = x.flatten(2).float()
    normed = ((wide * (wide.square().mean(-1, keepdim=True) + 1e-6).rsqrt()).to(x.dtype) * weight).view(x.shape)
    even, odd = normed.float().unflatten(-1, (-1, 2)).unbind(-1)
    c, s = cos[:, None], sin[:, None]
    return torch.stack([even * c - odd * s, even * s + odd * c], -1).flatten(-2).to(x.dtype)


def adaptive_layer_norm(residual, branch, gate, scale, shift):
    """residual, branch: [B, N, M]; gate, scale, shift: [B, M]. Returns the stream and its modulated norm as one."""
    x = residual + branch * gate[:, None]
    y = F.layer_norm(x.float(), x.shape[-1:], eps=1e-6).to(x.dtype) * (1 + scale[:, None]) + shift[:, None]
    return x, y


class Case:
    """An expression and what makes its inputs; only the tensors of `gradients` get one."""

    def __init__(self, what, map_name, expression, make, gradients, context=None):
        self.what, self.map, self.expression, self.make, self.gradients, self.context = what, map_name, expression, make, gradients, context


def cases(arguments, shape, dtype, device):
    batch, tokens, heads, dim = shape
    width = heads * dim

    def random(*sizes, scale=1.0):
        return (torch.randn(*sizes, device=device) * scale).to(dtype)

    if "linear" in arguments.what:
        for name in arguments.maps:
            projected = {"hedgehog": dim, "taylor2": PROJECTED_DIM}.get(name)

            def make(projected=projected):
                weights = [] if projected is None else [random(heads, dim, projected, scale=dim ** -0.5) for _ in range(2)]
                return [random(batch, tokens, heads, dim) for _ in range(3)] + weights
            yield Case("linear_attention", name, linear_attention(name), make, 3 if projected is None else 5)
    if "softmax" in arguments.what:
        def context():
            from torch.nn.attention import SDPBackend, sdpa_kernel
            return sdpa_kernel(SDPBackend.CUDNN_ATTENTION if device.type == "cuda" else SDPBackend.MATH)
        yield Case("softmax_attention", None, softmax_attention, lambda: [random(batch, tokens, heads, dim) for _ in range(3)], 3, context)
    if "norms" in arguments.what:
        angles = torch.arange(tokens, device=device)[:, None] * 10000.0 ** (-torch.arange(0, dim, 2, device=device) / dim)
        table = [angles.cos(), angles.sin()]
        yield Case("rms_norm_rotary", None, rms_norm_rotary, lambda: [random(batch, tokens, heads, dim), random(width)] + table, 2)
        yield Case("adaptive_layer_norm", None, adaptive_layer_norm,
                   lambda: [random(batch, tokens, width), random(batch, tokens, width)] + [random(batch, width) for _ in range(3)], 5)


class Clock:
    """Microseconds of one call: CUDA events, or the wall clock on the CPU."""

    def __init__(self, device, repeats):
        self.on_card, self.repeats = device.type == "cuda", repeats

    def once(self, call):
        if not self.on_card:
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) * 1e6
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3

    def median(self, call, num_inputs, prepare=lambda i: i):
        """call(prepare(i)): preparing is not timed."""
        times = []
        for i in range(self.repeats + 10):
            prepared = prepare(i % num_inputs)
            times.append(self.once(lambda: call(prepared)))
        return statistics.median(times[10:])


def as_tuple(out):
    return out if isinstance(out, tuple) else (out,)


def times_of(case, function, passes, clock, max_inputs):
    """{pass: microseconds}."""
    first = case.make()
    num_bytes = sum(x.numel() * x.element_size() for x in first)
    inputs = [first] + [case.make() for _ in range(min(max_inputs, -(-ROTATED_BYTES // num_bytes)) - 1)]
    result = {}
    if "forward" in passes:
        with torch.no_grad():
            result["forward"] = clock.median(lambda i: function(*inputs[i]), len(inputs))
    if "backward" in passes:
        for one in inputs:
            for x in one[:case.gradients]:
                x.requires_grad_()
        cotangents = [torch.randn_like(x) for x in as_tuple(function(*first))]

        def forward(i):
            return as_tuple(function(*inputs[i])), inputs[i][:case.gradients]
        result["backward"] = clock.median(lambda made: torch.autograd.grad(made[0], made[1], cotangents), len(inputs), forward)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=("linear", "softmax", "norms"), default=["linear", "softmax", "norms"])
    parser.add_argument("--maps", nargs="+", choices=MAPS, default=list(MAPS))
    parser.add_argument("--shapes", nargs="+", default=["1,32760,12,128"], help="B,N,H,D, several")
    parser.add_argument("--passes", nargs="+", choices=("forward", "backward"), default=["forward", "backward"])
    parser.add_argument("--compile", choices=("on", "off", "both"), default="both", help="compiled, eager or both")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--max-inputs", type=int, default=8, help="sets of inputs that rotate, at most")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    device, dtype = torch.device(arguments.device), getattr(torch, arguments.dtype)
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    clock = Clock(device, arguments.repeats)
    failures = 0
    for shape in ([int(n) for n in text.split(",")] for text in arguments.shapes):
        for case in cases(arguments, shape, dtype, device):
            modes = {"on": ("compiled",), "off": ("eager",), "both": ("eager", "compiled")}[arguments.compile]
            for mode in modes if case.what != "softmax_attention" else ("eager",):  # one kernel: nothing to compile
                line = {"what": case.what, "shape": shape, "map": case.map, "dtype": arguments.dtype, "mode": mode}
                about = {"device": name, "torch": torch.__version__}
                torch.manual_seed(0)
                torch._dynamo.reset()
                function = torch.compile(case.expression, dynamic=False, fullgraph=True) if mode == "compiled" else case.expression
                try:
                    if case.context is None:
                        times = times_of(case, function, arguments.passes, clock, arguments.max_inputs)
                    else:
                        with case.context():
                            times = times_of(case, function, arguments.passes, clock, arguments.max_inputs)
                    for which, us in times.items():
                        print(json.dumps({**line, "pass": which, "us": round(us, 2), **about}), flush=True)
                except RuntimeError as error:  # out of memory, or a kernel that refuses the inputs
                    failures += 1
                    print(json.dumps({**line, "error": str(error).splitlines()[0], **about}), flush=True)
                if device.type == "cuda":
                    torch.cuda.empty_cache()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
