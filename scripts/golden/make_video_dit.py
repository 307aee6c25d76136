#!/usr/bin/env python3
"""Writes the goldens of the video diffusion transformer from the reference library (diffusers 0.42.1, torch 2.11).

    python scripts/golden/make_video_dit.py            # from the repository root; wants 4 GiB of memory

Weights, inputs and cotangent come from formula_weights.py on both sides; only results are stored.

tests/golden/models/video_dit_<case>.safetensors
    sample            the velocity in fp32
    trace.<module>    a few activations (small cases)
    gradient.<name>   of every parameter and both inputs, of sum(sample * cotangent): its norm, then its products with
                      PROBES pseudo-random tensors
    timestep          [B]
    metadata: config (JSON), seed, text_tokens, bf16_error: the relative error of the reference itself in bf16,
              with the weights in fp32 that it keeps in fp32
tests/golden/models/video_dit_<case>_keys.txt     one line a tensor of the state dict: name shape
"""

import json
import pathlib
import sys

import diffusers
import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from formula_weights import formula_tensor, set_formula_weights  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "models"
PROBES = 2

PLAIN = dict(_class_name="WanTransformer3DModel", patch_size=[1, 2, 2], cross_attn_norm=True, qk_norm="rms_norm_across_heads",
             eps=1e-6, image_dim=None, added_kv_proj_dim=None, rope_max_seq_len=1024, pos_embed_seq_len=None)
CASES = {
    "tiny": dict(config=dict(PLAIN, num_attention_heads=2, attention_head_dim=32, in_channels=4, out_channels=4, text_dim=24, freq_dim=32,
                             ffn_dim=96, num_layers=3),
                 seed=21, size=(2, 3, 6, 10), text_tokens=7, timesteps=[937.5, 12.25],
                 traced=["patch_embedding", "condition_embedder.timesteps_proj", "condition_embedder.time_embedder",
                         "condition_embedder.time_proj", "condition_embedder.text_embedder", "blocks.0.attn1",
                         "blocks.0.attn2", "blocks.0.ffn", "blocks.0", "blocks.2", "proj_out"]),
    # Every key at another value than Wan's.
    "odd": dict(config=dict(PLAIN, patch_size=[2, 1, 3], num_attention_heads=3, attention_head_dim=20, in_channels=3, out_channels=5,
                            text_dim=11, freq_dim=18, ffn_dim=50, num_layers=2, cross_attn_norm=False, eps=1e-3, rope_max_seq_len=8),
                seed=22, size=(3, 2, 5, 21), text_tokens=5, timesteps=[999.0, 500.125, 0.0], traced=["blocks.1"]),
    # The width of Wan 2.1 T2V 1.3B.
    "wide": dict(config=dict(PLAIN, num_attention_heads=12, attention_head_dim=128, in_channels=16, out_channels=16, text_dim=4096,
                             freq_dim=256, ffn_dim=8960, num_layers=2),
                 seed=23, size=(2, 3, 6, 10), text_tokens=19, timesteps=[875.0, 41.5], traced=[]),
}


def uniform(name, shape, seed):
    """In [-1, 1), the same bits on both sides."""
    return torch.from_numpy(8 * formula_tensor(name, (int(np.prod(shape)),), seed)).reshape(shape)


def gradient_probes(name, gradient, seed):
    flat = gradient.detach().double().flatten()
    products = [float(flat @ uniform(f"{name}.probe{k}", (flat.numel(),), seed).double()) for k in range(PROBES)]
    return torch.tensor([float(flat.norm()), *products], dtype=torch.float64)


def to_bf16(model):
    """As from_pretrained(torch_dtype=torch.bfloat16): the modules of _keep_in_fp32_modules stay."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if not any(kept in name.split(".") for kept in model._keep_in_fp32_modules):
            tensor.data = tensor.data.to(torch.bfloat16)
    return model


def make_case(name, case):
    config, seed, (batch, frames, rows, columns) = case["config"], case["seed"], case["size"]
    model = diffusers.WanTransformer3DModel.from_config(config).eval()
    set_formula_weights(model, seed)
    state = model.state_dict()
    lines = [f"{key} {' '.join(str(size) for size in tensor.shape)}\n" for key, tensor in sorted(state.items())]
    (GOLDEN / f"video_dit_{name}_keys.txt").write_text("".join(lines))
    tensors, modules, hooks = {}, dict(model.named_modules()), []
    for traced in case["traced"]:
        def keep(module, inputs, output, traced=traced):
            tensors[f"trace.{traced}"] = output.detach().clone().contiguous()
        hooks.append(modules[traced].register_forward_hook(keep))
    hidden = uniform("hidden_states", (batch, config["in_channels"], frames, rows, columns), seed).requires_grad_()
    text = uniform("encoder_hidden_states", (batch, case["text_tokens"], config["text_dim"]), seed).requires_grad_()
    timestep = torch.tensor(case["timesteps"])
    sample = model(hidden, timestep, text).sample
    for hook in hooks:
        hook.remove()
    (sample * uniform("cotangent", tuple(sample.shape), seed)).sum().backward()
    tensors["sample"] = sample.detach().contiguous()
    for key, parameter in [*model.named_parameters(), ("hidden_states", hidden), ("encoder_hidden_states", text)]:
        tensors[f"gradient.{key}"] = gradient_probes(key, parameter.grad, seed)
        parameter.grad = None
    with torch.no_grad():
        half = to_bf16(model)(hidden.bfloat16(), timestep, text.bfloat16()).sample.float()
    error = float((half - tensors["sample"]).norm() / tensors["sample"].norm())
    tensors["timestep"] = timestep
    metadata = dict(config=json.dumps(config), seed=str(seed), text_tokens=str(case["text_tokens"]), bf16_error=str(error),
                    diffusers=diffusers.__version__, torch=torch.__version__.split("+")[0])
    path = GOLDEN / f"video_dit_{name}.safetensors"
    save_file(tensors, path, metadata)
    path.chmod(0o644)
    print(name, len(state), "tensors", sum(t.numel() for t in state.values()), "parameters, output std", float(sample.detach().std()),
          "bf16 error", error, path.stat().st_size, "bytes")


def main():
    torch.set_num_threads(2)
    for name in sys.argv[1:] or CASES:
        make_case(name, CASES[name])


if __name__ == "__main__":
    main()
