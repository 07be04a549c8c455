"""Kernel distance between two sets of features: KID, where the features are those of InceptionV3.

Bińkowski et al., 2018, arXiv:1801.01401.
"""

import numpy as np

from tfgen.metrics.features import KeptFeatures, check_finite

_BLOCK = 512  # rows of the kernel matrix in memory


def kernel_distance(features_1, features_2):
    """Unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, over all pairs.

    It may be negative, being 0 on average for two samples of one distribution. The standard error is the jackknife's (Efron and
    Stein, 1981, doi:10.1214/aos/1176345462): how the value moves as each feature vector is left out in turn. It comes out too
    large, not too small, where the two distributions are nearly the same.

    Args:
        features_1: [N, D], N >= 3.
        features_2: [M, D], M >= 3.

    Returns:
        The distance and its standard error, two floats.

    Raises:
        ValueError: too few features, features of different lengths, NaN or infinity.
    """
    x, y = check_finite(features_1, features_2)
    n, m = len(x), len(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(n, m) < 3:
        raise ValueError(f"features are {x.shape} and {y.shape}; give [N, D] and [M, D] of at least 3 pictures each")
    rows_xx, _ = _kernel_sums(x, x)
    rows_yy, _ = _kernel_sums(y, y)
    rows_xx -= _kernel((x**2).sum(axis=1), x.shape[1])  # no vector is a pair with itself
    rows_yy -= _kernel((y**2).sum(axis=1), x.shape[1])
    rows_xy, columns_xy = _kernel_sums(x, y)
    xx, yy, xy = rows_xx.sum(), rows_yy.sum(), rows_xy.sum()
    distance = xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)
    without_x = (xx - 2 * rows_xx) / ((n - 1) * (n - 2)) + yy / (m * (m - 1)) - 2 * (xy - rows_xy) / ((n - 1) * m)
    without_y = xx / (n * (n - 1)) + (yy - 2 * rows_yy) / ((m - 1) * (m - 2)) - 2 * (xy - columns_xy) / (n * (m - 1))
    variance = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    return float(distance), float(np.sqrt(variance))


def _kernel(products, size):
    return (products / size + 1) ** 3


def _kernel_sums(x, y):
    """Sums of the kernel matrix of two sets over its rows and over its columns, [N] and [M]."""
    rows, columns = [], np.zeros(len(y))
    for start in range(0, len(x), _BLOCK):
        values = _kernel(x[start : start + _BLOCK] @ y.T, x.shape[1])
        rows.append(values.sum(axis=1))
        columns += values.sum(axis=0)
    return np.concatenate(rows), columns


class KernelDistance(KeptFeatures):
    """`kernel_distance` between real and generated pictures. It keeps all features, never their kernel matrix.

    Args:
        extractor: see `FeatureMetric`.
    """

    def __init__(self, extractor, name="kernel_distance", **kwargs):
        super().__init__(extractor, name, **kwargs)

    def result(self):
        """dict: the distance under the metric's name, and `standard_error`."""
        distance, standard_error = kernel_distance(*self.kept())
        return {self.name: distance, "standard_error": standard_error}
