import numpy as np

from tfgen.metrics.prompt_accuracy import all_attributes_match


def test_only_what_is_stated_counts_and_all_of_it():
    seen = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    stated = np.array([[1, -1, 3], [1, 2, 0], [-1, -1, -1]])
    assert all_attributes_match(stated, seen).tolist() == [True, False, True]
