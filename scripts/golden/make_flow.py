#!/usr/bin/env python3
"""Writes the goldens of the flow samplers from the reference library (diffusers 0.42.1, torch 2.11).

    python scripts/golden/make_flow.py            # from the repository root

Run it again only when a case is added; the file is committed.

tests/golden/diffusion/flow_steps.safetensors
    <case>/timesteps [N] fp32, <case>/sigmas [N+1] fp32, <case>/samples [N+1, 2, 3] fp32: x before each step and at the end
    <case>/noise [N, 2, 3]: of the stochastic case; metadata <case> = settings as JSON.

The "network" is velocity(x, sigma) = 0.8 x - cos(2 x + 3 sigma), so that every step depends on all before it. Cases of the
convention "wan" are not the reference's: no package of it is published, so `wan_schedule` and `wan_unipc` below transcribe its formulas
(Wan-Video/Wan2.1, wan/utils/fm_solvers_unipc.py), in double precision and independently of the C++.
"""

import json
import math
import pathlib

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, __version__
from diffusers.utils.torch_utils import randn_tensor
from safetensors.torch import save_file

FILE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "diffusion" / "flow_steps.safetensors"
SHIFTS = (3.0, 5.0, 8.0)
STEPS = (4, 7, 10, 20, 50)


def velocity(x, sigma):
    return 0.8 * x - torch.cos(2 * x + 3 * sigma)


def start():
    return torch.randn(2, 3, generator=torch.Generator().manual_seed(11))


def scheduler_of(kind, shift, order):
    if kind == "euler":
        return FlowMatchEulerDiscreteScheduler(shift=shift)
    if kind == "flow_sde":
        return FlowMatchEulerDiscreteScheduler(shift=shift, stochastic_sampling=True)
    kinds = {"unipc": UniPCMultistepScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
    return kinds[kind](prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=order)


def diffusers_case(kind, shift, steps, order):
    scheduler = scheduler_of(kind, shift, order)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)  # it would look the first timestep up by value, and skip a step where two are equal
    x, samples, noise = start(), [start()], []
    for i, t in enumerate(scheduler.timesteps):
        options = {}
        if kind == "flow_sde":
            noise.append(randn_tensor(x.shape, generator=torch.Generator().manual_seed(i)))
            options["generator"] = torch.Generator().manual_seed(i)
        x = scheduler.step(velocity(x, scheduler.sigmas[i]), t, x, **options).prev_sample
        samples.append(x)
    out = {"timesteps": scheduler.timesteps.float(), "sigmas": scheduler.sigmas.float(), "samples": torch.stack(samples)}
    if noise:
        out["noise"] = torch.stack(noise)
    return out


def wan_schedule(shift, steps):
    """linspace(sigma_max, 0, N + 1) without its last, shifted, with sigma_max = 0.999 kept in fp32."""
    sigmas = [shift * s / (1 + (shift - 1) * s) for s in np.linspace(float(np.float32(0.999)), 0, steps + 1)[:-1]]
    return torch.tensor([float(int(1000 * s)) for s in sigmas]), torch.tensor(sigmas + [0.0], dtype=torch.float32)


def wan_unipc(sigmas, order_max):
    """UniPC-bh2 that predicts x0, corrector after every step but the first; written out for orders 1 and 2."""
    sigma = [float(s) for s in sigmas]
    steps = len(sigma) - 1
    lam = [math.log((1 - s) / s) for s in sigma[:-1]] + [math.inf]
    x, clean, last, order = start().double(), [], None, 0
    samples = [x]
    for i in range(steps):
        m = x - sigma[i] * velocity(x, sigma[i])
        if i > 0:
            h = lam[i] - lam[i - 1]
            grow = math.expm1(-h)
            x = sigma[i] / sigma[i - 1] * last - (1 - sigma[i]) * grow * clean[-1]
            if order == 1:
                x = x - (1 - sigma[i]) * grow * 0.5 * (m - clean[-1])
            else:
                r = (lam[i - 2] - lam[i - 1]) / h
                phi1 = grow / -h - 1
                phi2 = phi1 / -h - 0.5
                rho = np.linalg.solve(np.array([[1, 1], [r, 1]]), np.array([phi1 / grow, 2 * phi2 / grow]))
                x = x - (1 - sigma[i]) * grow * (rho[0] * (clean[-2] - clean[-1]) / r + rho[1] * (m - clean[-1]))
        order, last = min(order_max, steps - i, i + 1), x
        h = lam[i + 1] - lam[i]
        grow = math.expm1(-h)
        new = sigma[i + 1] / sigma[i] * x - (1 - sigma[i + 1]) * grow * m
        if order == 2:
            r = (lam[i - 1] - lam[i]) / h
            new = new - (1 - sigma[i + 1]) * grow * 0.5 * (clean[-1] - m) / r
        clean.append(m)
        x = new
        samples.append(x)
    return torch.stack(samples).float()


def wan_case(kind, shift, steps, order):
    timesteps, sigmas = wan_schedule(shift, steps)
    if kind == "unipc":
        return {"timesteps": timesteps, "sigmas": sigmas, "samples": wan_unipc(sigmas, order)}
    x, samples = start().double(), [start().double()]
    for sigma, following in zip(sigmas[:-1].tolist(), sigmas[1:].tolist()):
        x = x + (following - sigma) * velocity(x, sigma)
        samples.append(x)
    return {"timesteps": timesteps, "sigmas": sigmas, "samples": torch.stack(samples).float()}


def main():
    tensors, metadata = {}, {"diffusers": __version__, "torch": torch.__version__.split("+")[0]}
    cases = [("diffusers", kind, order, shift, steps) for kind, order in (("euler", 0), ("unipc", 1), ("unipc", 2), ("dpmpp_2m", 2))
             for shift in SHIFTS for steps in STEPS]
    cases += [("diffusers", "flow_sde", 0, 5.0, steps) for steps in (4, 10)]
    cases += [("diffusers", kind, order, 5.0, 1) for kind, order in (("euler", 0), ("unipc", 2), ("dpmpp_2m", 2))]
    cases += [("wan", kind, order, shift, steps) for kind, order in (("euler", 0), ("unipc", 1), ("unipc", 2)) for shift in SHIFTS for steps in (4, 20, 50)]
    for convention, kind, order, shift, steps in cases:
        name = f"{convention}.{kind}{order or ''}.{shift:g}.{steps}"
        made = (diffusers_case if convention == "diffusers" else wan_case)(kind, shift, steps, order)
        tensors.update({f"{name}/{key}": value.contiguous() for key, value in made.items()})
        metadata[name] = json.dumps({"sampler": {"type": kind, "num_steps": steps, "shift": shift, "sigma_convention": convention}
                                     | ({"order": order} if kind == "unipc" else {})})
    save_file(tensors, FILE, metadata)
    print(f"{FILE}: {len(cases)} cases, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
