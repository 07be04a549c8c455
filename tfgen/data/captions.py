"""Sentences for pictures, in English and Chinese: a grammar for rendered scenes, templates for classes and attributes.

A scene's caption states some of its attributes; `describe` returns which, so that a picture made from the caption can
be judged on what was asked and on nothing else.
"""

import itertools
import random
import re

import numpy as np

from tfgen.data import shapes

LANGUAGES = ("en", "zh")
PLACEHOLDER = "□"
"""In a caption, a placeholder for words that say nothing of the picture. A model that learns from such captions can take
unknown words for it (except one with a preset of keras-nlp, which reads any word)."""

# Each attribute value with its synonyms, the usual one first. Order follows the tuples of `tfgen.data.shapes`.
_EN = {
    "shape": (
        ("circle", "disc", "round shape"), ("square", "box"), ("triangle",), ("star", "five-pointed star"), ("ring", "hoop"),
        ("cross", "plus sign"),
    ),
    "color": (("red",), ("green",), ("blue",), ("yellow",), ("purple", "violet"), ("orange",), ("white",), ("black",)),
    "size": (("small", "little", "tiny"), ("medium", "medium-sized"), ("large", "big", "huge")),
    "place": (
        ("in the top left", "in the upper left corner"), ("at the top", "in the top half"),
        ("in the top right", "in the upper right corner"),
        ("on the left", "on the left side"), ("in the center", "in the middle"), ("on the right", "on the right side"),
        ("in the bottom left", "in the lower left corner"), ("at the bottom", "in the bottom half"),
        ("in the bottom right", "in the lower right corner"),
    ),
    "texture": (("",), ("striped",), ("dotted",)),
    # Each relation as said from the first object to the second, then from the second to the first.
    "relation": ((("above", "over"), ("below", "under")), (("left of", "to the left of"), ("right of", "to the right of"))),
    # Where a relation puts the first object and the second.
    "sides": (("at the top", "at the bottom"), ("on the left", "on the right")),
}  # fmt: skip
_ZH = {
    "shape": (
        ("圆", "圆形"), ("正方形", "方块", "方形"), ("三角形", "三角"), ("五角星", "星形", "星星"), ("圆环", "环形"),
        ("十字", "十字形", "加号"),
    ),
    "color": (
        ("红", "红色"), ("绿", "绿色"), ("蓝", "蓝色"), ("黄", "黄色"), ("紫", "紫色"), ("橙", "橙色", "橘色"), ("白", "白色"),
        ("黑", "黑色"),
    ),
    "size": (("小", "很小的"), ("中等的", "中等大小的", "中号"), ("大", "很大的")),
    "place": (
        ("左上角", "左上方"), ("上方", "顶部"), ("右上角", "右上方"),
        ("左边", "左侧"), ("中间", "中央"), ("右边", "右侧"),
        ("左下角", "左下方"), ("下方", "底部"), ("右下角", "右下方"),
    ),
    "texture": (("",), ("条纹",), ("圆点",)),
    "relation": ((("上方", "上面"), ("下方", "下面")), (("左边", "左侧"), ("右边", "右侧"))),
    "sides": (("上面", "下面"), ("左边", "右边")),
}  # fmt: skip
_WORDS = {"en": _EN, "zh": _ZH}

# {scene} is one object, or a clause of several; the templates for "unplaced" take one object without its place.
_TEMPLATES = {
    "en": {
        "background": (
            "{scene} on {article} {background} background",
            "{scene} on {background}",
            "{scene}, {background} background",
            "on {article} {background} background, {scene}",
            "a picture of {scene} on {article} {background} background",
            "{scene} against {article} {background} backdrop",
            "there is {scene} on {article} {background} background",
        ),
        "no background": ("{scene}", "a picture of {scene}", "there is {scene}"),
    },
    "zh": {
        "background": (
            "{background}背景上，{scene}",
            "{scene}，{background}背景",
            "{background}背景，{scene}",
            "在{background}的背景上，{scene}",
            "{scene}，背景是{background}的",
        ),
        "unplaced, background": ("{background}背景上的{scene}", "{background}背景上有{scene}", "{background}背景上画着{scene}"),
        "no background": ("{scene}", "画{scene}", "一张图：{scene}"),
    },
}

