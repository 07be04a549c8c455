"""Peak memory of training with each shipped model's settings, and of generating with it.

    python benchmarks/memory.py

A training run is measured where it is largest: captions are matched in full, then all pictures are in memory and one pass over
them becomes the next, and samples are drawn. Aims: training under 4 GiB, generating under 1.5 GiB.
"""

import os
import subprocess
import sys
from pathlib import Path

import report

TRAIN = """
import sys
from tfgen import data, training
settings = training.read_settings(sys.argv[1])
source = data.load(settings.data, settings.split, settings.image_size, settings.language, **settings.options)
model = training.build(settings, source)
training.compile_for(model, settings)
if getattr(model, "text_encoder", None):
    training.match_captions(model, settings, source, verbose=0)
near_the_end = int(source.cardinality()) // settings.batch_size - 10
model.fit(training.batches_for(model, settings, source, near_the_end), steps_per_epoch=30, shuffle=False, verbose=0)
if settings.family != "judge":
    model.generate(num_images=64)
"""
GENERATE = "import sys, tfgen; tfgen.load_model(sys.argv[1]).generate(num_images=64)"


def peak_gib(*command):
    process = subprocess.Popen([sys.executable, "-c", *map(str, command)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"failed: {command[1:]}"
    return usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)  # bytes on macOS, else KiB


figures = {}
for model in sorted(Path("saved_models").iterdir()):
    figures[model.name] = {"training_gib": peak_gib(TRAIN, model / "settings.toml")}
    if "judge" not in model.name:
        figures[model.name]["generating_gib"] = peak_gib(GENERATE, model)
report.write("memory", figures)
