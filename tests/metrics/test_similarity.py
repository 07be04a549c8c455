import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgen.metrics import PSNR, SSIM, MultiscaleSSIM, multiscale_ssim, psnr, ssim


def pictures(seed, size=32):
    return np.random.default_rng(seed).integers(0, 256, (6, size, size, 3)).astype(np.uint8)


def test_psnr_is_that_of_its_formula():
    first, second = pictures(0), pictures(1)
    error = np.mean((first.astype(float) - second) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(psnr(first, second), 10 * np.log10(255**2 / error), rtol=1e-5)
    assert np.all(np.isinf(psnr(first, first)))


def test_ssim_is_that_of_8_bit_pictures():
    first, second = pictures(0), pictures(0) // 2 + 30
    np.testing.assert_allclose(ssim(first, second), tf.image.ssim(first, second, 255), rtol=1e-4)


@pytest.mark.parametrize("similarity", [ssim, multiscale_ssim])
@pytest.mark.parametrize("size", [28, 32, 64])
def test_equal_pictures_are_alike_and_noise_is_not(similarity, size):
    clean = np.full((6, size, size, 3), 128, np.uint8)
    clean[:, size // 4 : size // 2] = 255
    noise = np.random.default_rng(0).normal(0, 1, clean.shape)
    noisy = [np.clip(clean + strength * noise, 0, 255).astype(np.uint8) for strength in (0, 20, 80)]
    values = [float(np.mean(similarity(clean, pictures))) for pictures in noisy]
    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values[0] > values[1] + 0.05 > values[2] + 0.1


@pytest.mark.parametrize(("metric", "function"), [(PSNR, psnr), (SSIM, ssim), (MultiscaleSSIM, multiscale_ssim)])
def test_a_metric_is_the_mean_over_batches(metric, function):
    first, second = pictures(0), pictures(1)
    streamed = keras.metrics.deserialize(keras.metrics.serialize(metric()))
    streamed.update_state(first[:4], second[:4])
    streamed.update_state(first[4:], second[4:])
    assert float(streamed.result()) == pytest.approx(float(np.mean(function(first, second))), rel=1e-5)


def test_pictures_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="pairs of one shape"):
        SSIM().update_state(pictures(0), pictures(0, 28))
    with pytest.raises(ValueError, match="11x11 or larger"):
        SSIM().update_state(pictures(0, 8), pictures(0, 8))