# Of other sentences, which `describe` never says: {scene} is one object with its place or without, or two with their relation.
_OTHER_TEMPLATES = {
    "en": {
        "background": (
            "{scene}; the background is {background}",
            "{article} {background} background with {scene}",
            "draw {scene}, make the background {background}",
            "{scene} with {article} {background} wall behind",
        ),
        "no background": ("please draw {scene}", "we see {scene}", "{scene}, nothing else"),
        "placed": ("{phrase} that is {word}", "{phrase} placed {word}"),
        "related": ("{first} that is {word} {second}", "{first} just {word} {second}"),
    },
    "zh": {
        "background": (
            "请画{scene}，用{background}做背景",
            "图里有{scene}，背景为{background}",
            "以{background}为背景，{scene}",
            "{scene}，后面的墙是{background}",
        ),
        "no background": ("请画{scene}", "可以看到{scene}", "{scene}，没有别的"),
        "placed": ("{phrase}位于{word}", "{word}的{phrase}"),
        "related": ("{first}位于{second}的{word}", "{first}处在{second}{word}"),
    },
}  # fmt: skip


def describe(scenes, language, seed, terse=0.0):
    """Say what a scene shows, in a phrasing drawn at random.

    Size and background are left out of one caption in eight each, a single object's place of one in two; two objects
    are told by their relation ("above", or one at the top and one at the bottom) and three by their places.

    Args:
        scenes: `tfgen.data.shapes.Scenes`.
        language: "en", "zh" or "both" (drawn per scene).
        seed: int or sequence of ints.
        terse: fraction of the captions that leave out each color, size and background as often as not, as people who type
            "a star" do. The others state every color of an object.

    Returns:
        A list of N captions, and the attributes they state: int32 [N, len(shapes.ATTRIBUTES)], -1 where one is not stated.
    """
    if language not in (*LANGUAGES, "both"):
        raise ValueError(f"unknown language {language!r}; choose from en, zh, both")
    rng = np.random.default_rng(seed)
    stated = scenes.attributes()
    # Sixty numbers in [0, 1) decide all choices of one caption: drawing them at once is much faster than one by one.
    draws = rng.random((len(scenes), 60)).tolist()
    is_terse = rng.random((len(scenes), 1)) < terse
    leaves_out = is_terse & (rng.random((len(scenes), len(_OFTEN_OPEN))) < 0.5)
    stated[:, _OFTEN_OPEN] = np.where(leaves_out, -1, stated[:, _OFTEN_OPEN])
    captions, rows = [], stated.tolist()
    for row, numbers in zip(rows, draws, strict=True):
        draw = iter(numbers).__next__
        chosen = language if language != "both" else LANGUAGES[draw() < 0.5]
        captions.append(_describe_one(row, chosen, draw))  # sets to -1 what it leaves out
    return captions, np.array(rows, np.int32).reshape(stated.shape)


def describe_in_pairs(scenes, seed):
    """Say the same of each scene in English and in Chinese, in sentences that `describe` never forms of its words.

    As there, size and background are left out of one caption in eight each, a single object's place of one in two.

    Args:
        scenes: `tfgen.data.shapes.Scenes` of one object or two.
        seed: int or sequence of ints.

    Returns:
        N captions in English, N in Chinese, and the attributes they state, as of `describe`.
    """
    rng = np.random.default_rng(seed)
    stated = scenes.attributes()
    for name, part in (("background", 1 / 8), ("size_1", 1 / 8), ("size_2", 1 / 8), ("place_1", 1 / 2)):
        stated[rng.random(len(scenes)) < part, _COLUMN[name]] = -1
    two = stated[:, _COLUMN["num_objects"]] == 2
    for name in ("place_1", "place_2"):
        stated[two, _COLUMN[name]] = -1
    texts = ([_say_otherwise(row, language, rng.random) for row in stated.tolist()] for language in LANGUAGES)
    return *texts, stated


