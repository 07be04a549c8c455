"""Captioned pictures as `tf.data.Dataset`: rendered scenes, TFDS, folders, and the way from them to batches."""

from tfgen.data.pipeline import Augmentation, prepare
from tfgen.data.sources import load, shapes_examples, shapes_prompts

__all__ = ["Augmentation", "load", "prepare", "shapes_examples", "shapes_prompts"]
