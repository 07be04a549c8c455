"""Fréchet distance between two sets of features: FID, where the features are those of InceptionV3.

Heusel et al., 2017, arXiv:1706.08500.
"""

import warnings

import numpy as np
import tensorflow as tf

from tfgen.metrics.features import FeatureMetric, check_finite


def frechet_distance(mean_1, covariance_1, mean_2, covariance_2):
    """Squared Fréchet distance of two Gaussians, |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The trace of the root is the sum of the singular values of C1^(1/2) C2^(1/2) (Dowson and Landau, 1982,
    doi:10.1016/0047-259X(82)90077-X): real, without iteration, and right for singular covariances too.

    Args:
        mean_1, mean_2: [D].
        covariance_1, covariance_2: [D, D], symmetric.

    Returns:
        float, from 0.

    Raises:
        ValueError: NaN or infinity.
    """
    mean_1, covariance_1, mean_2, covariance_2 = check_finite(mean_1, covariance_1, mean_2, covariance_2)
    difference = mean_1 - mean_2
    root_trace = np.linalg.norm(_root(covariance_1) @ _root(covariance_2), "nuc")
    return max(0.0, float(difference @ difference + np.trace(covariance_1) + np.trace(covariance_2) - 2 * root_trace))


def _root(covariance):
    """The symmetric square root; what rounding left of zero eigenvalues is taken for zero."""
    values, vectors = np.linalg.eigh(covariance)
    values[values < len(values) * np.finfo(np.float64).eps * values[-1]] = 0
    return vectors * np.sqrt(values) @ vectors.T


class FrechetDistance(FeatureMetric):
    """`frechet_distance` between real and generated pictures, streamed: it keeps two means and two covariances.

    They are merged batch by batch in float64 (Chan et al., 1979, "Updating formulae and a pairwise algorithm for computing
    sample variances"), so that neither the size nor the order of the batches matters.

    The distance of two finite samples of one distribution is not 0, and grows as they get smaller (Bińkowski et al., 2018,
    arXiv:1801.01401, section 3): compare figures of equal numbers of pictures only, beside a floor of two halves of real data.

    In a compiled model Keras asks for the result after every batch: it works under `evaluate`, without XLA and on one device,
    but to measure while training take `tfgen.callbacks.Measure`.

    Args:
        extractor: see `FeatureMetric`.
    """

    def __init__(self, extractor, name="frechet_distance", **kwargs):
        super().__init__(extractor, name, **kwargs)
        size = self.extractor.output_shape[-1]
        shapes = {"count": (), "mean": (size,), "scatter": (size, size)}
        self.real, self.generated = (
            {part: self.add_weight(shape, "zeros", "float64", f"{kind}_{part}") for part, shape in shapes.items()}
            for kind in ("real", "generated")
        )

    def add_real(self, features):
        _merge(self.real, features)

    def add_generated(self, features):
        _merge(self.generated, features)

    def result(self):
        """float64, from 0.

        Raises:
            ValueError: fewer than two real or generated pictures.
        """
        parts = [*self.real.values(), *self.generated.values()]
        if tf.executing_eagerly():
            return _distance(*(np.asarray(part.value) for part in parts))
        return tf.numpy_function(_distance, [part.value for part in parts], tf.float64)


def _merge(statistics, features):
    features = tf.cast(features, tf.float64)
    count, mean, scatter = (tf.identity(statistics[part].value) for part in ("count", "mean", "scatter"))
    added = tf.cast(tf.shape(features)[0], tf.float64)
    total = count + added
    own_mean = tf.math.divide_no_nan(tf.reduce_sum(features, axis=0), added)
    centered, difference = features - own_mean, own_mean - mean
    statistics["count"].assign(total)
    share = tf.math.divide_no_nan(added, total)
    statistics["mean"].assign(mean + difference * share)
    between = tf.tensordot(difference, difference, axes=0) * count * share
    statistics["scatter"].assign(scatter + tf.matmul(centered, centered, transpose_a=True) + between)


def _distance(count_1, mean_1, scatter_1, count_2, mean_2, scatter_2):
    fewest = int(min(count_1, count_2))
    if fewest < 2:
        raise ValueError(f"a covariance needs at least 2 real and 2 generated pictures, seen so far: {fewest} of one kind")
    if fewest <= len(mean_1):
        warnings.warn(
            f"{fewest:,} pictures for {len(mean_1):,} features: the Fréchet distance comes out too large, by more for fewer "
            "pictures; give more of them, or look at the kernel distance, which has no such bias",
            stacklevel=2,
        )
    return np.float64(frechet_distance(mean_1, scatter_1 / (count_1 - 1), mean_2, scatter_2 / (count_2 - 1)))
