#!/usr/bin/env python3
"""Writes the goldens of the U-Net and of the samplers from the reference library (diffusers 0.42.1, torch 2.11).

    python scripts/golden/make_models.py            # from the repository root

Inputs, outputs and settings only: the weights come from formula_weights.py on both sides. Run it again only when a
case is added; the files are committed.

tests/golden/models/<layout>_unet_{input,output}.safetensors
    input: sample [B, C, Y, X], timestep [B]; output: sample, trace.<module name> for a few modules, as `linden forward`
    reads and writes them. Metadata: config (JSON), weights ("formula:SEED"), the library's version.
tests/golden/models/<layout>_unet_keys.txt     one line a tensor of the state dict: name shape
tests/golden/models/formula_weights.safetensors   the first values of a few named tensors
tests/golden/diffusion/{ddim,ddpm}_steps.safetensors
    <case>/timesteps [S] int64, and for some positions k of that list
    <case>/<k>/x, eps, noise, prev_sample, pred_original_sample [2, 3, 4, 4]; metadata <case> = settings as JSON.
"""

import json
import pathlib
import sys

import diffusers
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from formula_weights import formula_tensor, set_formula_weights  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
VERSIONS = {"diffusers": diffusers.__version__, "torch": torch.__version__.split("+")[0]}

# Every option of the U-Net that the two shipped layouts leave at one value.
SMALL_CONFIG = {
    "_class_name": "UNet2DModel", "sample_size": 12, "in_channels": 2, "out_channels": 3, "center_input_sample": True,
    "time_embedding_type": "positional", "time_embedding_dim": 24, "freq_shift": 1, "flip_sin_to_cos": True,
    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
    "block_out_channels": [8, 16], "layers_per_block": 2, "mid_block_scale_factor": 1.5, "downsample_padding": 0,
    "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.1, "act_fn": "silu", "attention_head_dim": 4,
    "norm_num_groups": 4, "attn_norm_num_groups": 2, "norm_eps": 1e-3, "resnet_time_scale_shift": "scale_shift",
    "add_attention": True, "mid_block_type": "UNetMidBlock2D",
}


def make_unet(layout, config, batch, seed, traced):
    model = diffusers.UNet2DModel.from_config(config).eval()
    set_formula_weights(model, seed)
    state = model.state_dict()
    lines = [f"{name} {' '.join(str(size) for size in tensor.shape)}\n" for name, tensor in sorted(state.items())]
    (GOLDEN / "models" / f"{layout}_unet_keys.txt").write_text("".join(lines))
    tensors, modules = {}, dict(model.named_modules())
    for name in traced:
        def keep(module, inputs, output, name=name):
            output = output[0] if isinstance(output, tuple) else output
            tensors[f"trace.{name}"] = output.detach().clone().contiguous()
        modules[name].register_forward_hook(keep)
    generator = torch.Generator().manual_seed(seed)
    size = config["sample_size"]
    sample = torch.randn(batch, config["in_channels"], size, size, generator=generator)
    timestep = torch.tensor([999, 20, 480][:batch], dtype=torch.int64)
    with torch.no_grad():
        output = model(sample, timestep).sample
    tensors["sample"] = output.contiguous()
    metadata = {"config": json.dumps(config), "weights": f"formula:{seed}", **VERSIONS}
    save(dict(sample=sample, timestep=timestep), GOLDEN / "models" / f"{layout}_unet_input.safetensors", metadata)
    save(tensors, GOLDEN / "models" / f"{layout}_unet_output.safetensors", metadata)
    print(layout, len(state), "tensors", sum(t.numel() for t in state.values()), "parameters, output std",
          float(output.std()))


def make_formula_values():
    cases = {"conv_in.weight": (4, 3, 3, 3), "norm.weight": (5,), "norm.bias": (5,), "linear.weight": (3, 7),
             "bn.running_mean": (4,), "bn.running_var": (4,)}
    tensors = {f"{seed}/{name}": torch.from_numpy(formula_tensor(name, shape, seed))
               for name, shape in cases.items() for seed in (0, 7, 2**63 + 5)}
    save(tensors, GOLDEN / "models" / "formula_weights.safetensors", VERSIONS)


def noisy_pair(alpha_bar, generator):
    """A noisy sample and an imperfect noise prediction, so that the predicted clean sample is sometimes clipped."""
    shape = (2, 3, 4, 4)
    clean = torch.rand(shape, generator=generator) * 2 - 1
    noise = torch.randn(shape, generator=generator)
    x = alpha_bar**0.5 * clean + (1 - alpha_bar) ** 0.5 * noise
    return x, noise + 0.2 * torch.randn(shape, generator=generator)


