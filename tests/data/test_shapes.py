import numpy as np
import pytest

from tfgen import data
from tfgen.data import captions, shapes

COLUMN = {name: index for index, name in enumerate(shapes.ATTRIBUTES)}


def pairs_shown(scenes):
    """The (shape, color) pairs of all objects, as a set, and per scene whether one of them is an unseen pair."""
    present = np.arange(shapes.MAX_OBJECTS) < scenes.num_objects[:, None]
    pairs = set(zip(scenes.shape[present].tolist(), scenes.color[present].tolist(), strict=True))
    unseen = np.zeros(present.shape, bool)
    for shape, color in shapes.UNSEEN_PAIRS:
        unseen |= (scenes.shape == shape) & (scenes.color == color) & present
    return pairs, unseen.any(axis=1)


def test_a_seed_gives_its_scenes_and_no_others():
    first, again, other = (shapes.sample_scenes(50, seed, num_objects=(1, 2, 3)) for seed in (3, 3, 4))
    assert np.array_equal(shapes.render(first), shapes.render(again))
    assert captions.describe(first, "both", 3)[0] == captions.describe(again, "both", 3)[0]
    assert not np.array_equal(shapes.render(first), shapes.render(other))


def test_splits_are_disjoint_and_unseen_pairs_are_never_trained_on():
    scenes = {split: shapes.sample_scenes(4000, 0, split, num_objects=(1, 2, 3)) for split in ("train", "test", "unseen")}
    for split in ("train", "test"):
        pairs, unseen = pairs_shown(scenes[split])
        assert not unseen.any()
        assert len(pairs) == len(shapes.SHAPES) * len(shapes.COLORS) - len(shapes.UNSEEN_PAIRS)
    assert pairs_shown(scenes["unseen"])[1].all()
    positions = {split: set(scenes[split].x[:, 0].tolist()) for split in scenes}
    assert not positions["train"] & positions["test"]
    assert not positions["train"] & positions["unseen"]


def test_every_attribute_can_be_seen():
    scenes = shapes.sample_scenes(3000, 0, num_objects=(1, 2, 3))
    present = np.arange(shapes.MAX_OBJECTS) < scenes.num_objects[:, None]
    assert not (present & (scenes.color == scenes.background[:, None])).any()
    for position in (scenes.x, scenes.y):  # within the picture, but for antialiasing
        assert (position - scenes.radius)[present].min() > -0.01
        assert (position + scenes.radius)[present].max() < 1.01
    several = scenes.num_objects > 1
    apart_x = np.abs(scenes.x[:, 0] - scenes.x[:, 1]) - scenes.radius[:, 0] - scenes.radius[:, 1]
    apart_y = np.abs(scenes.y[:, 0] - scenes.y[:, 1]) - scenes.radius[:, 0] - scenes.radius[:, 1]
    assert np.maximum(apart_x, apart_y)[several].min() > 0
    two = scenes.num_objects == 2
    above, left = (scenes.relation == shapes.RELATIONS.index(name) for name in ("above", "left of"))
    assert (scenes.y[:, 0] < scenes.y[:, 1])[two & above].all()
    assert (scenes.x[:, 0] < scenes.x[:, 1])[two & left].all()


@pytest.mark.parametrize("image_size", [16, 32, 100, 128])
def test_a_rendered_object_has_its_color_where_it_is(image_size):
    scenes = shapes.sample_scenes(200, 1, image_size=image_size, num_objects=(1,))
    images = (shapes.render(scenes, image_size).numpy() + 1) / 2
    assert images.min() >= 0
    assert images.max() <= 1
    solid = scenes.shape[:, 0] != shapes.SHAPES.index("ring")
    rows, columns = (np.floor(scenes.y[:, 0] * image_size).astype(int), np.floor(scenes.x[:, 0] * image_size).astype(int))
    centers = images[np.arange(200), rows, columns]
    tolerance = 0.01 if image_size >= 32 else 0.6  # there the arm of a small cross is narrower than two pixels
    assert np.abs(centers - shapes.RGB[scenes.color[:, 0]])[solid].max() < tolerance
    ring_centers = centers[~solid]
    if image_size >= 32:
        assert np.abs(ring_centers - shapes.RGB[scenes.background[~solid]]).max() < 0.01


