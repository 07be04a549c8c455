import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfgen import data
from tfgen.data.pipeline import resize


def dataset_of(num_examples, caption="a circle", size=8):
    """Examples whose every pixel tells their number."""
    values = np.arange(num_examples, dtype=np.float32) / 127.5 - 1
    images = np.broadcast_to(values[:, None, None, None], (num_examples, size, size, 1))
    return tf.data.Dataset.from_tensor_slices(
        {"image": images, "caption": [caption] * num_examples, "label": np.arange(num_examples)}
    )


def labels(batches, num_batches):
    return [batch["label"].tolist() for batch in itertools.islice(batches.as_numpy_iterator(), num_batches)]


def test_training_batches_hold_numbers_only_and_never_end():
    batches = data.prepare(dataset_of(10), lambda captions: tf.ones([tf.size(captions), 5], tf.int32), 4, training=True)
    batch = next(iter(batches))
    assert set(batch) == {"image", "token_ids", "padding_mask", "label"}
    assert batch["image"].shape == (4, 8, 8, 1)
    assert batch["padding_mask"].dtype == tf.bool
    assert np.allclose(batch["image"][:, 0, 0, 0], batch["label"].numpy() / 127.5 - 1, atol=1e-6)
    seen = list(itertools.chain(*labels(batches, 25)))
    for epoch in range(10):
        assert sorted(seen[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert seen[:10] != seen[10:20]


def test_pictures_are_resized_before_they_are_kept():
    batches = data.prepare(dataset_of(6, size=12), batch_size=3, image_size=8)
    pictures = np.concatenate([batch["image"] for batch in batches.as_numpy_iterator()])
    assert pictures.shape == (6, 8, 8, 1)
    assert np.allclose(pictures[:, 3, 3, 0], np.arange(6) / 127.5 - 1, atol=1e-6)


def test_a_set_smaller_than_a_batch_is_repeated():
    assert sorted(labels(data.prepare(dataset_of(3), batch_size=6, training=True), 1)[0]) == [0, 0, 1, 1, 2, 2]


def test_order_is_a_function_of_the_seed_and_goes_on_at_any_step():
    whole = labels(data.prepare(dataset_of(10), batch_size=4, training=True, seed=1), 9)
    for start in (1, 4, 7):
        rest = labels(data.prepare(dataset_of(10), batch_size=4, training=True, seed=1, start_step=start), 9 - start)
        assert rest == whole[start:]
    assert labels(data.prepare(dataset_of(10), batch_size=4, training=True, seed=2), 9) != whole


def test_training_needs_to_know_how_many_examples_there_are():
    few = dataset_of(10).filter(lambda example: example["label"] < 5)
    with pytest.raises(ValueError, match="the number of examples is unknown"):
        data.prepare(few, batch_size=4, training=True)
    known = few.apply(tf.data.experimental.assert_cardinality(5))
    assert sorted(labels(data.prepare(known, batch_size=5, training=True), 1)[0]) == list(range(5))


def test_the_order_stands_with_a_global_seed_set():
    tf.random.set_seed(5)
    first = labels(data.prepare(dataset_of(10), batch_size=4, training=True, seed=1), 5)
    tf.random.set_seed(6)
    assert labels(data.prepare(dataset_of(10), batch_size=4, training=True, seed=1), 5) == first


def test_evaluation_sees_every_example_once_in_order():
    assert list(itertools.chain(*labels(data.prepare(dataset_of(10), batch_size=4), 99))) == list(range(10))


def test_resize_takes_the_central_square_without_aliasing():
    stripes = np.tile(np.array([1.0, -1.0], np.float32), 32)[None, :, None] * np.ones((40, 1, 3), np.float32)
    small = resize(tf.constant(stripes), 8)
    assert small.shape == (8, 8, 3)
    assert np.abs(small).max() < 0.2  # one pixel in eight of a fine pattern, taken as it is, would be 1 or -1
    ramp = np.broadcast_to(np.linspace(-1, 1, 60, dtype=np.float32)[None, :, None], (20, 60, 1))
    assert np.abs(resize(tf.constant(ramp), 20)).max() < 0.4  # the middle third


@pytest.mark.parametrize(
    ("augmentation", "harmless", "telling"),
    [
        (
            data.Augmentation(flip=True),
            "a red coat",
            [
                "a red circle on the left",
                "左边的一个圆",
                "the digit seven",
                "7",
                "手寫的七",
                "rightwards hand",
                "ten o’clock",
                "eleven-thirty",
                "十点",
            ],
        ),
        (
            data.Augmentation(shift=0.3),
            "a red coat",
            ["a circle in the center", "a circle in the centre", "a star above a ring", "右上角的星", "頂部的星"],
        ),
        (data.Augmentation(zoom=0.3), "a red coat", ["a large circle", "一个大红圆"]),
        (data.Augmentation(rotation=20), "a red coat", []),
    ],
)
def test_augmentation_is_off_where_it_would_change_the_captions_truth(augmentation, harmless, telling):
    image = np.random.default_rng(0).uniform(-1, 1, (16, 16, 1)).astype(np.float32)

    def changed(caption):
        examples = tf.data.Dataset.from_tensor_slices({"image": [image] * 16, "caption": [caption] * 16})
        batch = next(iter(data.prepare(examples, batch_size=16, training=True, augmentation=augmentation)))
        return np.abs(batch["image"].numpy() - image).max(axis=(1, 2, 3)) > 0.02

    assert changed(harmless).any()
    for caption in telling:
        assert not changed(caption).any(), caption


def test_flip_mirrors_about_half_of_the_pictures():
    image = np.random.default_rng(0).uniform(-1, 1, (8, 8, 3)).astype(np.float32)
    examples = tf.data.Dataset.from_tensor_slices({"image": [image] * 200, "caption": ["a coat"] * 200})
    batch = next(iter(data.prepare(examples, batch_size=200, training=True, augmentation=data.Augmentation(flip=True))))
    mirrored = np.abs(batch["image"].numpy() - image[:, ::-1]).max(axis=(1, 2, 3)) < 0.01
    kept = np.abs(batch["image"].numpy() - image).max(axis=(1, 2, 3)) < 0.01
    assert (mirrored | kept).all()
    assert 60 < mirrored.sum() < 140
