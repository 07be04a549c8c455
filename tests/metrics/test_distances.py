"""Distances between features, by closed forms, by another implementation and by their definitions."""

import keras
import numpy as np
import pytest
import scipy.linalg

from tfgen.metrics import (
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    NearestTrainingPictures,
    PrecisionRecall,
    feature_extractor,
    frechet_distance,
    inception_score,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)  # fmt: skip

SIZE = 12


@pytest.fixture(scope="module")
def classifier():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Dense(SIZE, activation="tanh", name="features")(keras.layers.Flatten()(image))
    return keras.Model(image, keras.layers.Dense(5)(4 * x), name="tiny")


@pytest.fixture(scope="module")
def extractor(classifier):
    return feature_extractor(classifier)


def pictures(count, seed, brightness=0.0):
    return np.clip(np.random.default_rng(seed).normal(brightness, 0.5, (count, 8, 8, 1)), -1, 1).astype(np.float32)


def features(count, seed, mean=0.0, size=SIZE):
    return np.random.default_rng(seed).normal(mean, 1, (count, size))


def covariance(seed):
    x = features(40, seed)
    return np.cov(x.T)


def test_frechet_distance_of_known_gaussians():
    mean = np.arange(3.0)
    assert frechet_distance(mean, np.eye(3), mean + 2, np.eye(3)) == pytest.approx(12)
    # Where the covariances commute: |m1 - m2|^2 plus the squared differences of the standard deviations.
    first, second = np.diag([1.0, 4, 9]), np.diag([4.0, 4, 1])
    assert frechet_distance(mean, first, mean, second) == pytest.approx(1 + 0 + 4)


def test_frechet_distance_agrees_with_the_matrix_root_of_scipy():
    first, second = covariance(0), 3 * covariance(1)
    difference = np.linspace(0, 1, SIZE)
    root = scipy.linalg.sqrtm(first @ second)
    expected = difference @ difference + np.trace(first + second - 2 * root.real)
    assert frechet_distance(difference, first, np.zeros(SIZE), second) == pytest.approx(expected, rel=1e-6)


def test_a_singular_covariance_has_a_distance():
    one = np.ones((4, 4))
    assert frechet_distance(np.zeros(4), one, np.zeros(4), 4 * one) == pytest.approx(4)
    assert frechet_distance(np.zeros(4), np.zeros((4, 4)), np.zeros(4), one) == pytest.approx(4)


def test_kernel_distance_is_the_mean_over_pairs():
    x, y = features(7, 0), features(9, 1, mean=0.5)

    def mean(a, b, same):
        values = [(p @ q / SIZE + 1) ** 3 for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        return np.mean(values)

    distance, _ = kernel_distance(x, y)
    assert distance == pytest.approx(mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False), rel=1e-9)


def test_the_standard_error_of_kernel_distance_is_the_jackknife():
    x, y = features(11, 0), features(8, 1, mean=0.5)
    without_x = [kernel_distance(np.delete(x, i, 0), y)[0] for i in range(11)]
    without_y = [kernel_distance(x, np.delete(y, i, 0))[0] for i in range(8)]
    assert kernel_distance(x, y)[1] == pytest.approx(np.sqrt(10 * np.var(without_x) + 7 * np.var(without_y)), rel=1e-9)


def test_the_standard_error_of_kernel_distance_is_the_spread_over_samples():
    drawn = [kernel_distance(features(200, 2 * seed), features(200, 2 * seed + 1, mean=0.3)) for seed in range(60)]
    distances, errors = np.array(drawn).T
    assert np.mean(errors) == pytest.approx(np.std(distances), rel=0.25)


def test_kernel_distance_is_unbiased():
    drawn = [kernel_distance(features(50, 2 * seed), features(50, 2 * seed + 1))[0] for seed in range(100)]
    assert abs(np.mean(drawn)) < 3 * np.std(drawn) / 10


def test_inception_score_of_known_classes():
    assert inception_score(np.eye(10)) == pytest.approx(10)  # each clear, all classes
    assert inception_score(np.full((20, 10), 0.1)) == pytest.approx(1)  # all unclear
    assert inception_score(np.eye(10)[np.zeros(20, int)]) == pytest.approx(1)  # all of one class


def test_precision_and_recall_by_hand():
    # On a line: real ones a step apart, generated ones beside the first half of them and one far away.
    real, generated = np.arange(8.0)[:, None], np.array([[0.1], [1.1], [2.1], [3.1], [50.0]])
    scores = precision_recall(real, generated, k=1)
    assert scores.precision == 4 / 5  # the far one is in no real ball of radius 1
    assert scores.density == (2 + 2 + 2 + 2) / 5  # each of the four is in two balls
    assert scores.coverage == 5 / 8  # the balls of 0 to 4 hold one
    assert scores.recall == 1  # the outlier's ball reaches down to 3.1, and so over all from there on
    assert precision_recall(real, generated[:4], k=1).recall == 5 / 8


def test_nearest_neighbours_are_found():
    reference = features(700, 0)
    distances, indices = nearest_neighbours(reference[[600, 3]] + 1e-6, reference, k=3)
    assert indices[:, 0].tolist() == [600, 3]
    assert np.all(np.diff(distances, axis=1) >= 0)
    expected = np.sort(np.linalg.norm(reference - reference[3], axis=1))[:3]
    np.testing.assert_allclose(distances[1], expected, atol=1e-5)


