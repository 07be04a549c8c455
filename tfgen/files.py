"""Files that are whole or not there at all."""

import os
from pathlib import Path


def write_whole(file, content):
    """Write bytes beside a file and rename them into place, so that a failure leaves what was there before."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def save_whole(model, file):
    """Save a Keras model beside a .keras file and rename it into place."""
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.stem}.{os.getpid()}.partial.keras")
    try:
        model.save(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
