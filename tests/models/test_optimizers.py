"""Muon for convolutions against Keras's own optimizers."""

import keras
import numpy as np
import pytest

from tfgen.models.optimizers import ConvolutionalMuon

SETTINGS = {"learning_rate": 0.01, "weight_decay": 0.1, "adam_weight_decay": 0.1}


def after_three_steps(optimizer, shape, path="kernel"):
    random = np.random.default_rng(0)
    variable = keras.Variable(random.standard_normal(shape, np.float32), name=path)
    for _ in range(3):
        optimizer.apply([random.standard_normal(shape, np.float32)], [variable])
    return variable.numpy().reshape(12, 8)


def test_a_kernel_is_moved_as_the_matrix_that_it_is():
    kernel = after_three_steps(ConvolutionalMuon(**SETTINGS), (2, 2, 3, 8))
    assert np.allclose(kernel, after_three_steps(keras.optimizers.Muon(**SETTINGS), (12, 8)), atol=1e-6)
    assert not np.allclose(kernel, after_three_steps(keras.optimizers.Muon(**SETTINGS), (2, 2, 3, 8)), atol=1e-3)


@pytest.mark.parametrize(("shape", "path"), [((2, 2, 3, 8), "stem"), ((12, 8), "stem"), ((96,), "scale")])
def test_what_is_excluded_and_vectors_take_the_step_of_adamw(shape, path):
    adamw = keras.optimizers.AdamW(learning_rate=0.01, weight_decay=0.1)
    muon = ConvolutionalMuon(**SETTINGS, exclude_layers=["^stem"])
    assert np.allclose(after_three_steps(muon, shape, path), after_three_steps(adamw, shape, path), atol=1e-6)
