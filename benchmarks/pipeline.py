"""Does a training step ever wait for its data? The real input pipeline against one batch that is always there.

    python benchmarks/pipeline.py

Aim: a ratio of 1 within its spread.
"""

import statistics
import time
from pathlib import Path

import report
import tensorflow as tf

from tfgen import data, training

STEPS, ROUNDS = 60, 5


def seconds(model, iterator):
    start = time.perf_counter()
    for _ in range(STEPS):
        logs = model.train_function(iterator)  # one step, as `fit` takes it
    float(logs["loss" if "loss" in logs else "generator_loss"])
    return time.perf_counter() - start


figures = {}
for folder in sorted(Path("saved_models").iterdir()):
    settings = training.read_settings(folder / "settings.toml")
    source = data.load(settings.data, settings.split, settings.image_size, settings.language, **settings.options)
    model = training.build(settings, source)
    training.compile_for(model, settings)
    model.make_train_function()
    one_pass = int(source.cardinality()) // settings.batch_size  # skipped, so all pictures are in memory
    real = iter(training.batches_for(model, settings, source, one_pass))
    held = iter(tf.data.Dataset.from_tensors(next(real)).repeat())
    seconds(model, real), seconds(model, held)  # traces
    rounds = [(seconds(model, real), seconds(model, held)) for _ in range(ROUNDS)]
    figures[folder.name] = {
        "real_seconds": report.summary([real for real, _ in rounds]),
        "held_seconds": report.summary([held for _, held in rounds]),
        "ratio": statistics.median(real / held for real, held in rounds),
    }
report.write("pipeline", figures)
