#!/usr/bin/env python3
"""Small CIFAR-10 files and the golden of the CIFAR ResNets.

    pip install torch safetensors numpy
    git clone https://github.com/akamaster/pytorch_resnet_cifar10 FOLDER
    python scripts/golden/make_cifar.py FOLDER          # from the repository root

tests/golden/data/cifar/data_batch_1.bin     3 records, labels 3 0 9
tests/golden/data/cifar/two_batches.tar.xz   data_batch_2.bin (2 records, labels 5 5) and test_batch.bin (1 record, label 1), below
                                             cifar-10-batches-bin/, with a text file before them; xz with a delta filter
Pixel (y, x) of plane c of record i of a file with first label l is (l + 31 i + 77 c + 5 y + x) mod 256; tests/data/cifar.cpp repeats it.

tests/golden/models/cifar_resnet{20,32}_keys.txt           one line a tensor of the state dict: name shape
tests/golden/models/cifar_resnet20_{input,output}.safetensors   sample in [-1, 1] -> features, logits, trace.layer{1,2,3}; the
                                             weights come from formula_weights.py (seed 11) on both sides.
"""
import hashlib
import io
import lzma
import pathlib
import sys
import tarfile

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from formula_weights import set_formula_weights  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
SEED = 11


def records(labels):
    out = bytearray()
    for i, label in enumerate(labels):
        out.append(label)
        out += bytes((labels[0] + 31 * i + 77 * c + 5 * y + x) % 256 for c in range(3) for y in range(32) for x in range(32))
    return bytes(out)


def make_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    files = {"data_batch_1.bin": records([3, 0, 9]), "data_batch_2.bin": records([5, 5]), "test_batch.bin": records([1])}
    for name, data in files.items():
        print(name, hashlib.md5(data).hexdigest())
    (folder / "data_batch_1.bin").write_bytes(files["data_batch_1.bin"])
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in {"batches.meta.txt": b"airplane\n", **{k: files[k] for k in ("data_batch_2.bin", "test_batch.bin")}}.items():
            member = tarfile.TarInfo("cifar-10-batches-bin/" + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    filters = [{"id": lzma.FILTER_DELTA, "dist": 1}, {"id": lzma.FILTER_LZMA2, "preset": 9}]
    (folder / "two_batches.tar.xz").write_bytes(lzma.compress(plain.getvalue(), format=lzma.FORMAT_XZ, filters=filters))


def make_network(reference, folder):
    sys.path.insert(0, reference)
    import resnet

    for depth in (20, 32):
        state = getattr(resnet, f"resnet{depth}")().state_dict()
        lines = [f"{name} {' '.join(map(str, t.shape))}\n" for name, t in sorted(state.items()) if not name.endswith("num_batches_tracked")]
        (folder / f"cifar_resnet{depth}_keys.txt").write_text("".join(lines))
    model = resnet.resnet20().eval()
    set_formula_weights(model, SEED)
    outputs = {}
    for name in ("layer1", "layer2", "layer3"):
        getattr(model, name).register_forward_hook(lambda m, i, o, name=name: outputs.update({f"trace.{name}": o.clone().contiguous()}))
    model.linear.register_forward_hook(lambda m, i, o: outputs.update(features=i[0].clone()))
    sample = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(SEED)) * 2 - 1
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((.485, .456, .406), (.229, .224, .225)))
    with torch.no_grad():
        outputs["logits"] = model(((sample + 1) / 2 - mean) / std)
    # Every fourth channel is enough of the large ones.
    outputs = {name: (t[:, ::4].contiguous() if name.startswith("trace") else t) for name, t in outputs.items()}
    metadata = {"weights": f"formula:{SEED}", "torch": torch.__version__.split("+")[0]}
    save_file({"sample": sample}, folder / "cifar_resnet20_input.safetensors", metadata)
    save_file(outputs, folder / "cifar_resnet20_output.safetensors", metadata)
    print({name: (tuple(t.shape), float(t.std())) for name, t in outputs.items()})


if __name__ == "__main__":
    make_files(GOLDEN / "data" / "cifar")
    make_network(sys.argv[1], GOLDEN / "models")
