"""Reads a file that linden wrote with the reference package and compares it with what tests/io/interop.cpp put in.

    python read_back.py KIND FILE        exit status 0: equal; 1: not; 4: the package is missing
"""
import sys

ARANGE = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def pixels(np, channels):
    c, y, x = np.mgrid[:channels, :5, :7]
    return ((37 * y + 91 * x + 53 * c) % 256).astype(np.uint8)


def read_safetensors(file):
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        assert tensors.metadata() == {"note": "größe"}
        assert sorted(tensors.keys()) == ["bfloat", "empty", "float", "long", "scalar"]
        assert tensors.get_tensor("float").tolist() == ARANGE
        assert str(tensors.get_tensor("bfloat").dtype) == "torch.bfloat16" and tensors.get_tensor("bfloat").tolist() == ARANGE
        assert tensors.get_tensor("long").tolist() == [2**63 - 1, -1]
        assert tensors.get_tensor("scalar").item() == 2.5 and tuple(tensors.get_tensor("empty").shape) == (0, 3)


def read_hdf5(file):
    import h5py
    import numpy as np

    with h5py.File(file) as data:
        assert data["samples"][()].tolist() == ARANGE and data["samples"].dtype == np.float32
        assert data["tree/parent"][()].tolist() == [-1, 0, 0] and data["tree/parent"].dtype == np.int32
        assert np.array_equal(data["tree/large"][()], np.arange(300000, dtype=np.int64))
        assert data.attrs["method"] == "größe" and data.attrs["seed"] == -7 and data.attrs["scale"] == 0.125


def read_npz(file):
    import numpy as np

    with np.load(file) as data:
        assert data["float"].tolist() == ARANGE and data["float"].dtype == np.float32
        assert data["bool"].tolist() == [True, False] and data["scalar"] == 2.5 and data["empty"].shape == (0, 3)


def read_png(file):
    import numpy as np
    from PIL import Image

    with Image.open(file) as image:
        image.load()
        got, text = np.asarray(image), image.text
    assert text == {"seed": "7", "note": "größe"}
    want = pixels(np, 3 if got.ndim == 3 else 1)
    assert np.array_equal(got, want.transpose(1, 2, 0) if got.ndim == 3 else want[0])


def read_events(file):
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    events = list(LegacyEventFileLoader(file).Load())
    scalars = [(event.step, value.tag, value.simple_value) for event in events for value in event.summary.value if value.HasField("simple_value")]
    assert events[0].file_version == "brain.Event:2"
    assert scalars == [(0, "loss", 2.5), (7, "größe", -1.0)], scalars


def read_idx(file):
    import gzip

    data = open(file, "rb").read()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert data == bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 2, 3, 4, 5])


if __name__ == "__main__":
    kinds = {"safetensors": read_safetensors, "hdf5": read_hdf5, "npz": read_npz, "png": read_png, "events": read_events, "idx": read_idx}
    try:
        kinds[sys.argv[1]](sys.argv[2])
    except ImportError as missing:
        print(missing)
        sys.exit(4)
