"""Data that tests share: none of it is in the repository, so what needs it is skipped where it is absent."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import tfgen  # noqa: F401  before TensorFlow, whose kernels it chooses

# isort: split
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

# Two logical devices on one processor, for the tests of training on several; the others see the first alone.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data():
    """The folder of small real data sets: $TFGEN_SHARED_DATA, or shared/data beside the clone."""
    folder = Path(os.environ.get("TFGEN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no data in {folder}; set TFGEN_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def tfds_dir(shared_data):
    """A TFDS data directory that can make MNIST and Fashion-MNIST without a network, kept from run to run."""
    folder = ROOT / ".cache" / "tfds"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # tests run in two processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("mnist", "fashion_mnist"):
            if not (folder / name / "3.0.1").is_dir():
                stage = [sys.executable, shared_data / "stage_tfds.py", folder, name]
                subprocess.run(stage, check=True, capture_output=True)
                tfds.builder(name, data_dir=folder).download_and_prepare()
    return str(folder)
