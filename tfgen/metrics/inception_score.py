"""Inception Score: are the pictures clear, and are they of all classes?

Salimans et al., 2016, arXiv:1606.03498.
"""

import keras
import numpy as np
import tensorflow as tf

from tfgen.metrics.features import check_finite, check_vector_output, extract


def inception_score(probabilities):
    """exp of the mean KL divergence of each picture's classes from those of all, in one split.

    From 1 (all pictures alike, or all unclear) to the number of classes (each picture clear, all classes equally many). It sees
    no real data: a set of one perfect picture a class has the highest score (Barratt and Sharma, 2018, arXiv:1801.01973).

    Args:
        probabilities: [N, classes], rows that sum to 1.

    Returns:
        float.

    Raises:
        ValueError: no probabilities.
    """
    (probabilities,) = check_finite(probabilities)
    if probabilities.ndim != 2 or not len(probabilities):
        raise ValueError(f"probabilities are of shape {probabilities.shape}; give [N, classes]")
    if not (probabilities.min() >= 0 and np.allclose(probabilities.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("the rows of probabilities do not sum to 1; give the softmax of a classifier's logits")
    return _score(len(probabilities), probabilities.sum(axis=0), _plogp(probabilities).sum())


def _plogp(probabilities):
    return np.where(probabilities > 0, probabilities * np.log(np.maximum(probabilities, 1e-300)), 0.0)


def _score(count, sums, negative_entropy):
    return float(np.exp(negative_entropy / count - _plogp(sums / count).sum()))


class InceptionScore(keras.metrics.Metric):
    """`inception_score` of generated pictures, streamed.

    Args:
        classifier: any `keras.Model` from pictures [B, H, W, C] in [-1, 1] to logits [B, classes].
    """

    def __init__(self, classifier, name="inception_score", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classifier = check_vector_output(classifier)
        self.count = self.add_weight((), "zeros", "float64", "count")
        self.sums = self.add_weight(classifier.output_shape[1:], "zeros", "float64", "sums")
        self.negative_entropy = self.add_weight((), "zeros", "float64", "negative_entropy")

    def update_state(self, generated, sample_weight=None):
        if sample_weight is not None:
            raise ValueError(f"{self.name} counts every picture once; leave out sample_weight")
        logits = tf.cast(extract(self.classifier, generated), tf.float64)
        probabilities = tf.nn.softmax(logits)
        self.count.assign_add(tf.cast(tf.shape(logits)[0], tf.float64))
        self.sums.assign_add(tf.reduce_sum(probabilities, axis=0))
        self.negative_entropy.assign_add(tf.reduce_sum(probabilities * tf.nn.log_softmax(logits)))

    def result(self):
        mean = self.sums.value / self.count.value
        entropy = -tf.reduce_sum(tf.math.xlogy(mean, mean))
        return tf.exp(self.negative_entropy.value / self.count.value + entropy)