def test_shapes_and_sizes_differ_even_at_16_pixels():
    scenes = shapes.sample_scenes(1, 0, image_size=16, num_objects=(1,))
    pictures = []
    for shape in range(len(shapes.SHAPES)):
        for radius in shapes.radii(16):
            one = shapes.Scenes(**{name: values.copy() for name, values in vars(scenes).items()})
            one.shape[:], one.radius[:], one.x[:], one.y[:] = shape, radius, 0.5, 0.5
            pictures.append(shapes.render(one, 16).numpy().ravel())
    distances = np.sqrt(((np.array(pictures)[:, None] - np.array(pictures)) ** 2).mean(-1))
    assert distances[~np.eye(len(pictures), dtype=bool)].min() > 0.05


def test_textures_show_the_background_through():
    solid = shapes.sample_scenes(60, 2, num_objects=(1,))
    striped = shapes.Scenes(**{**vars(solid), "texture": np.ones_like(solid.texture)})
    assert (np.abs(shapes.render(solid) - shapes.render(striped)).max(axis=(1, 2, 3)) > 0.1).all()
    assert "striped" in captions.describe(striped, "en", 0)[0][0]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("num_objects", [1, 2, 3])
def test_captions_say_what_they_state(language, num_objects):
    scenes = shapes.sample_scenes(400, 5, num_objects=(num_objects,))
    texts, stated = captions.describe(scenes, language, 0)
    truth = scenes.attributes()
    assert ((stated == -1) | (stated == truth)).all()
    assert (stated[:, COLUMN["num_objects"]] == num_objects).all()
    words = captions._WORDS[language]
    for text, row in zip(texts, stated, strict=True):
        for name, column in COLUMN.items():
            kind = name.rsplit("_", 1)[0]
            if kind in ("shape", "color", "size") and row[column] >= 0:
                assert any(word in text for word in words[kind][row[column]]), (text, name)
            if name == "background" and row[column] >= 0:
                assert words["color"][row[column]][0] in text or words["color"][row[column]][-1] in text
    for attribute in ("size_1", "background"):  # left out now and then, so that a model learns to do without
        assert 0.02 < (stated[:, COLUMN[attribute]] == -1).mean() < 0.3


@pytest.mark.parametrize("language", captions.LANGUAGES)
def test_terse_captions_leave_colors_open_and_the_others_stay(language):
    scenes = shapes.sample_scenes(2000, 5, num_objects=(1, 2))
    plain, stated_by_plain = captions.describe(scenes, language, 0)
    texts, stated = captions.describe(scenes, language, 0, terse=0.25)
    truth, color = scenes.attributes(), [COLUMN["color_1"], COLUMN["color_2"]]
    assert ((stated == -1) | (stated == truth)).all()
    is_open = (stated == -1) & (truth >= 0)
    assert 0.09 < is_open[:, COLUMN["color_1"]].mean() < 0.16
    assert not ((stated_by_plain == -1) & (truth >= 0))[:, color].any()
    assert 0.75 < np.mean([left == right for left, right in zip(texts, plain, strict=True)]) < 0.85
    words = captions._WORDS[language]["color"]
    for text, row in zip(texts, stated, strict=True):
        if (row[[COLUMN["background"], *color]] == -1).all():
            assert not any(word in text for color in words for word in color), text
    assert {"en": "a star", "zh": "一个圆"}[language] in texts  # with nothing of size, color, place or background


def test_pairs_of_captions_state_the_same_in_sentences_of_their_own():
    scenes = shapes.sample_scenes(600, 5, "test", num_objects=(1, 2))
    *both, stated = captions.describe_in_pairs(scenes, 1)
    truth = scenes.attributes()
    assert ((stated == -1) | (stated == truth)).all()
    for language, texts in zip(captions.LANGUAGES, both, strict=True):
        words = captions._WORDS[language]
        for text, row in zip(texts, stated, strict=True):
            for name, column in COLUMN.items():
                kind = name.rsplit("_", 1)[0]
                if kind in ("shape", "color", "size", "place") and row[column] >= 0:
                    assert any(word in text for word in words[kind][row[column]]), (text, name)
                if name == "background" and row[column] >= 0:
                    assert words["color"][row[column]][0] in text or words["color"][row[column]][-1] in text
        usual = {text for seed in range(20) for text in captions.describe(scenes, language, seed)[0]}
        assert not usual & set(texts)
    one, two = (stated[stated[:, COLUMN["num_objects"]] == number] for number in (1, 2))
    assert (two[:, COLUMN["place_1"]] == -1).all()
    for left_out, least, most in ((one[:, COLUMN["place_1"]], 0.4, 0.6), (stated[:, COLUMN["background"]], 0.05, 0.2)):
        assert least < (left_out == -1).mean() < most