@pytest.mark.parametrize("metric", [FrechetDistance, KernelDistance, PrecisionRecall])
def test_neither_batch_size_nor_order_matters(metric, extractor):
    real, generated = pictures(300, 0), pictures(200, 1, brightness=0.2)
    whole, parts = metric(extractor), metric(extractor)
    whole.update_state(real, generated)
    shuffled = np.random.default_rng(0).permutation(300)
    for start in range(0, 300, 70):
        parts.update_state(real=real[shuffled[start : start + 70]])
    for start in range(0, 200, 33):
        parts.update_state(generated=generated[start : start + 33])
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole.result(), parts.result())


def test_the_inception_score_streams(classifier):
    generated = pictures(100, 0)
    metric = InceptionScore(classifier)
    for start in range(0, 100, 30):
        metric.update_state(generated[start : start + 30])
    logits = classifier.predict(generated, verbose=0)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert float(metric.result()) == pytest.approx(inception_score(probabilities), rel=1e-5)


def test_streamed_and_plain_frechet_distance_agree(extractor):
    real, generated = pictures(60, 0), pictures(50, 1)
    metric = FrechetDistance(extractor)
    metric.update_state(real, generated)
    sets = [extractor.predict(images, verbose=0).astype(np.float64) for images in (real, generated)]
    expected = frechet_distance(*(part for x in sets for part in (x.mean(axis=0), np.cov(x.T))))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    metric.update_state(real, real)
    assert float(metric.result()) == pytest.approx(0, abs=1e-9)


def test_8_bit_pictures_count_as_what_they_mean(extractor):
    numbers = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    metric = FrechetDistance(extractor)
    metric.update_state(numbers, numbers.astype(np.float32) / 127.5 - 1)
    assert float(metric.result()) == pytest.approx(0, abs=1e-9)


def test_nearest_training_pictures_find_a_copy(extractor):
    training = pictures(90, 0)
    metric = NearestTrainingPictures(extractor, np.concatenate([training[[50]], pictures(3, 1)]), k=2)
    for start in range(0, 90, 40):
        metric.update_state(training[start : start + 40])
    assert metric.indices[0, 0] == 50
    assert metric.distances[0, 0] == pytest.approx(0, abs=1e-3)
    assert np.all(metric.distances[1:, 0] > 0.1)
    assert metric.result() == metric.distances[:, 0].mean()


def test_a_metric_works_in_a_compiled_model(extractor):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(0.5)])
    model.compile(loss="mse", metrics=[FrechetDistance(extractor)])
    real = pictures(64, 0)
    report = model.evaluate(real, real, verbose=0, return_dict=True)
    metric = FrechetDistance(extractor)
    metric.update_state(real, real / 2)
    assert report["frechet_distance"] == pytest.approx(float(metric.result()), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(value):
    spoiled = features(20, 0)
    spoiled[3, 2] = value
    for measure in (kernel_distance, lambda x, y: precision_recall(x, y), lambda x, y: frechet_distance(x[0], y, x[3], y)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            measure(spoiled, features(20, 1))


def test_an_empty_batch_changes_nothing(extractor):
    metric = FrechetDistance(extractor)
    metric.update_state(pictures(50, 0), pictures(50, 1))
    before = float(metric.result())
    metric.update_state(pictures(0, 0), pictures(0, 0))
    assert float(metric.result()) == before


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.full((4, 8, 8, 1), 200.0), "from 200 to 200"),
        (np.full((4, 8, 8, 1), np.nan), "from nan to nan"),
        (np.zeros((4, 8, 8, 3)), r"give \[N, 8, 8, 1\]"),
        (np.zeros((8, 8, 1)), r"give \[N, 8, 8, 1\]"),
        (np.zeros((4, 8, 8, 1), np.int64), "int64"),
    ],
)
def test_unusable_pictures_are_refused(images, told, extractor):
    with pytest.raises(ValueError, match=told):
        FrechetDistance(extractor).update_state(images, images)


def test_few_pictures_are_named(extractor):
    metric = FrechetDistance(extractor)
    metric.update_state(pictures(SIZE - 1, 0), pictures(50, 1))
    with pytest.warns(UserWarning, match="11 pictures for 12 features"):
        assert np.isfinite(metric.result())
    for one in (FrechetDistance, KernelDistance, PrecisionRecall):
        metric = one(extractor)
        metric.update_state(pictures(1, 0), pictures(50, 1))
        with pytest.raises(ValueError, match="pictures"):
            metric.result()
    metric = KernelDistance(extractor)
    metric.update_state(real=pictures(5, 0))
    with pytest.raises(ValueError, match="seen no generated pictures"):
        metric.result()


def test_constant_pictures_have_a_number(extractor):
    metric = FrechetDistance(extractor)
    metric.update_state(np.zeros((20, 8, 8, 1)), pictures(20, 0))
    assert np.isfinite(metric.result())
    assert metric.result() > 0.01


def test_no_vector_of_features_is_an_error(classifier):
    image = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="one vector for a picture"):
        FrechetDistance(keras.Model(image, {"label": classifier(image)}))
    with pytest.raises(ValueError, match="one vector for a picture"):
        FrechetDistance(keras.Model(image, keras.layers.Conv2D(2, 3)(image)))
    with pytest.raises(ValueError, match="softmax"):
        inception_score(np.ones((3, 4)))