# Words that are left out in haste, others that are strewn in, and what stands before "background" but may as well follow it.
_LEFT_OUT = re.compile(
    r"\b(?:an?|the|on|of|in|at|to|is|and|there|picture|background|backdrop|against)\b ?|,|$| (?!shape|sign)|"
    r"背景上|背景|一张图：|画着|画|一个|的|在|有|是|，"
)
_STRAYS = {"en": ("the ", "is ", "a ", "there ", "picture "), "zh": ("的", "是", "有", "面", "图", "张", "一", "个")}
_BEFORE_BACKGROUND = (
    (re.compile(r"\b(\w+) (background|backdrop)\b"), r"\2 \1"),
    (re.compile(r"(\w色)的?(背景)上?"), r"\2\1"),
)


def loosen(texts, part, seed):
    """Say some of the captions of scenes loosely, so that a model learns to read what they say, not their form.

    In those, each word that says nothing of what is where is dropped with probability 1/2, "background" too, and half of the
    dropped ones leave `PLACEHOLDER` in their place; where "background" stays, the colour may follow it. `PLACEHOLDER` and other
    words that say nothing are strewn in, as remain of a sentence of which the rest is not known.

    Args:
        texts: captions of `describe`.
        part: fraction of them, 0 to 1.
        seed: int or sequence of ints.

    Returns:
        A list of as many captions, that state the same.
    """
    draw = random.Random(int(np.random.default_rng(seed).integers(2**62))).random

    def loosened(text):
        strays = _STRAYS["en" if text.isascii() else "zh"]
        if draw() < 1 / 2:
            for pattern, turned in _BEFORE_BACKGROUND:
                text = pattern.sub(turned, text)

        def otherwise(found):
            if found[0] == " ":  # between two English words that say something
                return f" {PLACEHOLDER} " if draw() < 1 / 12 else " "
            kept = found[0] if draw() < 1 / 2 else _pick_evenly(("", f" {PLACEHOLDER} "), draw)
            if draw() >= 1 / 6:
                return kept
            strewn = "".join(_pick((f"{PLACEHOLDER} ", *strays), draw) for _ in range(1 + int(3 * draw())))
            return f" {strewn}{kept}" if draw() < 1 / 2 else f"{kept} {strewn}"

        return " ".join(_LEFT_OUT.sub(otherwise, text).split())

    return [loosened(text) if draw() < part else text for text in texts]


def _say_otherwise(row, language, draw):
    words, templates = _WORDS[language], _OTHER_TEMPLATES[language]
    num_objects, background, relation = row[:3]
    first, *second = (_phrase(row, index, language, draw, size_unsaid=0) for index in range(1, num_objects + 1))
    place = row[_COLUMN["place_1"]]
    if second:
        word = _pick(words["relation"][relation][0], draw)
        scene = _pick_evenly(templates["related"], draw).format(first=first, word=word, second=second[0])
    elif place >= 0:
        scene = _pick_evenly(templates["placed"], draw).format(phrase=first, word=_pick(words["place"][place], draw))
    else:
        scene = first
    return _framed(scene, templates["background" if background >= 0 else "no background"], background, language, draw)


_COLUMN = {name: index for index, name in enumerate(shapes.ATTRIBUTES)}
_OFTEN_OPEN = [index for name, index in _COLUMN.items() if name.startswith(("background", "color", "size"))]


