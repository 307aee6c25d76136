"""Small files of the reference packages that the fuzzer mutates, and that tests/fuzz reads whole: tests/fuzz/seeds/.

    pip install torch safetensors h5py numpy tensorboard
    python scripts/golden/make_fuzz_seeds.py

tests/golden/io holds the other seeds (scripts/golden/make_io.py). tree.h5 is linden's own:
    build/linden align configs/align/gmm_dts.json --set sampler.num_steps=10 --set nfe=60 --set num_samples=4 --output FOLDER
"""
import os
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "tests" / "fuzz" / "seeds"


def safetensors_file():
    save_file({"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False]), "c": torch.zeros(0, 2)},
              OUT / "small.safetensors", metadata={"format": "pt"})


def hdf5_files():
    with h5py.File(OUT / "samples.h5", "w") as file:      # as linden writes sample sets: the oldest format
        file.create_dataset("samples", data=np.arange(24, dtype="<f4").reshape(2, 1, 3, 4))
        file.attrs["seed"] = 7
    with h5py.File(OUT / "v110.h5", "w", libver=("v110", "v110")) as file:   # superblock 3, new groups and chunk indexes
        file.create_dataset("samples", data=np.arange(24, dtype="<f4").reshape(2, 12), chunks=(1, 12), compression="gzip")
        file.create_dataset("growing", data=np.arange(6, dtype="<i8"), chunks=(2,), maxshape=(None,))
        file.create_dataset("group/labels", data=np.arange(3, dtype="u1"))
        file.attrs["method"] = "dts"
    with h5py.File(OUT / "chunked.h5", "w") as file:
        file.create_dataset("samples", data=np.arange(60, dtype="<f4").reshape(5, 12), chunks=(2, 5), compression="gzip",
                            shuffle=True, fletcher32=True)


def npy_files():
    np.save(OUT / "counting.npy", np.arange(6, dtype="<f4").reshape(2, 3))
    np.save(OUT / "column_major.npy", np.asfortranarray(np.arange(24, dtype="<i8").reshape(2, 3, 4)))
    np.save(OUT / "scalar.npy", np.float64(7))
    with open(OUT / "version_2.npy", "wb") as file:
        np.lib.format.write_array(file, np.arange(5, dtype="u1"), version=(2, 0))


def event_file():
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    with open(OUT / "events.out.tfevents.seed", "wb") as file:
        writer = RecordWriter(file)
        writer.write(event_pb2.Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString())
        for step, value in enumerate([0.5, -2.0, 1e30]):
            summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="loss", simple_value=value),
                                                 summary_pb2.Summary.Value(tag="größe", simple_value=step)])
            writer.write(event_pb2.Event(wall_time=2.0, step=step, summary=summary).SerializeToString())
        image = summary_pb2.Summary.Image(height=2, width=3, colorspace=3, encoded_image_string=b"picture")
        summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag="samples", image=image)])
        writer.write(event_pb2.Event(wall_time=3.0, step=7, summary=summary).SerializeToString())
        writer.close()


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    os.chdir(OUT)
    safetensors_file()
    hdf5_files()
    npy_files()
    event_file()
