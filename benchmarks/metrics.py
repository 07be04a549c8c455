"""What measuring costs: against the extractor's own forward pass, in memory, and in a whole training run.

    python benchmarks/metrics.py

Aims: the Fréchet distance of 10,000 pictures in at most twice the extractor's forward pass over them; the kernel distance
of 10,000 by 10,000 features in less memory than their kernel matrix; `Measure`, in its default setting, adds at most a tenth to
the training of fashion-dcgan.
"""

import statistics
import tempfile
import time
import tracemalloc

import keras
import numpy as np
import report

import tfgen
from tfgen import data, metrics, training
from tfgen.callbacks import Measure

RUNS, NUM_IMAGES, BATCH_SIZE = 7, 10_000, 500


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def kernel_distance_figures(size):
    features = np.random.default_rng(0).normal(size=(2, NUM_IMAGES, size))
    tracemalloc.start()
    metrics.kernel_distance(*features)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"peak_mib": peak / 2**20, "kernel_matrix_mib": 8 * NUM_IMAGES**2 / 2**20}


def frechet_distance_figures(pictures, extractor):
    distance = metrics.FrechetDistance(extractor)

    def forward():
        return extractor.predict(metrics.to_float_images(pictures, (28, 28, 1)), batch_size=BATCH_SIZE, verbose=0)

    def measure():
        distance.reset_state()
        distance.add_real(real_features)
        for start in range(0, NUM_IMAGES, BATCH_SIZE):
            distance.update_state(generated=pictures[start : start + BATCH_SIZE])
        distance.result()

    real_features = forward()
    measure()  # traces
    pairs = [(seconds(forward), seconds(measure)) for _ in range(RUNS)]
    forwards, measures = zip(*pairs, strict=True)
    ratio = statistics.median(measured / passed for passed, measured in pairs)
    return {"forward_seconds": report.summary(forwards), "seconds": report.summary(measures), "ratio": ratio}


def callback_figures(pictures, extractor):
    settings = training.read_settings("saved_models/fashion-dcgan/settings.toml")
    source = data.load(settings.data, settings.split, settings.image_size)
    keras.utils.set_random_seed(settings.seed)
    model = training.build(settings, source)
    training.compile_for(model, settings)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        callback = Measure(metrics.FrechetDistance(extractor), pictures, folder)
        history = model.fit(
            training.batches_for(model, settings, source, 0),
            steps_per_epoch=settings.steps_per_epoch,
            epochs=settings.steps // settings.steps_per_epoch,
            shuffle=False,
            verbose=2,
            callbacks=[callback],
        ).history
        whole = time.perf_counter() - start
    return {
        "training_seconds": callback.training_seconds,
        "added": whole / callback.training_seconds - 1,  # with the features of the real pictures
        "measurements": len(history["frechet_distance"]),
    }


pictures = np.concatenate([batch["image"] for batch in data.load("fashion_mnist", "test").batch(1000)])
extractor = metrics.feature_extractor(tfgen.load_model("fashion-judge"), name="fashion-judge")
figures = {
    "frechet_distance": frechet_distance_figures(pictures, extractor),
    "kernel_distance": kernel_distance_figures(extractor.output.shape[-1]),
    "callback": callback_figures(pictures, extractor),
}
report.write("metrics", figures)
