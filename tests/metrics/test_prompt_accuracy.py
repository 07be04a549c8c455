import numpy as np

from tfgen.metrics.prompt_accuracy import all_right


def test_only_what_is_stated_counts_and_all_of_it():
    seen = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    stated = np.array([[1, -1, 3], [1, 2, 0], [-1, -1, -1]])
    assert all_right(stated, seen).tolist() == [True, False, True]