def _describe_one(row, language, draw):
    words, templates = _WORDS[language], _TEMPLATES[language]
    num_objects, background, relation = row[:3]
    phrases = [_phrase(row, index, language, draw) for index in range(1, num_objects + 1)]
    places = [_COLUMN[f"place_{index}"] for index in range(1, num_objects + 1)]
    kind = "background"
    if num_objects == 2:
        for place in places:
            row[place] = -1
        turned = draw() < 0.5
        first, second = phrases[::-1] if turned else phrases
        if draw() < 0.5:
            # "A above B" and "B below A" are equally frequent, so no one word of them tells where A is; here a word does.
            here, there = words["sides"][relation][::-1] if turned else words["sides"][relation]
            scene = f"{first} {here} and {second} {there}" if language == "en" else f"{here}是{first}，{there}是{second}"
        else:
            word = _pick(words["relation"][relation][turned], draw)
            scene = f"{first} {word} {second}" if language == "en" else f"{first}在{second}{'的' if draw() < 0.5 else ''}{word}"
    elif num_objects == 3:
        scene = _join(
            [_placed(phrase, row[place], language, draw) for phrase, place in zip(phrases, places, strict=True)], language
        )
    elif draw() < 0.5:
        scene = _placed(phrases[0], row[places[0]], language, draw)
    else:
        row[places[0]] = -1
        scene = phrases[0]
        if language == "zh" and draw() < 0.6:
            kind = "unplaced, background"
    if draw() < 0.125 or background < 0:
        row[_COLUMN["background"]] = -1
        background, kind = -1, "no background"
    return _framed(scene, templates[kind], background, language, draw)


def _framed(scene, templates, background, language, draw):
    """A scene in one of the templates, with the colour of its background where that is stated."""
    if background < 0:
        return _pick_evenly(templates, draw).format(scene=scene)
    colors = _WORDS[language]["color"][background]
    color = colors[1] if language == "zh" else _pick(colors, draw)
    article = "an" if color == "orange" else "a"
    return _pick_evenly(templates, draw).format(scene=scene, background=color, article=article)


def _phrase(row, index, language, draw, size_unsaid=0.125):
    """One object: "a large red circle", "一个大红圆"; its size is left out with the given probability."""
    shape, color, size, texture = (row[_COLUMN[f"{name}_{index}"]] for name in ("shape", "color", "size", "texture"))
    words = _WORDS[language]
    parts = [
        _pick(words[name][value], draw) if value >= 0 else ""
        for name, value in (("size", size), ("texture", texture), ("color", color), ("shape", shape))
    ]
    if draw() < size_unsaid:
        row[_COLUMN[f"size_{index}"]] = -1
        parts[0] = ""
    if language == "en":
        phrase = " ".join(part for part in parts if part)
        return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
    size_word, texture_word, color_word, shape_word = parts
    if color_word.endswith("色") and draw() < 0.5:
        color_word += "的"
    if size_word and draw() < 0.25 and color_word.endswith("的"):
        return f"一个{color_word}{size_word}{texture_word}{shape_word}"  # 一个红色的大圆
    return f"一个{size_word}{color_word}{texture_word}{shape_word}"


def _placed(phrase, place, language, draw):
    word = _pick(_WORDS[language]["place"][place], draw)
    if language == "en":
        return f"{phrase} {word}"
    return f"{phrase}在{word}" if draw() < 0.5 else f"{word}有{phrase}"


def _join(parts, language):
    if language == "en":
        return ", ".join(parts[:-1]) + " and " + parts[-1]
    return "，".join(parts)


def _pick(synonyms, draw):
    """The usual word in three cases of five, otherwise any synonym."""
    return synonyms[0] if draw() < 0.6 else _pick_evenly(synonyms, draw)


def _pick_evenly(choices, draw):
    return choices[int(draw() * len(choices))]


