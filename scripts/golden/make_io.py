"""Small files written by the reference packages, which linden's readers must read: tests/golden/io/.

    pip install torch safetensors h5py Pillow numpy
    python scripts/golden/make_io.py

All contents follow formulas that tests/io repeat: element i of an array is i (BOOL: i is odd), and pixel
(y, x) of channel c is (37 y + 91 x + 53 c) mod 256.
"""
import gzip
import json
import struct
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "io"


def arange(count, dtype):
    values = torch.arange(count)
    return (values % 2 == 1) if dtype == torch.bool else values.to(torch.float32).to(dtype)


def safetensors_files():
    names = {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
        "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
        "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
        "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64,
    }
    tensors = {name: arange(6, dtype).reshape(2, 3) for name, dtype in names.items()}
    tensors["scalar"] = torch.tensor(7.0)
    tensors["empty"] = torch.zeros(0, 3)
    save_file(tensors, OUT / "every_dtype.safetensors", metadata={"format": "pt", "note": "grüße \"quoted\""})

    sharded = OUT / "sharded"
    sharded.mkdir(exist_ok=True)
    shards = [{"a.weight": arange(6, torch.float32).reshape(2, 3)},
              {"b.weight": arange(4, torch.float16), "c.bias": arange(3, torch.int64)}]
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, sharded / file, metadata={"format": "pt"})
        weight_map |= {name: file for name in shard}
    index = {"metadata": {"total_size": 56}, "weight_map": weight_map}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def hdf5_files():
    with h5py.File(OUT / "arrays.h5", "w", libver=("earliest", "v110")) as file:
        file.create_dataset("chunked", data=np.arange(60, dtype="<f4").reshape(5, 12), chunks=(2, 5),
                            compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("tree/parent", data=np.arange(5, dtype="<i8"))
        file.create_dataset("tree/big_endian", data=np.arange(5, dtype=">f8"))
        for name, dtype in {"u8": "u1", "i8": "i1", "i16": "<i2", "u16": "<u2", "i32": "<i4", "u32": "<u4",
                            "f16": "<f2"}.items():
            file.create_dataset(name, data=np.arange(3, dtype=dtype))
        file.create_dataset("scalar", data=np.float64(7))
        file.create_dataset("empty", shape=(0, 3), dtype="<f4")
        file.attrs["text"] = "grüße"
        file.attrs["fixed"] = np.bytes_("fixed text")
        file.attrs["integer"] = -3
        file.attrs["real"] = 0.25

    # Legal HDF5 that linden refuses.
    with h5py.File(OUT / "refused.h5", "w", libver=("earliest", "v110")) as file:
        file.create_dataset("text", data="words")
        file.create_dataset("u64", data=np.arange(3, dtype="<u8"))
        file.create_dataset("lzf", data=np.arange(60, dtype="<f4"), chunks=(60,), compression="lzf")
        file.create_dataset("unwritten", shape=(1000, 1000, 1000), dtype="<f4")
        file.create_dataset("half_written", shape=(1 << 40,), dtype="<f4", chunks=(64,), compression="gzip")[:3] = 1
        file.create_dataset("outside", shape=(4,), dtype="u1", external=[("arrays.h5", 0, 4)])
        layout = h5py.VirtualLayout(shape=(3,), dtype="u1")
        layout[:] = h5py.VirtualSource("arrays.h5", "u8", shape=(3,))
        file.create_virtual_dataset("virtual", layout)
        file["link"] = h5py.ExternalLink("arrays.h5", "u8")
        file.create_dataset("null", data=h5py.Empty("<f4"))
        file.attrs["pair"] = [1, 2]


def pixels(height, width, channels):
    y, x, c = np.mgrid[:height, :width, :channels]
    return ((37 * y + 91 * x + 53 * c) % 256).astype(np.uint8)


def png_files():
    grey, colour, alpha = pixels(5, 7, 1)[..., 0], pixels(5, 7, 3), pixels(5, 7, 4)
    text = PngImagePlugin.PngInfo()
    text.add_text("seed", "42")
    text.add_itxt("title", "grüße")
    text.add_text("long", "word " * 200, zip=True)
    Image.fromarray(grey).save(OUT / "grey.png")
    Image.fromarray(colour).save(OUT / "rgb.png", pnginfo=text)
    Image.fromarray(alpha, mode="RGBA").save(OUT / "rgba.png")
    Image.fromarray(alpha[..., :2], mode="LA").save(OUT / "grey_alpha.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(OUT / "grey16.png")
    Image.fromarray(grey >= 128).save(OUT / "bits.png")
    palette = Image.fromarray(np.arange(35, dtype=np.uint8).reshape(5, 7), mode="P")
    palette.putpalette(colour.reshape(-1).tolist())
    palette.save(OUT / "palette.png", transparency=3)


def idx_files():
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 4)
    data = header + bytes(range(24))
    (OUT / "plain-idx3-ubyte").write_bytes(data)
    (OUT / "packed-idx3-ubyte.gz").write_bytes(gzip.compress(data, mtime=0))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    safetensors_files()
    hdf5_files()
    png_files()
    idx_files()
