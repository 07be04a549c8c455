"""Measuring during `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen import data
from tfgen.callbacks import Measure
from tfgen.metrics import FrechetDistance, KernelDistance
from tfgen.models import VAE

SIZE = 16


@pytest.fixture
def setting():
    """An untrained VAE, its batches, held-out pictures and an extractor."""
    keras.utils.set_random_seed(0)
    model = VAE(SIZE, 3, width=8, latent_size=6, ema_half_life=100)
    model.compile(keras.optimizers.Adam(3e-3))
    batches = data.prepare(data.load("shapes", "train", SIZE, num_scenes=256, num_objects=(1,)), batch_size=16, training=True)
    held_out = np.stack([example["image"] for example in data.load("shapes", "test", SIZE, num_scenes=64, num_objects=(1,))])
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Dense(8, activation="tanh")(keras.layers.Flatten()(image))
    return model, batches, held_out, keras.Model(image, features, name="random_features")


def fit(model, batches, callback, epochs):
    return model.fit(batches, steps_per_epoch=4, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback]).history


def test_the_figure_is_logged_and_the_best_model_kept(setting, tmp_path):
    model, batches, held_out, extractor = setting
    callback = Measure(FrechetDistance(extractor), held_out, tmp_path, num_images=64, every=2)
    history = fit(model, batches, callback, 6)["frechet_distance"]
    assert len(history) == 3
    assert callback.best == min(history)
    best = keras.saving.load_model(tmp_path / "best.keras")
    metric = FrechetDistance(extractor)
    metric.update_state(held_out, best.generate(num_images=64))
    assert float(metric.result()) == pytest.approx(min(history), rel=1e-3)
    tags = set()
    for file in tmp_path.glob("events.out.tfevents*"):
        for record in tf.data.TFRecordDataset(str(file)):
            tags |= {value.tag for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value}
    assert tags == {"frechet_distance", "samples"}


def test_training_stops_when_the_figure_gets_no_better(setting, tmp_path):
    model, batches, held_out, extractor = setting
    model.optimizer.learning_rate = 0.0  # only the averaged weights move, and only at first
    history = fit(
        model, batches, Measure(KernelDistance(extractor), held_out, tmp_path, num_images=32, every=1, patience=2), 20
    )
    assert len(history["kernel_distance"]) < 10


def test_measuring_takes_a_tenth_of_the_training_at_most(setting, tmp_path):
    model, batches, held_out, extractor = setting
    callback = Measure(FrechetDistance(extractor), held_out, tmp_path, num_images=64)
    callback.measuring_seconds = 60.0  # as after slow measurements
    with pytest.warns(UserWarning, match="nothing was measured"):
        fit(model, batches, callback, 1)  # four steps leave no room for another
    assert not (tmp_path / "best.keras").exists()
    callback.training_seconds = 10 * callback.measuring_seconds + 60  # as after a long epoch
    assert "frechet_distance" in fit(model, batches, callback, 1)
    assert callback.measuring_seconds <= 0.1 * callback.training_seconds
