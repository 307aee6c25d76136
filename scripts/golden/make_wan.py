#!/usr/bin/env python3
"""Writes the goldens of Wan checkpoints from the reference library (diffusers 0.42.1, accelerate, safetensors 0.8, torch 2.11).

    python scripts/golden/make_wan.py            # from the repository root

tests/golden/models/wan_names.tsv
    diffusers name, original name, shape of all 825 tensors of the 1.3B transformer, in the order of the reference's state dict. The left
    column comes from WanTransformer3DModel itself. The right one is built here from the modules of Wan-Video/Wan2.1 (wan/modules/model.py);
    the reference's own converter (diffusers/loaders/single_file_utils.py) must turn it into the left one, or nothing is written.
tests/golden/models/wan_original_order.txt
    the original names of a network of one block, in the original's module order.
tests/golden/models/wan_files.tsv
    kind, file, SHA-256 of what save_pretrained writes for a network of two blocks with formula weights (seed 7): whole, in shards of
    4 KB, and loaded in bf16.
tests/golden/models/wan_config.json
    its config.json.
"""
import hashlib
import pathlib
import sys
import tempfile

import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from formula_weights import set_formula_weights  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "models"
TINY = dict(num_attention_heads=2, attention_head_dim=12, in_channels=3, out_channels=2, text_dim=10, freq_dim=8, ffn_dim=20, num_layers=2)
LARGE = dict(num_attention_heads=12, attention_head_dim=128, text_dim=4096, ffn_dim=8960, num_layers=30)


def original_names(num_layers):
    """In the order of the modules; a module's own parameters come first."""
    def linear(name):
        return [f"{name}.weight", f"{name}.bias"]

    names = [name for module in ("patch_embedding", "text_embedding.0", "text_embedding.2", "time_embedding.0", "time_embedding.2",
                                 "time_projection.1") for name in linear(module)]
    for block in range(num_layers):
        own = ["modulation"]
        for attention in ("self_attn", "norm3", "cross_attn"):
            if attention == "norm3":
                own += linear("norm3")
                continue
            for layer in "qkvo":
                own += linear(f"{attention}.{layer}")
            own += [f"{attention}.norm_q.weight", f"{attention}.norm_k.weight"]
        own += linear("ffn.0") + linear("ffn.2")
        names += [f"blocks.{block}.{name}" for name in own]
    return names + ["head.modulation"] + linear("head.head")


def write_names():
    with torch.device("meta"):
        model = WanTransformer3DModel(**LARGE)
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    originals = original_names(LARGE["num_layers"])
    # One at a time: the converter returns a dict whose only key is the new name.
    pairs = {next(iter(convert_wan_transformer_to_diffusers({name: torch.empty(0)}))): name for name in originals}
    assert pairs.keys() == shapes.keys() and len(pairs) == len(originals) == 825
    lines = [f"{name}\t{pairs[name]}\t{','.join(map(str, shape))}\n" for name, shape in shapes.items()]
    (OUT / "wan_names.tsv").write_text("".join(lines))
    (OUT / "wan_original_order.txt").write_text("".join(f"{name}\n" for name in original_names(1)))


def write_files():
    model = WanTransformer3DModel(**TINY)
    set_formula_weights(model, 7)
    lines = []
    with tempfile.TemporaryDirectory() as root:
        model.save_pretrained(f"{root}/whole")
        model.save_pretrained(f"{root}/sharded", max_shard_size="4KB")
        WanTransformer3DModel.from_pretrained(f"{root}/whole", torch_dtype=torch.bfloat16).save_pretrained(f"{root}/bf16")
        for kind in ("whole", "sharded", "bf16"):
            for file in sorted(pathlib.Path(root, kind).iterdir()):
                if file.name != "config.json":
                    lines.append(f"{kind}\t{file.name}\t{hashlib.sha256(file.read_bytes()).hexdigest()}\n")
        (OUT / "wan_config.json").write_bytes(pathlib.Path(root, "whole", "config.json").read_bytes())
    (OUT / "wan_files.tsv").write_text("".join(lines))


if __name__ == "__main__":
    write_names()
    write_files()
