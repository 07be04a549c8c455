"""Extractors."""

import keras
import numpy as np
import pytest

from tfgen.metrics import inception_v3, to_float_images

SIZE = 75  # the least that InceptionV3 takes


def test_inception_v3_reads_a_file_of_weights(tmp_path):
    keras.utils.set_random_seed(0)
    network = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg")
    network.save(tmp_path / "weights.h5")
    extractor = inception_v3(str(tmp_path / "weights.h5"), image_size=SIZE)
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    expected = network.predict_on_batch(to_float_images(images, (SIZE, SIZE, 3)))
    np.testing.assert_allclose(
        extractor.predict_on_batch(to_float_images(images, (SIZE, SIZE, 3))), expected, rtol=1e-4, atol=1e-6
    )
    assert extractor.name == "inception_v3"
    grey = to_float_images(images[:, :28, :28, :1], (28, 28, 1))
    assert extractor.predict_on_batch(grey).shape == (2, 2048)


def test_inception_v3_without_weights_says_where_to_get_them(tmp_path):
    with pytest.raises(ValueError, match=r"fetch inception_v3_weights.*or take a judge"):
        inception_v3(str(tmp_path / "nowhere.h5"))
