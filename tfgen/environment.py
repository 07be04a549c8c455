"""What a notebook runs on."""

import importlib.metadata
import os

from packaging.requirements import Requirement


def check_environment():
    """Print versions and devices in one line.

    Raises:
        ImportError: a package that tfgen needs is missing or too old; with the line that mends it.
    """
    for text in importlib.metadata.requires("tfgen"):
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = None
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wanted = f"{requirement.name}{requirement.specifier}"
            found = f"{requirement.name} {version} is too old" if version else f"{requirement.name} is missing"
            raise ImportError(f"{found}; type `pip install --upgrade '{wanted}'` and restart the kernel")

    import keras  # slow to import
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    devices = f"{len(gpus)} GPU" if gpus else "no GPU"
    print(
        f"tfgen {importlib.metadata.version('tfgen')}, TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"{os.cpu_count()} CPU cores, {devices}"
    )
