"""Rendered scenes: one to three coloured shapes on a coloured background, drawn from a seed.

A scene is a row of numbers (`Scenes`); `render` turns rows into pictures by signed distance functions, and
`tfgen.data.captions` turns them into sentences. Nothing is downloaded, every attribute of every picture is known, and
some attribute combinations never occur in training, so that composition can be tested.
"""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SIZES = ("small", "medium", "large")
TEXTURES = ("solid", "striped", "dotted")
# Row by row, so that a place's index is 3 * row + column.
PLACES = (
    "top left", "top", "top right",
    "left", "center", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
# The first object is the upper one, or the left one: with that order two relations say what four words say.
RELATIONS = ("above", "left of")
MAX_OBJECTS = 3

RGB = np.array(
    [
        [0.88, 0.15, 0.15],
        [0.12, 0.62, 0.22],
        [0.13, 0.33, 0.88],
        [0.98, 0.86, 0.14],
        [0.54, 0.18, 0.68],
        [0.98, 0.54, 0.10],
        [1.00, 1.00, 1.00],
        [0.04, 0.04, 0.04],
    ],
    np.float32,
)

ATTRIBUTES = (
    "num_objects",
    "background",
    "relation",
    *(f"{kind}_{index}" for index in range(1, MAX_OBJECTS + 1) for kind in ("shape", "color", "size", "place", "texture")),
)
"""Names of the columns of `Scenes.attributes()`; an attribute that does not apply is -1."""

UNSEEN_PAIRS = tuple(
    (SHAPES.index(shape), COLORS.index(color))
    for shape, color in (
        ("star", "red"),
        ("ring", "green"),
        ("triangle", "blue"),
        ("circle", "yellow"),
        ("cross", "purple"),
        ("square", "orange"),
        ("triangle", "white"),
        ("star", "black"),
    )
)
"""(shape, color) pairs that no training or test scene shows; each scene of the split "unseen" shows at least one."""

_UNSEEN = np.zeros((len(SHAPES), len(COLORS)), bool)
_UNSEEN[tuple(np.transpose(UNSEEN_PAIRS))] = True

_LATTICE = 4096  # x positions of the first object lie on this lattice; every eighth is kept for testing
_MARGIN = 0.03  # least gap between two objects, as a fraction of the picture's width

# split -> (number in the seed, lattice rows kept for testing?, pairs: seen, unseen or both)
# "judge" is what a judge of attributes trains on: every combination, but no position of a test scene.
_SPLITS = {"train": (0, False, "seen"), "test": (1, True, "seen"), "unseen": (2, True, "unseen"), "judge": (3, False, "any")}


@dataclass
class Scenes:
    """N scenes as columns of numbers. Positions and radii are fractions of the picture's width, y downwards.

    `num_objects`, `background`, `relation`: int32 [N]. All others [N, MAX_OBJECTS], of which the first `num_objects`
    count. Objects are in reading order: the upper first, or the left one, or row by row for three.
    """

    num_objects: np.ndarray
    background: np.ndarray
    relation: np.ndarray
    shape: np.ndarray
    color: np.ndarray
    size: np.ndarray
    place: np.ndarray
    texture: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray

    def __len__(self):
        return len(self.background)

    def attributes(self):
        """The true attributes, int32 [N, len(ATTRIBUTES)], -1 where one does not apply."""
        present = np.arange(MAX_OBJECTS) < self.num_objects[:, None]
        per_object = np.stack([self.shape, self.color, self.size, self.place, self.texture], axis=-1)
        per_object = np.where(present[:, :, None], per_object, -1)
        head = np.stack([self.num_objects, self.background, self.relation], axis=-1)
        return np.concatenate([head, per_object.reshape(len(self), -1)], axis=-1).astype(np.int32)


def radii(image_size):
    """Radius of each of SIZES as a fraction of the width; a small object keeps 2.6 pixels, so that its shape can be seen."""
    return np.linspace(max(0.12, 2.6 / image_size), 0.22, len(SIZES), dtype=np.float32)


def sample_scenes(num_scenes, seed, split="train", image_size=32, num_objects=(1, 2), textures=("solid",)):
    """Draw scenes.

    Args:
        num_scenes: how many.
        seed: int or sequence of ints; the same seed gives the same scenes.
        split: "train", "test" or "unseen", disjoint by construction: the first object's x never coincides between
            training and testing, and the pairs of UNSEEN_PAIRS occur in "unseen" alone, each scene having one as its first
            object, the only, upper or left one. Or "judge": any pair, but no position of a test scene.
        image_size: bounds the smallest object.
        num_objects: the numbers of objects to draw from, of 1, 2, 3.
        textures: the textures to draw from, of TEXTURES.

    Returns:
        `Scenes`.
    """
    _check_options(split, num_objects, textures)
    split_number, for_testing, pairs = _SPLITS[split]
    rng = np.random.default_rng([*np.atleast_1d(seed), split_number])
    n = num_scenes
    count = rng.choice(np.asarray(num_objects, np.int32), n)
    background = rng.integers(0, len(COLORS), n)

    shape, color = _sample_pairs(rng, n, background, pairs)
    size = rng.integers(0, len(SIZES), (n, MAX_OBJECTS))
    texture = rng.choice([TEXTURES.index(t) for t in textures], (n, MAX_OBJECTS))
    radius = radii(image_size)[size] * rng.uniform(0.97, 1.03, (n, MAX_OBJECTS))
    reach = 1.05 * radius  # the farthest that a shape extends along an axis

    place = rng.integers(0, len(PLACES), (n, MAX_OBJECTS))
    x, y = _one_object(rng, place, reach)
    relation = np.where(count == 2, rng.integers(0, len(RELATIONS), n), -1)
    two_x, two_y = _two_objects(rng, relation, reach)
    three_place, three_x, three_y = _three_objects(rng, reach)
    two, three = (count == 2)[:, None], (count == 3)[:, None]
    x, y = np.where(two, two_x, np.where(three, three_x, x)), np.where(two, two_y, np.where(three, three_y, y))
    place = np.where(two, _place_of(two_x, two_y), np.where(three, three_place, place))

    # To the lattice: rows 0 mod 8 test, the others train. The move is at most 8 / 4096 of the width.
    cell = np.floor(x[:, 0] * _LATTICE / 8) * 8
    x[:, 0] = (cell + (0 if for_testing else rng.integers(1, 8, n))) / _LATTICE
    numbers = {"num_objects": count, "background": background, "relation": relation}
    per_object = {"shape": shape, "color": color, "size": size, "place": place, "texture": texture}
    geometry = {"x": x, "y": y, "radius": radius}
    return Scenes(
        **{name: values.astype(np.int32) for name, values in {**numbers, **per_object}.items()},
        **{name: values.astype(np.float32) for name, values in geometry.items()},
    )


def _check_options(split, num_objects, textures):
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r} of shapes; choose from train, test, unseen")
    if not isinstance(num_objects, tuple | list) or not num_objects or not set(num_objects) <= {1, 2, 3}:
        raise ValueError(f"num_objects is {num_objects!r}; give numbers from 1 to {MAX_OBJECTS}, such as (1, 2)")
    if not set(textures) <= set(TEXTURES) or not textures:
        raise ValueError(f"unknown textures {textures!r}; choose from {', '.join(TEXTURES)}")


