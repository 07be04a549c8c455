"""Does a picture show what its prompt says?"""

import numpy as np


def all_right(stated, seen):
    """Whether every attribute that a prompt states is seen in its picture.

    Args:
        stated: int [N, K], -1 where the prompt states nothing.
        seen: int [N, K].

    Returns:
        bool [N].
    """
    return np.all((stated == -1) | (stated == seen), axis=1)
