"""How alike two pictures are, pixel by pixel: of reconstructions, not of samples."""

import keras
import tensorflow as tf

from tfgen.metrics.features import to_float_images

_WINDOW = 11  # pixels, of the Gaussian window of SSIM
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., 2003


def psnr(first, second):
    """Peak signal-to-noise ratio in decibels.

    Args:
        first, second: pictures [B, H, W, C], uint8 or floats in [-1, 1].

    Returns:
        float32 [B], infinite for equal pictures.
    """
    return tf.image.psnr(*_pairs(first, second, 1), 1.0)


def ssim(first, second):
    """Structural similarity (Wang et al., 2004, doi:10.1109/TIP.2003.819861).

    Args:
        first, second: pictures [B, H, W, C] of 11 pixels or more, uint8 or floats in [-1, 1].

    Returns:
        float32 [B], from -1 to 1; 1 for identical pictures.
    """
    return tf.image.ssim(*_pairs(first, second, _WINDOW), 1.0, filter_size=_WINDOW)


def multiscale_ssim(first, second):
    """Structural similarity over up to five scales, each half as large (Wang et al., 2003, doi:10.1109/ACSSC.2003.1292216).

    A picture under 176 pixels has room for fewer scales, one of 32 pixels for two. Their weights are then brought to a sum of
    1: figures of pictures of different sizes do not compare.

    Args:
        first, second: pictures [B, H, W, C] of 11 pixels or more, uint8 or floats in [-1, 1].

    Returns:
        float32 [B], from 0 to 1, which is for equal pictures.
    """
    first, second = _pairs(first, second, _WINDOW)
    scales = sum(min(first.shape[1:3]) // 2**scale >= _WINDOW for scale in range(len(_SCALE_WEIGHTS)))
    weights = [weight / sum(_SCALE_WEIGHTS[:scales]) for weight in _SCALE_WEIGHTS[:scales]]
    return tf.image.ssim_multiscale(first, second, 1.0, power_factors=weights, filter_size=_WINDOW)


def _pairs(first, second, smallest):
    first, second = (to_float_images(pictures, (None, None, None)) for pictures in (first, second))
    if first.shape[1:] != second.shape[1:]:
        raise ValueError(f"pictures are of shapes {tuple(first.shape)} and {tuple(second.shape)}; give pairs of one shape")
    if min(first.shape[1:3]) < smallest:
        raise ValueError(f"pictures are {first.shape[1]}x{first.shape[2]}; give {smallest}x{smallest} or larger")
    return (first + 1) / 2, (second + 1) / 2  # SSIM takes black for 0


class _MeanOfPairs(keras.metrics.MeanMetricWrapper):
    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable("tfgen")
class PSNR(_MeanOfPairs):
    """Mean of `psnr` over pairs of pictures: infinite as soon as one pair is equal."""

    def __init__(self, name="psnr", **kwargs):
        super().__init__(psnr, name, **kwargs)


@keras.saving.register_keras_serializable("tfgen")
class SSIM(_MeanOfPairs):
    """Mean of `ssim` over pairs of pictures."""

    def __init__(self, name="ssim", **kwargs):
        super().__init__(ssim, name, **kwargs)


@keras.saving.register_keras_serializable("tfgen")
class MultiscaleSSIM(_MeanOfPairs):
    """Mean of `multiscale_ssim` over pairs of pictures."""

    def __init__(self, name="multiscale_ssim", **kwargs):
        super().__init__(multiscale_ssim, name, **kwargs)