# TFDS class names say it in the maker's shorthand ("T - shirt / top"); these are the words of a caption.
_CLASS_NAMES = {
    "fashion_mnist": {
        "en": ("t-shirt", "pair of trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        "zh": ("T恤", "裤子", "套头衫", "连衣裙", "外套", "凉鞋", "衬衫", "运动鞋", "包", "短靴"),
    },
    "mnist": {
        "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        "zh": ("零", "一", "二", "三", "四", "五", "六", "七", "八", "九"),
    },
    "cifar10": {
        "en": ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "zh": ("飞机", "汽车", "鸟", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车"),
    },
}
_CLASS_TEMPLATES = {
    "en": ("{article} {name}", "a picture of {article} {name}", "{name}", "an image of {article} {name}"),
    "zh": ("{name}", "一张{name}的图片", "一幅{name}的图", "画{name}"),
}
_DIGIT_TEMPLATES = {
    "en": ("the digit {name}", "{name}", "a handwritten {name}", "a picture of the digit {digit}", "{digit}"),
    "zh": ("数字{name}", "手写的{name}", "一张数字{digit}的图片", "{digit}"),
}


def class_captions(dataset_name, class_names, language):
    """All captions of each class of a labelled data set.

    Args:
        dataset_name: a TFDS name; MNIST, Fashion-MNIST and CIFAR-10 have captions in Chinese and English.
        class_names: the data set's own class names, used for every other data set (then "zh" frames an English name).
        language: "en" or "zh".

    Returns:
        A list of tuples of captions, one tuple a class.
    """
    names = _CLASS_NAMES.get(dataset_name, {}).get(language) or [name.replace("_", " ").lower() for name in class_names]
    templates = (_DIGIT_TEMPLATES if dataset_name == "mnist" else _CLASS_TEMPLATES)[language]
    return [
        tuple(t.format(name=name, digit=index, article="an" if name[0] in "aeiou" else "a") for t in templates)
        for index, name in enumerate(names)
    ]  # fmt: skip


ATTRIBUTE_FRAMES = {"en": ("a picture", ": ", ", "), "zh": ("一张图片", "：", "，")}
"""The caption of a picture with yes/no attributes begins so; some of those that hold follow: "a picture: smiling, young"."""
_ATTRIBUTE_NAMES = {
    "celeb_a": {
        "zh": {
            "5_o_Clock_Shadow": "胡茬", "Arched_Eyebrows": "弯眉毛", "Attractive": "有魅力", "Bags_Under_Eyes": "有眼袋",
            "Bald": "秃头", "Bangs": "刘海", "Big_Lips": "厚嘴唇", "Big_Nose": "大鼻子", "Black_Hair": "黑发",
            "Blond_Hair": "金发", "Blurry": "模糊", "Brown_Hair": "棕发", "Bushy_Eyebrows": "浓眉毛", "Chubby": "微胖",
            "Double_Chin": "双下巴", "Eyeglasses": "戴眼镜", "Goatee": "山羊胡", "Gray_Hair": "灰发", "Heavy_Makeup": "浓妆",
            "High_Cheekbones": "高颧骨", "Male": "男性", "Mouth_Slightly_Open": "嘴微张", "Mustache": "八字胡",
            "Narrow_Eyes": "眯眯眼", "No_Beard": "没有胡子", "Oval_Face": "鹅蛋脸", "Pale_Skin": "皮肤白皙",
            "Pointy_Nose": "尖鼻子", "Receding_Hairline": "发际线高", "Rosy_Cheeks": "脸颊红润", "Sideburns": "鬓角",
            "Smiling": "微笑", "Straight_Hair": "直发", "Wavy_Hair": "卷发", "Wearing_Earrings": "戴耳环",
            "Wearing_Hat": "戴帽子", "Wearing_Lipstick": "涂口红", "Wearing_Necklace": "戴项链", "Wearing_Necktie": "打领带",
            "Young": "年轻",
        },
    },
}  # fmt: skip


def attribute_words(dataset_name, names, language):
    """The words of a data set's yes/no attributes; those of CelebA are known in Chinese, others stay English."""
    known = _ATTRIBUTE_NAMES.get(dataset_name, {}).get(language, {})
    return [known.get(name, name.replace("_", " ").lower()) for name in names]


def vocabulary_corpus(seed=0, language="both", num_objects=(1, 2, 3), textures=shapes.TEXTURES, loosened=0.0):
    """Captions that hold every word that the grammar has for such scenes, for building a tokenizer's vocabulary. Arguments as
    of `tfgen.data.load`."""
    corpus, languages = [], LANGUAGES if language == "both" else (language,)
    for split_seed, language in itertools.product(range(4), languages):
        scenes = shapes.sample_scenes(1000, [seed, split_seed], num_objects=num_objects, textures=textures)
        corpus += describe(scenes, language, [seed, split_seed])[0]
    return loosen(corpus, loosened, seed)
