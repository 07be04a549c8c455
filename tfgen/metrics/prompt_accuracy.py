"""Does a picture show what its prompt says?"""

import keras
import numpy as np


def all_attributes_match(stated, seen):
    """Whether every attribute that a prompt states is seen in its picture.

    Args:
        stated: int [N, K], -1 where the prompt states nothing.
        seen: int [N, K].

    Returns:
        bool [N].
    """
    return np.all((stated == -1) | (stated == seen), axis=1)


@keras.saving.register_keras_serializable("tfgen")
class PromptAccuracy(keras.metrics.Mean):
    """Part of the pictures for which `all_attributes_match` holds."""

    def __init__(self, name="prompt_accuracy", **kwargs):
        super().__init__(name, **kwargs)

    def update_state(self, stated, seen, sample_weight=None):
        super().update_state(all_attributes_match(stated, seen), sample_weight)
