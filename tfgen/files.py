"""Files that are whole or not there at all."""

import contextlib
import io
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np


def write_whole(file, content):
    """Write bytes to a file."""
    with _beside(file) as partial:
        partial.write_bytes(content)


def save_whole(model, file, half_precision=False):
    """Save a Keras model to a .keras file; in half precision it takes half the space, and loads like any other."""
    with _beside(file) as partial:
        model.save(partial)
        if half_precision:
            with zipfile.ZipFile(partial) as archive:
                parts = {name: archive.read(name) for name in archive.namelist()}
            halved = io.BytesIO()
            with h5py.File(io.BytesIO(parts["model.weights.h5"])) as weights, h5py.File(halved, "w") as copy:
                _copy_halved(weights, copy)
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in (parts | {"model.weights.h5": halved.getvalue()}).items():
                    archive.writestr(name, content)


def _copy_halved(source, target):
    """Copy a group of an HDF5 file, numbers of 32 bits as ones of 16."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_halved(item, target.create_group(name))
        else:
            target.create_dataset(name, data=item[()].astype(np.float16) if item.dtype == np.float32 else item[()])


def remove_partial(folder):
    """Delete what a killed process left half-written in a folder."""
    for file in Path(folder).rglob(".*.partial.*"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def _beside(file):
    """A path beside a file, renamed into its place at the end, so that a failure leaves what was there before."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.stem}.{os.getpid()}.partial{file.suffix}")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
