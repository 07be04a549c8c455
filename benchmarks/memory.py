"""Peak memory of a short training run with each shipped model's settings, and of generating with it.

    python benchmarks/memory.py

Aims: training under 4 GiB, generating under 1.5 GiB.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import report

TRAIN = """
import dataclasses, sys
from tfgen import training
settings = training.read_settings(sys.argv[1])
settings = dataclasses.replace(settings, steps=60, steps_per_epoch=30)
training.train(settings, sys.argv[2], verbose=0)
"""
GENERATE = "import sys, tfgen; tfgen.load_model(sys.argv[1]).generate(num_images=64)"


def peak_gib(*command):
    process = subprocess.Popen([sys.executable, "-c", *map(str, command)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"failed: {command[1:]}"
    return usage.ru_maxrss / 2**20


figures = {}
with tempfile.TemporaryDirectory() as folder:
    for model in sorted(Path("saved_models").iterdir()):
        figures[model.name] = {"training_gib": peak_gib(TRAIN, model / "settings.toml", f"{folder}/{model.name}")}
        if "judge" not in model.name:
            figures[model.name]["generating_gib"] = peak_gib(GENERATE, model)
report.write("memory", figures)
