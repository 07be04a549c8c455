"""Files that are whole or not there at all."""

import contextlib
import os
from pathlib import Path


def write_whole(file, content):
    """Write bytes to a file."""
    with _beside(file) as partial:
        partial.write_bytes(content)


def save_whole(model, file):
    """Save a Keras model to a .keras file."""
    with _beside(file) as partial:
        model.save(partial)


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
