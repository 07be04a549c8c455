"""What the feature metrics share: pictures in, checked, and features out of any Keras model."""

import keras
import numpy as np
import tensorflow as tf


class FeatureMetric(keras.metrics.Metric):
    """Base of the metrics that compare real and generated pictures by their features.

    `update_state(real, generated)` takes a batch of each; either may be None, and their numbers need not agree. The
    extractor is not saved with the metric: compile a loaded model anew.

    Args:
        extractor: any `keras.Model` from pictures [B, H, W, C] in [-1, 1] to features [B, D]. Its name belongs beside every
            figure: those of two extractors do not compare.
    """

    def __init__(self, extractor, name, **kwargs):
        super().__init__(name=name, **kwargs)
        self.extractor = check_vector_output(extractor)

    def update_state(self, real=None, generated=None, sample_weight=None):
        if sample_weight is not None:
            raise ValueError(f"{self.name} counts every picture once; leave out sample_weight")
        for pictures, add in ((real, self.add_real), (generated, self.add_generated)):
            if pictures is not None:
                add(extract(self.extractor, pictures))

    def add_real(self, features):
        """Count features float32 [B, D] of real pictures in."""
        raise NotImplementedError

    def add_generated(self, features):
        """Count features float32 [B, D] of generated pictures in."""
        raise NotImplementedError


class KeptFeatures(FeatureMetric):
    """Base of the metrics that need all the features at once: they are kept, in float32."""

    def __init__(self, extractor, name, **kwargs):
        super().__init__(extractor, name, **kwargs)
        self.reset_state()

    def add_real(self, features):
        self._real.append(eager_array(features, self.name))

    def add_generated(self, features):
        self._generated.append(eager_array(features, self.name))

    def kept(self):
        """Features float32 [N, D] of the real and of the generated pictures so far."""
        for features, kind in ((self._real, "real"), (self._generated, "generated")):
            if not features:
                raise ValueError(f"{self.name} has seen no {kind} pictures; call update_state(real, generated) first")
        return np.concatenate(self._real), np.concatenate(self._generated)

    def reset_state(self):
        self._real, self._generated = [], []


def eager_array(features, name):
    """Features as a NumPy array, or an error in a graph, naming the metric."""
    if not tf.executing_eagerly():
        raise ValueError(f"{name} keeps every picture's features, which a graph cannot; measure in a callback")
    return np.asarray(features)


def check_vector_output(model):
    """A Keras model, of which an error is raised if it does not give one vector for a picture."""
    if len(getattr(model.output, "shape", ())) != 2:
        raise ValueError(f"{model.name!r} does not give one vector for a picture; take a part of it by `feature_extractor`")
    return model


def check_finite(*arrays):
    """Arrays as float64, or an error where one holds NaN or infinity."""
    arrays = [np.asarray(array, np.float64) for array in arrays]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("features hold NaN or infinity; look at the pictures, or at the weights of what made them")
    return arrays


def extract(extractor, pictures):
    """Features [B, D] of a batch of pictures, uint8 or float32 in [-1, 1]."""
    return extractor(to_float_images(pictures, extractor.input_shape[1:]), training=False)


def predict_images(model, pictures):
    """What a Keras model gives, features or classes, for any number of pictures, uint8 or float32 in [-1, 1]."""
    return model.predict(to_float_images(pictures, model.input_shape[1:]), batch_size=256, verbose=0)


def to_float_images(pictures, shape):
    """Pictures as float32 in [-1, 1].

    Args:
        pictures: uint8 [B, H, W, C], or floating point in [-1, 1].
        shape: (H, W, C) that they must have, None for any.

    Raises:
        ValueError: another shape; NaN or a wrong range (seen outside of graphs only).
    """
    pictures = tf.convert_to_tensor(pictures)
    seen = tuple(pictures.shape)
    if len(seen) != 4 or any(wanted not in (None, size) for wanted, size in zip(shape, seen[1:], strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"pictures are of shape {seen}; give [N, {wanted}]")
    if pictures.dtype == tf.uint8:
        return tf.cast(pictures, tf.float32) / 127.5 - 1
    if not pictures.dtype.is_floating:
        raise ValueError(f"pictures are {pictures.dtype.name}; give uint8, or float32 in [-1, 1]")
    if tf.executing_eagerly() and len(pictures):
        low, high = np.min(pictures), np.max(pictures)
        if not (low >= -1.001 and high <= 1.001):  # a NaN compares false
            raise ValueError(f"pixels are from {low:g} to {high:g}; give floats in [-1, 1] without NaN, or uint8")
    return tf.cast(pictures, tf.float32)


def feature_extractor(model, layer="features", name=None):
    """The part of a Keras model up to the named layer, as an extractor; its name is the model's, if not given."""
    return keras.Model(model.inputs, model.get_layer(layer).output, name=name or model.name)


def inception_v3(weights="imagenet", image_size=299):
    """InceptionV3 (Szegedy et al., 2016, arXiv:1512.00567) up to its last pooling, 2,048 features a picture.

    These are Keras's ImageNet weights, in the network as Keras builds it. Published FIDs mostly use the graph of 2015, with
    other weights and another resize: figures by this extractor do not compare with those.

    Args:
        weights: "imagenet", fetched once from the network, or a file of Keras's
            inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5.
        image_size: width and height that pictures of any size, grey or in colour, are resized to.

    Raises:
        ValueError: the weights can be neither fetched nor read; says where to get them.
    """
    try:
        network = keras.applications.InceptionV3(
            include_top=False, weights=weights, input_shape=(image_size, image_size, 3), pooling="avg"
        )
    except Exception as error:  # Keras raises a bare Exception where a download fails
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"no InceptionV3 weights ({reason}); on a machine with network fetch inception_v3_weights_tf_dim_ordering_"
            "tf_kernels_notop.h5 as keras.applications does, and give its path as weights; or take a judge, such as mnist-judge"
        ) from None
    image = keras.Input((None, None, None), name="image")
    return keras.Model(image, network(_ForInception(image_size)(image)), name="inception_v3")


@keras.saving.register_keras_serializable("tfgen")
class _ForInception(keras.layers.Layer):
    """Pictures in colour at one size."""

    def __init__(self, image_size, **kwargs):
        super().__init__(**kwargs)
        self.image_size = image_size

    def call(self, images):
        images = tf.image.resize(images, [self.image_size] * 2, method="bicubic", antialias=True)
        return tf.clip_by_value(tf.broadcast_to(images, [*tf.unstack(tf.shape(images)[:3]), 3]), -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.image_size, self.image_size, 3)

    def get_config(self):
        return {**super().get_config(), "image_size": self.image_size}