def _sample_pairs(rng, n, background, pairs):
    """Shapes and colors [n, MAX_OBJECTS], no color the background's, no two objects of a scene the same pair."""
    keys = rng.random((n, len(SHAPES), len(COLORS)))  # the pairs with the smallest keys are drawn, so none comes twice
    keys[np.arange(n), :, background] = 2
    if pairs == "seen":
        keys[:, _UNSEEN] = 2
    keys = keys.reshape(n, -1)
    if pairs == "unseen":
        first = np.argmin(np.where(_UNSEEN.ravel(), keys, 2), axis=1)
        keys[np.arange(n), first] = -1
    order = np.argsort(keys, axis=1)[:, :MAX_OBJECTS]
    return order // len(COLORS), order % len(COLORS)


def _one_object(rng, place, reach):
    """Positions within the thirds that a place names, with gaps between the thirds so that a place can be told."""
    low, high = np.stack([reach, 0.44 + 0 * reach, 0.62 + 0 * reach]), np.stack([0.38 + 0 * reach, 0.56 + 0 * reach, 1 - reach])

    def position(third):
        a, b = np.choose(third, low), np.choose(third, high)
        return a + (b - a) * rng.random(third.shape)

    return position(place % 3), position(place // 3)


def _two_objects(rng, relation, reach):
    """Apart along one axis by at least their reach, and at most half as far along the other."""
    first, second = reach[:, 0], reach[:, 1]
    slack = 1 - 2 * (first + second) - _MARGIN
    before, between = np.sort(rng.random((2, len(slack))), axis=0)
    along_1 = first + slack * before
    along_2 = along_1 + first + second + _MARGIN + slack * (between - before)
    across_1 = first + (1 - 2 * first) * rng.random(len(slack))
    across_2 = np.clip(across_1 + (along_2 - along_1) * rng.uniform(-0.5, 0.5, len(slack)), second, 1 - second)
    along, across = np.stack([along_1, along_2, along_2], -1), np.stack([across_1, across_2, across_2], -1)
    vertical = (relation == RELATIONS.index("above"))[:, None]
    return np.where(vertical, across, along), np.where(vertical, along, across)


def _three_objects(rng, reach):
    """Each in a quarter of its own, row by row."""
    quarters = np.sort(np.argsort(rng.random((len(reach), 4)), axis=1)[:, :MAX_OBJECTS], axis=1)
    slack = 0.5 - 2 * reach
    x = reach + slack * rng.random(reach.shape) + 0.5 * (quarters % 2)
    y = reach + slack * rng.random(reach.shape) + 0.5 * (quarters // 2)
    return np.array([0, 2, 6, 8])[quarters], x, y


def _place_of(x, y):
    return 3 * np.digitize(y, [0.41, 0.59]) + np.digitize(x, [0.41, 0.59])


def render(scenes, image_size=32):
    """Draw scenes, antialiased over one pixel.

    Args:
        scenes: `Scenes`, or its columns as a dict of tensors (so that a `tf.data` pipeline can draw in its graph).
        image_size: width and height.

    Returns:
        float32 tensor [N, image_size, image_size, 3] in [-1, 1].
    """
    columns = scenes if isinstance(scenes, dict) else vars(scenes)
    column = {name: tf.convert_to_tensor(values) for name, values in columns.items()}
    num_scenes = tf.shape(column["background"])[0]
    centers = (tf.range(image_size, dtype=tf.float32) + 0.5) / image_size
    paper = tf.gather(RGB, column["background"])[:, None, None]
    images = tf.tile(paper, [1, image_size, image_size, 1])
    for slot in range(column["shape"].shape[1]):
        # Each distance function sees only the objects of its shape; the last part takes the scenes without this object.
        shape = tf.where(slot < column["num_objects"], column["shape"][:, slot], len(SHAPES))
        parts = tf.dynamic_partition(tf.range(num_scenes), shape, len(SHAPES) + 1)
        coverages = [tf.zeros([tf.size(parts[-1]), image_size, image_size])]
        for rows, distance in zip(parts, _DISTANCES, strict=False):
            x, y, radius = (tf.gather(column[name][:, slot], rows)[:, None, None] for name in ("x", "y", "radius"))
            signed_distance = distance((centers[None, None, :] - x) / radius, (centers[None, :, None] - y) / radius)
            coverages.append(tf.clip_by_value(0.5 - signed_distance * (radius * image_size), 0, 1))
        coverage = tf.dynamic_stitch([parts[-1], *parts[:-1]], coverages)[..., None]
        ink = tf.gather(RGB, column["color"][:, slot])[:, None, None]
        ink += _texture(column["texture"][:, slot], centers) * (paper - ink)
        images += coverage * (ink - images)
    return images * 2 - 1


def _texture(texture, centers):
    """How much of the background shows through a textured object: 0 or 0.6, [N, H, W, 1]."""
    x, y = centers[None, :] * 12, centers[:, None] * 12
    solid = tf.zeros_like(x + y)
    stripes = tf.cast((x + y) % 2 < 1, tf.float32)
    dots = tf.cast((x % 2 - 1) ** 2 + (y % 2 - 1) ** 2 < 0.5, tf.float32)
    return 0.6 * tf.gather(tf.stack([solid, stripes, dots]), texture)[..., None]


# Signed distances to shapes of radius 1, negative inside; x and y broadcast to [n, H, W]. Near an edge they are exact,
# which is all that antialiasing asks of them. The star folds the plane onto one of its ten mirror sectors, as in
# I. Quilez, "2D distance functions" (https://iquilezles.org/articles/distfunctions2d/).
def _circle(x, y):
    return tf.sqrt(x * x + y * y) - 0.95


def _square(x, y):
    return tf.maximum(tf.abs(x), tf.abs(y)) - 0.85


def _triangle(x, y):
    right, up = 1.8 / np.hypot(1.8, 1.0), 1.0 / np.hypot(1.8, 1.0)  # from the apex (0, -1) to the corners (+-1, 0.8)
    return tf.maximum(tf.abs(x) * right - (y + 1) * up, y - 0.8)


def _star(x, y):
    x, y = tf.abs(x), -y
    cos, sin = np.cos(np.pi / 5), np.sin(np.pi / 5)
    for mirror in (cos, -cos):
        beyond = 2 * tf.maximum(x * mirror - y * sin, 0)
        x, y = x - beyond * mirror, y + beyond * sin
    # The edge from the tip (0, 1.05) to the notch at 36 degrees, radius 0.48.
    edge_x, edge_y = 0.48 * sin, 0.48 * cos - 1.05
    return (-tf.abs(x) * edge_y + (y - 1.05) * edge_x) / np.hypot(edge_x, edge_y)


def _ring(x, y):
    return tf.abs(tf.sqrt(x * x + y * y) - 0.72) - 0.23


def _cross(x, y):
    x, y = tf.abs(x), tf.abs(y)
    return tf.minimum(tf.maximum(x - 0.3, y - 0.95), tf.maximum(x - 0.95, y - 0.3))


_DISTANCES = (_circle, _square, _triangle, _star, _ring, _cross)