@pytest.mark.parametrize("language", captions.LANGUAGES)
def test_captions_said_loosely_state_the_same(language):
    scenes = shapes.sample_scenes(600, 5, num_objects=(1, 2))
    texts, stated = captions.describe(scenes, language, 1)
    loose = captions.loosen(texts, 0.3, 1)
    assert 0.2 < np.mean([left != right for left, right in zip(texts, loose, strict=True)]) < 0.4
    assert any("background" not in right and "背景" not in right for right in loose)
    for stray in ({"en": "there", "zh": "面"}[language], captions.PLACEHOLDER):
        assert any(stray in right and stray not in left for left, right in zip(texts, loose, strict=True))
    words = captions._WORDS[language]
    for text, row in zip(loose, stated, strict=True):
        for name, column in COLUMN.items():
            kind = name.rsplit("_", 1)[0]
            if kind in ("shape", "color", "size") and row[column] >= 0:
                assert any(word.removesuffix("的") in text for word in words[kind][row[column]]), (text, name)
    for loosened in (0.0, 1.0):
        examples = data.load("shapes", language=language, num_scenes=100, loosened=loosened).as_numpy_iterator()
        plain, _ = captions.describe(shapes.sample_scenes(100, 0, num_objects=(1, 2)), language, 0)
        same = np.mean([example["caption"].decode() == text for example, text in zip(examples, plain, strict=True)])
        assert same == 1 if not loosened else same < 0.2


def test_relation_words_follow_the_order_of_mention():
    scenes = shapes.sample_scenes(300, 6, num_objects=(2,))
    for text, row in zip(*captions.describe(scenes, "en", 0), strict=True):
        first_is_upper_or_left = any(word in text for word in ("above", "over", " left of", "top and", "left and"))
        said_first = min(
            (text.find(word), index)
            for index in (1, 2)
            for word in captions._WORDS["en"]["shape"][row[COLUMN[f"shape_{index}"]]]
            if row[COLUMN["shape_1"]] != row[COLUMN["shape_2"]] and word in text
        ) if row[COLUMN["shape_1"]] != row[COLUMN["shape_2"]] else (0, 1 if first_is_upper_or_left else 2)  # fmt: skip
        assert (said_first[1] == 1) == first_is_upper_or_left, text


def test_phrasings_and_synonyms_vary():
    scenes = shapes.Scenes(**{name: np.repeat(values[:1], 300, 0) for name, values in vars(shapes.sample_scenes(1, 0)).items()})
    assert len(set(captions.describe(scenes, "en", 0)[0])) > 50
    assert len(set(captions.describe(scenes, "zh", 0)[0])) > 50


def test_the_source_gives_the_contract():
    source = data.load("shapes", "test", 48, "zh", num_scenes=510, num_objects=(1, 2, 3), textures=shapes.TEXTURES)
    assert int(source.cardinality()) == 510
    examples = list(source.as_numpy_iterator())
    assert len(examples) == 510
    assert examples[0]["image"].shape == (48, 48, 3)
    assert examples[0]["image"].dtype == np.float32
    assert any("\u4e00" <= character <= "\u9fff" for character in examples[0]["caption"].decode())
    assert examples[0]["attributes"].shape == (len(shapes.ATTRIBUTES),)
    scenes = shapes.sample_scenes(510, 0, "test", 48, (1, 2, 3), shapes.TEXTURES)
    assert np.allclose(examples[509]["image"], shapes.render(scenes, 48)[509], atol=1e-6)
    assert int(data.load("shapes").cardinality()) == 50_000


def test_prompts_are_the_same_scenes_in_both_languages():
    english, stated_en, pictures = data.shapes_prompts(20, language="en", seed=3)
    chinese, stated_zh, same_pictures = data.shapes_prompts(20, language="zh", seed=3)
    assert english != chinese
    both = (stated_en >= 0) & (stated_zh >= 0)
    assert (stated_en[both] == stated_zh[both]).all()
    assert np.array_equal(pictures, same_pictures)
    assert pictures.shape == (20, 32, 32, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "shapes", "split": "validation"}, "choose from train, test, unseen"),
        ({"source": "shapes", "image_size": 8}, "from 16 to 128"),
        ({"source": "shapes", "language": "fr"}, "choose from en, zh, both"),
        ({"source": "shapes", "num_objects": (4,)}, "numbers from 1 to 3"),
        ({"source": "shapes", "loosened": 2.0}, "loosened is 2.0; give a fraction from 0 to 1"),
        ({"source": "shapes", "terse": -0.1}, "terse is -0.1; give a fraction from 0 to 1"),
        ({"source": "shapes", "textures": ("furry",)}, "choose from solid, striped, dotted"),
        ({"source": "mnist", "image_size": 5000}, "from 8 to 1024"),
    ],
)
def test_unusable_options_are_refused_with_the_way_out(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load(**arguments)
