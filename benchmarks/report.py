"""What every benchmark writes beside its figures: machine, versions, command."""

import io
import json
import os
import platform
import re
import statistics
import sys
from importlib.metadata import version
from pathlib import Path

from tfgen.files import write_whole

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


def write(name, figures):
    """Write RESULTS/NAME.json and print it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    cpu = names[0] if names else platform.processor()
    report = {
        "command": "python " + " ".join(sys.argv),
        "machine": {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {package: version(package) for package in ("tensorflow", "keras", "keras-nlp", "numpy")}
        | {"python": platform.python_version()},
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def draw(name, figure):
    """Write a matplotlib figure to PICTURES/NAME.png."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_whole(PICTURES / f"{name}.png", buffer.getvalue())
