"""What every benchmark writes beside its figures: machine, versions, command."""

import hashlib
import io
import json
import os
import platform
import re
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tfgen.files import write_whole
from tfgen.models.registry import find_model

RESULTS = Path(__file__).parent / "results"
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def summary(measurements):
    """Median and spread of repeated measurements."""
    return {
        "median": statistics.median(measurements),
        "min": min(measurements),
        "max": max(measurements),
        "runs": len(measurements),
    }


def cpu():
    """Name of the processor, and on x86 whether it has AVX-512, which makes TensorFlow much faster."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names, flags = (re.findall(rf"^{name}\s*: (.*)", cpuinfo, re.MULTILINE) for name in ("model name", "flags"))
    if not names or not flags:
        return platform.processor()
    return f"{names[0]} with{'' if 'avx512f' in flags[0].split() else 'out'} AVX-512"


def weights(name):
    """By which a result is known to be of these weights of a model."""
    return hashlib.sha256((find_model(name) / "model.keras").read_bytes()).hexdigest()[:12]


def arithmetic(network):
    """Multiplications and additions of products and convolutions in one call of a Keras model of dict inputs, for a picture."""
    import tensorflow as tf
    from tensorflow.python.framework import ops
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
    from tensorflow.python.profiler.internal import flops_registry  # noqa: F401  it says how to count

    inputs = {name: tf.TensorSpec((1, *one.shape[1:]), one.dtype) for name, one in network.input.items()}
    called = tf.function(lambda **inputs: network(inputs)).get_concrete_function(**inputs)
    graph = convert_variables_to_constants_v2(called).graph  # where the shapes of weights are known
    counted = ("MatMul", "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput")
    nodes = [one.node_def for one in graph.get_operations() if one.type in counted]
    return int(sum(ops.get_stats_for_node_def(graph, node, "flops").value for node in nodes))


def matrix_rate(size=2048, repeats=10):
    """Multiplications and additions a second of a product of two large matrices, by NumPy."""
    left, right = np.ones((2, size, size), np.float32)
    left @ right
    start = time.perf_counter()
    for _ in range(repeats):
        left @ right
    return 2 * size**3 * repeats / (time.perf_counter() - start)


def write(name, figures):
    """Write RESULTS/NAME.json and print it."""
    report = {
        "command": "python " + " ".join(sys.argv),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {package: version(package) for package in ("tensorflow", "keras", "keras-nlp", "numpy")}
        | {"python": platform.python_version()},
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    write_whole(RESULTS / f"{name}.json", (json.dumps(report, indent=2) + "\n").encode())
    print(json.dumps(report, indent=2))


def draw(name, figure):
    """Write a matplotlib figure to PICTURES/NAME.png."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_whole(PICTURES / f"{name}.png", buffer.getvalue())
