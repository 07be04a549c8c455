"""Classic preprocessing, and the tokenizer of words that runs in a graph."""

import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfgen.data import captions
from tfgen.text.normalization import normalize_text
from tfgen.text.tokenizer import build_tokenizer
from tfgen.text.words import WordTokenizer, preprocess


@pytest.fixture(scope="module")
def corpus():
    return captions.vocabulary_corpus(1)[::5]


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return WordTokenizer(sorted({word for stages in preprocess(corpus) for word in stages.kept}), 24)


def hostile_strings(number):
    """Words of both languages among characters from all of Unicode, and bytes that are no text."""
    generator = random.Random(0)
    words = [
        "red",
        "Circle",
        "红色",
        "五角星",
        "大红圆",
        "紅色",
        "ＲＥＤ",
        "réd",
        "🎈",
        "❤️",
        "דג",
        "قطة",
        "\u200f",
        "\x00",
        "|",
        "的",
    ]
    strings = []
    for index in range(number):
        parts = [generator.choice(words) if generator.random() < 0.6 else chr(generator.randrange(0x20, 0x2FA20))
                 for _ in range(generator.randrange(12))]  # fmt: skip
        text = generator.choice(["", " "]).join(parts).encode("utf-8", "replace")
        strings.append(text if index % 10 else text + bytes(generator.randrange(256) for _ in range(4)))
    return strings


def test_what_says_the_same_becomes_the_same():
    assert normalize_text("ＲＥＤ Café ① ﬁsh") == "red cafe 1 fish"
    assert normalize_text("紅色的圓環 與 藍色") == "红色的圆环 与 蓝色"
    assert normalize_text("한국어") == "한국어"
    assert normalize_text("a\x00b\ufeffc\u202ed") == "a b c d"


def test_each_stage_is_shown():
    (stages,) = preprocess(["A Big RED circle, 蓝色背景上的一个五角星 🎈"])
    assert stages.normalized == "a big red circle, 蓝色背景上的一个五角星 🎈"
    assert stages.segmented == ["a", "big", "red", "circle", "蓝色", "背景", "上", "的", "一个", "五角星", "🎈"]
    assert stages.kept == ["big", "red", "circle", "蓝色", "背景", "上", "五角星", "🎈"]


def test_words_that_do_not_touch_are_not_joined():
    assert preprocess(["五角，星"])[0].segmented == ["五角", "星"]


def test_the_graph_finds_the_words_that_jieba_finds(tokenizer, corpus):
    numbers = {word: 3 + index for index, word in enumerate(tokenizer.words)}
    expected = np.zeros((len(corpus), 24), np.int32)
    expected[:, 0] = 2
    for row, stages in zip(expected, preprocess(corpus), strict=True):
        ids = [numbers[word] for word in stages.kept][:23]
        row[1 : 1 + len(ids)] = ids
    assert np.array_equal(tokenizer(corpus), expected)


@pytest.mark.parametrize("kind", ["words", "pieces", "loose pieces"])
def test_ten_thousand_hostile_strings_have_the_same_ids_alone_in_a_batch_and_in_a_graph(kind, tokenizer, corpus):
    if kind != "words":
        tokenizer = build_tokenizer(captions.loosen(corpus, 0.4 * (kind == "loose pieces"), 0), 1000, 24)
    strings = hostile_strings(10_000)
    eager = np.concatenate([tokenizer(strings[start : start + 100]) for start in range(0, 10_000, 100)])
    assert np.array_equal(tf.function(tokenizer)(tf.constant(strings)), eager)
    assert np.array_equal(np.concatenate([tokenizer([string]) for string in strings[:200]]), eager[:200])
    assert eager.shape == (10_000, 24)
    assert len(np.unique(eager, axis=0)) > 1_000


def test_the_ids_of_words_are_served_without_this_package(tokenizer, tmp_path):
    module = tf.Module()
    module.ids = tf.function(lambda prompts: tokenizer(prompts), input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    code = (
        "import sys, tensorflow as tf, tensorflow_text;"
        f"print(tf.saved_model.load({str(tmp_path)!r}).ids(tf.constant(['紅色的五角星 a ring'])).numpy().tolist())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == str(tokenizer(["红色的五角星 ring"]).numpy().tolist())


def test_unknown_words_are_named_whole_and_long_prompts_cut(tokenizer):
    assert tokenizer.unknown_words(["一只红色的长颈鹿 and a giraffe"]) == ["长颈鹿", "giraffe"]
    assert tokenizer.is_cut(["red " * 24, "red a " * 23]).numpy().tolist() == [True, False]
    assert tokenizer(["red " * 10_000]).shape == (1, 24)
    nothing = ["", "一张长颈鹿的图片", "the picture of a giraffe", "背景"]
    assert (tokenizer(nothing) == tokenizer.empty_caption()).numpy().all()


def test_a_tokenizer_is_made_again_from_its_settings(tokenizer):
    again = WordTokenizer.from_config(tokenizer.get_config())
    assert np.array_equal(again(["紅色 circle giraffe"]), tokenizer(["紅色 circle giraffe"]))
    assert again.vocabulary_size() == tokenizer.vocabulary_size()