def make_ddim_steps():
    linear = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    scaled = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    cases = {}
    for eta in (0.0, 0.5, 1.0):
        for clip in (True, False):
            for to_one in (True, False):
                for offset in (0, 1):
                    name = f"linear_eta{eta}_clip{int(clip)}_one{int(to_one)}_offset{offset}"
                    cases[name] = dict(scheduler=dict(linear, clip_sample=clip, set_alpha_to_one=to_one,
                                                      steps_offset=offset), steps=50, eta=eta)
        cases[f"sd15_eta{eta}"] = dict(scheduler=dict(scaled, clip_sample=False, set_alpha_to_one=False,
                                                      steps_offset=1), steps=50, eta=eta)
    for spacing in ("trailing", "linspace"):
        cases[f"linear_{spacing}"] = dict(scheduler=dict(linear, timestep_spacing=spacing), steps=50, eta=1.0)
    cases["linear_30steps"] = dict(scheduler=dict(linear), steps=30, eta=1.0)
    cases["linear_range2"] = dict(scheduler=dict(linear, clip_sample_range=2.0), steps=10, eta=1.0)
    tensors, metadata = {}, dict(VERSIONS)
    generator = torch.Generator().manual_seed(17)
    for name, case in cases.items():
        scheduler = diffusers.DDIMScheduler(**case["scheduler"])
        scheduler.set_timesteps(case["steps"])
        tensors[f"{name}/timesteps"] = scheduler.timesteps.clone()
        positions = [0, case["steps"] // 2, case["steps"] - 1]
        for k in positions:
            t = int(scheduler.timesteps[k])
            x, eps = noisy_pair(scheduler.alphas_cumprod[t], generator)
            noise = torch.randn(x.shape, generator=generator)
            step = scheduler.step(eps, t, x, eta=case["eta"], variance_noise=noise if case["eta"] > 0 else None)
            store(tensors, f"{name}/{k}", x, eps, noise, step)
        metadata[name] = json.dumps(dict(steps=case["steps"], eta=case["eta"], positions=positions,
                                         **dict(scheduler.config)), default=str)
    save(tensors, GOLDEN / "diffusion" / "ddim_steps.safetensors", metadata)
    print(len(cases), "DDIM cases")


def make_ddpm_steps():
    linear = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    tensors, metadata, count = {}, dict(VERSIONS), 0
    generator = torch.Generator().manual_seed(18)
    for variance in ("fixed_small", "fixed_large"):
        for steps in (50, 1000):
            for clip in (True, False):
                name = f"{variance}_{steps}steps_clip{int(clip)}"
                scheduler = diffusers.DDPMScheduler(variance_type=variance, clip_sample=clip, **linear)
                scheduler.set_timesteps(steps)
                tensors[f"{name}/timesteps"] = scheduler.timesteps.clone()
                positions = [0, steps // 2, steps - 2, steps - 1]
                for k in positions:
                    t = int(scheduler.timesteps[k])
                    x, eps = noisy_pair(scheduler.alphas_cumprod[t], generator)
                    seed = 1000 * count + k  # the scheduler draws its noise itself: draw the same
                    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
                    step = scheduler.step(eps, t, x, generator=torch.Generator().manual_seed(seed))
                    store(tensors, f"{name}/{k}", x, eps, noise, step)
                metadata[name] = json.dumps(dict(steps=steps, positions=positions, **dict(scheduler.config)),
                                            default=str)
                count += 1
    save(tensors, GOLDEN / "diffusion" / "ddpm_steps.safetensors", metadata)
    print(count, "DDPM cases")


def store(tensors, prefix, x, eps, noise, step):
    values = dict(x=x, eps=eps, noise=noise, prev_sample=step.prev_sample,
                  pred_original_sample=step.pred_original_sample)
    for key, value in values.items():
        tensors[f"{prefix}/{key}"] = value.contiguous()


def save(tensors, path, metadata):
    save_file(tensors, path, metadata)
    path.chmod(0o644)


def read_config(layout):
    return json.loads((ROOT / "configs" / "models" / f"{layout}_unet" / "config.json").read_text())


def main():
    for folder in ("models", "diffusion"):
        (GOLDEN / folder).mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    make_ddim_steps()
    make_ddpm_steps()
    make_formula_values()
    make_unet("cifar10", read_config("cifar10"), 2, 3, ["time_embedding"])
    make_unet("digits", read_config("digits"), 3, 5, ["time_embedding", "down_blocks.2.attentions.0", "mid_block"])
    make_unet("small", SMALL_CONFIG, 2, 11, ["mid_block.attentions.0"])


if __name__ == "__main__":
    main()
