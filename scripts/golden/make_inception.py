#!/usr/bin/env python3
"""Writes the goldens of the Inception network and of statistics files from pytorch-fid 0.3.0 itself.

    pip install pytorch-fid torchvision scipy pillow safetensors
    python scripts/golden/make_inception.py            # from the repository root

Weights come from formula_weights.py on both sides, so nothing here needs the real weight file.

tests/golden/models/inception.safetensors
    images [2, 3, 40, 56] u8; features_64, _192, _768, _2048 [2, F] of pytorch_fid.inception.InceptionV3, its convolutions
    multiplied by GAIN: ReLU halves a signal's power, and without a gain the last layers show little of the pictures.
tests/golden/models/inception_keys.txt             one line a tensor of the state dict (but num_batches_tracked): name shape
tests/golden/evaluate/fid/{a,b}/*.png              two sets of 12 small pictures
tests/golden/evaluate/fid/{a,b}_64.npz             pytorch_fid.fid_score.save_fid_stats at dims 64
tests/golden/evaluate/fid/fid.json                 calculate_fid_given_paths of the two folders, dims 64
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import pytorch_fid.fid_score as fid_score
import pytorch_fid.inception as reference
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from formula_weights import formula_tensor, set_formula_weights  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
SEED = 7
GAIN = 2.0


def formula_state(*_, **__):
    """Stands in for the download of the weights: the state dict of the same network, filled by the formula."""
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    set_formula_weights(network, SEED)
    return network.state_dict()


def picture(index, channels, rows, columns):
    """Smooth waves and some noise, u8 [C, Y, X]."""
    y, x = np.mgrid[0:rows, 0:columns] / 8.0
    waves = np.stack([np.sin((1 + 0.3 * index) * x + c) * np.cos((0.5 + 0.2 * index) * y - c) for c in range(channels)])
    noise = formula_tensor(f"picture.{index}", (channels, rows, columns), SEED)
    return np.clip(127.5 + 90 * waves + 30 * noise / np.abs(noise).max(), 0, 255).astype(np.uint8)


def write_features():
    images = torch.from_numpy(np.stack([picture(i, 3, 40, 56) for i in range(2)]))
    network = reference.InceptionV3([0, 1, 2, 3]).eval()
    tensors = {"images": images}
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 4:
                parameter.mul_(GAIN)
        for dims, maps in zip((64, 192, 768, 2048), network(images.float() / 255)):
            tensors[f"features_{dims}"] = maps.mean((2, 3)).contiguous()
    for name, tensor in tensors.items():
        contrast = (tensor[0].float() - tensor[1].float()).abs().mean() / tensor.float().abs().mean()
        print(name, tuple(tensor.shape), tensor.float().abs().mean().item(), contrast.item())
    versions = {"torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0], "pytorch-fid": "0.3.0"}
    save_file(tensors, GOLDEN / "models" / "inception.safetensors", metadata={"weights": f"formula:{SEED}", "gain": str(GAIN), **versions})
    lines = [f"{name} {' '.join(str(size) for size in tensor.shape)}\n" for name, tensor in sorted(formula_state().items())
             if not name.endswith("num_batches_tracked")]
    (GOLDEN / "models" / "inception_keys.txt").write_text("".join(lines))


def write_statistics():
    folder = GOLDEN / "evaluate" / "fid"
    for set_index, name in enumerate("ab"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(12):
            pixels = picture(i + 20 * set_index, 3, 20, 16)
            image = Image.fromarray(pixels.transpose(1, 2, 0))
            image.save(folder / name / f"{i:02d}.png")
        with tempfile.TemporaryDirectory() as temporary:
            file = pathlib.Path(temporary) / "statistics.npz"
            fid_score.save_fid_stats([str(folder / name), str(file)], 5, "cpu", 64, 0)
            (folder / f"{name}_64.npz").write_bytes(file.read_bytes())
    fid = fid_score.calculate_fid_given_paths([str(folder / "a"), str(folder / "b")], 5, "cpu", 64, 0)
    (folder / "fid.json").write_text(json.dumps({"weights": f"formula:{SEED}", "dims": 64, "fid": float(fid)}, indent=2) + "\n")
    print("FID", fid)


def main():
    reference.load_state_dict_from_url = formula_state
    write_features()
    write_statistics()


if __name__ == "__main__":
    main()
