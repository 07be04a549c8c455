"""Gaussian noise that belongs to one picture: a function of its seed and nothing else."""

import tensorflow as tf


def gaussian(seeds, shape, stream=0):
    """Noise for a batch of pictures.

    Args:
        seeds: int64 [B], one a picture; the same seed gives the same noise in any batch, process or graph.
        shape: shape of one picture's noise.
        stream: int or int64 scalar; noise of another stream is independent (a sampler's steps count it up from 1).

    Returns:
        float32 [B, *shape]. Not for XLA-compiled functions: there TensorFlow's generators give other values.
    """
    seeds = tf.cast(seeds, tf.int64)
    noise = _gaussian(seeds, tf.constant(shape, tf.int32), tf.cast(stream, tf.int64))
    noise.set_shape([*seeds.shape, *shape])  # one graph is for any number of pictures of any shape: it does not know them
    return noise


_SIGNATURE = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int64)]


@tf.function(input_signature=_SIGNATURE, autograph=False)  # eagerly, TensorFlow would go from picture to picture in Python
def _gaussian(seeds, shape, stream):
    def one(seed):
        return tf.random.stateless_normal(shape, tf.stack([seed, stream]), alg="philox")

    return tf.map_fn(one, seeds, fn_output_signature=tf.float32)
