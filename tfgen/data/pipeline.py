"""From captioned examples to batches of numbers."""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Augmentation:
    """What may change at random from one epoch to the next.

    A picture is changed only where its caption stays true: no flip where the caption says left or right or names a
    digit, no shift where it names a place, no zoom where it names a size. Keep the rotation small: it is for every picture.

    Attributes:
        flip: mirror left to right in half of the pictures.
        rotation: at most this many degrees either way.
        zoom: scale by at most this fraction either way, 0.1 for 0.9 to 1.1.
        shift: move by at most this fraction of the width and height.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0

    def __post_init__(self):
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip is {self.flip!r}; give true or false")
        for name, most in (("rotation", 180), ("zoom", 0.9), ("shift", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= most:
                raise ValueError(f"{name} is {value!r}; give a number from 0 to {most}")


# RE2 patterns over lower-case captions.
_SIDES = r"left|right|upper|lower|top|bottom|above|below|over|under|at the|center|centre|middle|corner|half"
_SAYS_SIDE_OR_DIGIT = (
    r"(?s).*(\b((left|right)(wards?|most)?|clockwise|counterclockwise|digit|handwritten|number|letter|o['’]clock|"
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[0-9]+)\b|"
    r"左|右|数字|數字|手写|手寫|时针|時針|[零〇一二三四五六七八九十两兩][点點]).*"
)
_SAYS_PLACE = rf"(?s).*(\b({_SIDES})\b|[左右上下中顶頂底]).*"
_SAYS_SIZE = r"(?s).*(\b(small|little|tiny|medium|medium-sized|large|big|huge)\b|[大小中]).*"


def resize(image, image_size):
    """The largest central square of an image [H, W, C], resized with antialiasing to [image_size, image_size, C]."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    resized = tf.image.resize(square, [image_size, image_size], method="bicubic", antialias=True)
    return tf.clip_by_value(resized, -1.0, 1.0)


def prepare(
    dataset, tokenizer=None, batch_size=32, *, image_size=None, training=False, augmentation=None, seed=0, start_step=0,
    text_features=None,
):  # fmt: skip
    """Batches of numbers from captioned examples.

    For training the batches never end, every one is full and a set smaller than a batch is repeated; their order and
    augmentation are a function of `seed` alone, so `start_step` goes on where an interrupted run stopped. Images are
    held in memory as 8-bit numbers. For evaluation every example comes once, in order.

    Args:
        dataset: unbatched examples as `tfgen.data.load` gives them; for training, of a known cardinality.
        tokenizer: a callable from captions [B] to token ids [B, T], 0 being padding; without one, captions are dropped.
        batch_size: examples in a batch.
        image_size: resize to this width and height; None keeps the size.
        training: see above.
        augmentation: `Augmentation`, applied in training only.
        seed: int.
        start_step: number of batches to leave out at the start.
        text_features: for training, a callable from token ids [B, T] and their mask to features [B, T, F]. It is asked once for
            each caption, and its answers are held in memory, in 16 bits.

    Returns:
        A `tf.data.Dataset` of dicts: `image` float32 [B, H, W, C] in [-1, 1]; with a tokenizer `token_ids` int32 [B, T]
        and `padding_mask` bool [B, T]; with `text_features` those, float32 [B, T, F]; whatever else the examples carry, `label`
        or `attributes`, as it is.

    Raises:
        ValueError: for training, a dataset of unknown cardinality, or an empty one.
    """

    def to_bytes(example):
        image = resize(example["image"], image_size) if image_size else example["image"]
        return {**example, "image": tf.cast(tf.round((image + 1) * 127.5), tf.uint8)}

    def to_numbers(step, batch):
        captions = batch.pop("caption")
        batch["image"] = tf.cast(batch["image"], tf.float32) / 127.5 - 1
        if training and augmentation:
            batch["image"] = _augment(batch["image"], captions, augmentation, tf.stack([seed, step]))
        if tokenizer is not None:
            batch["token_ids"] = tokenizer(captions)
            batch["padding_mask"] = batch["token_ids"] != 0
        if "text_features" in batch:
            batch["text_features"] = tf.cast(batch["text_features"], tf.float32)
        return batch

    def with_features(block):
        token_ids = tokenizer(block["caption"])
        return {**block, "text_features": tf.cast(text_features(token_ids, token_ids != 0), tf.float16)}

    examples = dataset.map(to_bytes, num_parallel_calls=2)
    if training:
        num_examples = int(dataset.cardinality())
        if num_examples < 1:
            raise ValueError(
                "the number of examples is unknown, or there are none; after .filter() say how many are left by "
                ".apply(tf.data.experimental.assert_cardinality(number))"
            )
        # Blocks of examples take half the memory of as many alone.
        blocks = examples.batch(256)
        if text_features is not None:
            blocks = blocks.map(with_features)
        cached, buffer_size = blocks.cache().unbatch(), min(num_examples, 50_000)

        def shuffled(epoch):
            # A global seed (keras.utils.set_random_seed) would be mixed in, and fails on a seed that is a tensor.
            tf.compat.v1.get_default_graph().seed = None
            return cached.shuffle(buffer_size, seed=seed * 1_000_003 + epoch, reshuffle_each_iteration=False)

        first_epoch, skipped = divmod(start_step * batch_size, num_examples)
        # All epochs share the cache: `shuffled` captures the dataset, it does not make it again.
        examples = tf.data.Dataset.range(first_epoch, 2**40).flat_map(shuffled).skip(skipped)
    batches = examples.batch(batch_size, drop_remainder=training)
    batches = batches.enumerate(start_step).map(to_numbers, num_parallel_calls=2)
    # With autotuning, `fit` ran all training steps of an epoch on one of two cores, at random from epoch to epoch.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(4).with_options(options)


def _augment(images, captions, augmentation, seed):
    """Flip, rotate, zoom and shift each picture of a batch by one affine map; what lies outside repeats the edge."""
    captions = tf.strings.lower(captions, encoding="utf-8")
    size = tf.shape(images)[0]
    uniform = tf.random.stateless_uniform([5, size], seed, minval=-1.0, maxval=1.0)
    keeps = {
        name: tf.cast(~tf.strings.regex_full_match(captions, pattern), tf.float32)
        for name, pattern in (("flip", _SAYS_SIDE_OR_DIGIT), ("zoom", _SAYS_SIZE), ("shift", _SAYS_PLACE))
    }
    mirror = 1 - 2 * tf.cast(uniform[0] < 0, tf.float32) * keeps["flip"] * float(augmentation.flip)
    angle = uniform[1] * augmentation.rotation * (3.14159265 / 180)
    scale = 1 / (1 + uniform[2] * augmentation.zoom * keeps["zoom"])
    height, width = tf.cast(tf.shape(images)[1], tf.float32), tf.cast(tf.shape(images)[2], tf.float32)
    shift_x, shift_y = uniform[3] * augmentation.shift * width, uniform[4] * augmentation.shift * height
    # Output (x, y) to input (x, y), about the picture's center.
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b, d, e = mirror * cos, -mirror * sin, sin, cos
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    c = center_x - a * center_x - b * center_y + shift_x * keeps["shift"]
    f = center_y - d * center_x - e * center_y + shift_y * keeps["shift"]
    zeros = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=tf.stack([a, b, c, d, e, f, zeros, zeros], axis=-1), output_shape=tf.shape(images)[1:3],
        fill_value=0.0, interpolation="BILINEAR", fill_mode="NEAREST",
    )  # fmt: skip
