"""Precision, recall, density and coverage, and the nearest training pictures: what nearest neighbours tell.

Kynkäänniemi et al., 2019, arXiv:1904.06991; Naeem et al., 2020, arXiv:2002.09797.
"""

from typing import NamedTuple

import keras
import numpy as np

from tfgen.metrics.features import KeptFeatures, check_finite, check_vector_output, eager_array, extract, predict_images

_BLOCK = 2**23  # entries of the distance matrix in memory: 64 MB


class PrecisionRecallScores(NamedTuple):
    """Attributes:
    precision: fraction of the generated pictures that lie in the ball of at least one real picture: fidelity.
    recall: fraction of the real pictures that lie in the ball of at least one generated picture: diversity.
    density: number of real balls around a generated picture, of those expected; as precision, but one outlier with a wide
        ball counts little. Can exceed 1.
    coverage: fraction of the real pictures whose ball holds a generated one; as recall, but not fooled by generated outliers.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(real_features, generated_features, k=5):
    """Precision, recall, density and coverage; a picture's ball reaches to its k-th nearest neighbour of its own kind.

    Args:
        real_features: [N, D], N > k.
        generated_features: [M, D], M > k.
        k: neighbours; 3 in Kynkäänniemi et al., 5 in Naeem et al.

    Returns:
        `PrecisionRecallScores`.

    Raises:
        ValueError: too few features, or features of different lengths.
    """
    real, generated = check_finite(real_features, generated_features)
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"features are {real.shape} and {generated.shape}; give [N, D] and [M, D]")
    if not 1 <= k < min(len(real), len(generated)):
        raise ValueError(f"k is {k}; give 1 or more, and fewer than the {min(len(real), len(generated))} pictures there are")
    # A picture is the nearest of its own kind itself.
    real_radius = nearest_neighbours(real, real, k + 1)[0][:, -1]
    generated_radius = nearest_neighbours(generated, generated, k + 1)[0][:, -1]
    balls_around = np.zeros(len(generated), int)
    recalled, covered = [], []
    for rows in _blocks(real, generated):
        squares = _squared_distances(real[rows], generated)
        within = squares <= real_radius[rows, None] ** 2
        balls_around += within.sum(axis=0)
        covered.append(within.any(axis=1))
        recalled.append((squares <= generated_radius**2).any(axis=1))
    return PrecisionRecallScores(
        precision=float(np.mean(balls_around > 0)),
        recall=float(np.mean(np.concatenate(recalled))),
        density=float(np.mean(balls_around) / k),
        coverage=float(np.mean(np.concatenate(covered))),
    )


def nearest_neighbours(features, reference_features, k=1):
    """The nearest of a reference set, nearest first.

    Args:
        features: [N, D].
        reference_features: [M, D], M >= k.

    Returns:
        Euclidean distances float64 [N, k] and indices into the reference set int64 [N, k].
    """
    features, reference_features = check_finite(features, reference_features)
    found = []
    for rows in _blocks(features, reference_features):
        squares = _squared_distances(features[rows], reference_features)
        indices = np.argpartition(squares, k - 1, axis=1)[:, :k]
        found.append(_sorted(np.sqrt(np.take_along_axis(squares, indices, axis=1)), indices))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _blocks(x, y):
    rows = max(1, _BLOCK // len(y))
    return [slice(start, start + rows) for start in range(0, len(x), rows)]


def _squared_distances(x, y):
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.maximum(squares, 0)  # rounding leaves less than 0


def _sorted(distances, indices):
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)


class PrecisionRecall(KeptFeatures):
    """`precision_recall` between real and generated pictures; it keeps all features.

    Args:
        extractor: see `FeatureMetric`.
        k: neighbours.
    """

    def __init__(self, extractor, k=5, name="precision_recall", **kwargs):
        super().__init__(extractor, name, **kwargs)
        self.k = k

    def result(self):
        """dict: `precision`, `recall`, `density`, `coverage`."""
        return precision_recall(*self.kept(), self.k)._asdict()


class NearestTrainingPictures(keras.metrics.Metric):
    """The training pictures nearest to each of some generated ones, streamed over the training set: is the model copying?

    A mean distance under that of held-out real pictures from the training set says so; look at the pairs.

    Args:
        extractor: see `FeatureMetric`.
        generated: pictures [N, H, W, C], uint8 or floats in [-1, 1].
        k: neighbours to keep.

    Attributes:
        distances: float64 [N, k], nearest first, infinite before training pictures were seen.
        indices: int64 [N, k], places of the neighbours in the training set, in the order of the batches.
    """

    def __init__(self, extractor, generated, k=1, name="nearest_training_distance", **kwargs):
        super().__init__(name=name, **kwargs)
        self.extractor, self.k = check_vector_output(extractor), k
        self._features = predict_images(extractor, generated)
        self.reset_state()

    def update_state(self, training, sample_weight=None):
        features = eager_array(extract(self.extractor, training), self.name)
        distances, indices = nearest_neighbours(self._features, features, min(self.k, len(features)))
        both = (self.distances, distances), (self.indices, indices + self._seen)
        distances, indices = _sorted(*(np.concatenate(pair, axis=1) for pair in both))
        self.distances, self.indices = distances[:, : self.k], indices[:, : self.k]
        self._seen += len(features)

    def result(self):
        """Mean distance to the nearest training picture."""
        return self.distances[:, 0].mean()

    def reset_state(self):
        self._seen = 0
        self.distances = np.full((len(self._features), self.k), np.inf)
        self.indices = np.full((len(self._features), self.k), -1)
