"""The judges: small classifiers that read every attribute of a rendered scene at once, or the class of a labelled picture."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tfgen.data import shapes
from tfgen.metrics import predict_images

# The attributes of one object or two, solid ones; three objects and textures are not judged.
NUM_CLASSES = {
    "num_objects": 2, "background": len(shapes.COLORS), "relation": len(shapes.RELATIONS), "place_1": len(shapes.PLACES),
    **{f"shape_{i}": len(shapes.SHAPES) for i in (1, 2)},
    **{f"color_{i}": len(shapes.COLORS) for i in (1, 2)},
    **{f"size_{i}": len(shapes.SIZES) for i in (1, 2)},
}  # fmt: skip
_ONE_OBJECT_ONLY = ("place_1",)
_TWO_OBJECTS_ONLY = ("relation", "shape_2", "color_2", "size_2", "texture_2")


def build_judge(image_size=32, image_channels=3, num_classes=None):
    """The network: pictures [B, H, W, C] in [-1, 1] to a dict of logits, one entry an attribute.

    Under 2 MB. Its layer "features" is what the metrics compare. Trained by `fit` on batches of `judge_batch` with
    `judge_losses`.

    Args:
        image_size, image_channels: of the pictures.
        num_classes: of the labels, for the one entry "label"; None for the attributes of scenes.
    """
    classes = {"label": num_classes} if num_classes else NUM_CLASSES
    image = keras.Input((image_size, image_size, image_channels), name="image")
    x = layers.GaussianNoise(0.05, seed=0)(image)  # a generated picture is never as clean as a rendered one
    for level, channels in enumerate((48, 96, 128)):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"convolution_{level}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"normalization_{level}")(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(128, 3, padding="same", activation="relu", name="convolution_3")(x)
    # Not pooled over the grid: where something is matters as much as what it is.
    x = layers.Conv2D(48, 1, activation="relu", name="squeeze")(x)
    x = layers.Dense(192, activation="relu", name="features")(layers.Flatten()(x))
    logits = {name: layers.Dense(number, name=name)(x) for name, number in classes.items()}
    return keras.Model(image, logits, name="judge")


def judge_losses(attributes=NUM_CLASSES):
    """Cross-entropy by attribute, with none where a scene does not have it."""
    return {name: keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1) for name in attributes}


def judge_batch(batch):
    """A batch of `tfgen.data.prepare` as (pictures, labels by attribute) for `build_judge`."""
    if "attributes" not in batch:
        return batch["image"], {"label": batch["label"]}
    column = {name: batch["attributes"][:, index] for index, name in enumerate(shapes.ATTRIBUTES)}
    num_objects = column["num_objects"]
    column["num_objects"] = tf.where(num_objects > NUM_CLASSES["num_objects"], -1, num_objects - 1)  # no label for three
    return batch["image"], {name: column[name] for name in NUM_CLASSES}


def judge_attributes(judge, images):
    """What a judge sees.

    Args:
        judge: a trained `build_judge`.
        images: uint8 [N, H, W, 3], or floats in [-1, 1].

    Returns:
        int32 [N, len(shapes.ATTRIBUTES)], -1 where an attribute does not apply.
    """
    logits = predict_images(judge, images)
    seen = np.full((len(images), len(shapes.ATTRIBUTES)), -1, np.int32)
    column = {name: seen[:, index] for index, name in enumerate(shapes.ATTRIBUTES)}
    for name in NUM_CLASSES:
        column[name][:] = logits[name].argmax(axis=-1)
    column["num_objects"] += 1
    column["texture_1"][:] = column["texture_2"][:] = shapes.TEXTURES.index("solid")
    two = column["num_objects"] == 2
    for name in _ONE_OBJECT_ONLY:
        column[name][two] = -1
    for name in _TWO_OBJECTS_ONLY:
        column[name][~two] = -1
    return seen
