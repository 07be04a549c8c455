import time

import numpy as np
import pytest
import tensorflow as tf

from tfgen import text
from tfgen.data import captions


@pytest.fixture(scope="module")
def tokenizer():
    return text.build_tokenizer(captions.vocabulary_corpus(), 1000, 24)


def test_captions_become_ids_between_their_ends(tokenizer):
    token_ids = tokenizer(["a large red circle", "蓝色背景上的一个大红圆", ""]).numpy()
    assert token_ids.shape == (3, 24)
    assert token_ids.dtype == np.int32
    pieces = [[tokenizer.id_to_token(int(token)) for token in row if token] for row in token_ids]
    assert pieces[0] == ["[CLS]", "a", "large", "red", "circle", "[SEP]"]
    assert pieces[1] == ["[CLS]", *"蓝色背景上的一个大红圆", "[SEP]"]
    assert pieces[2] == ["[CLS]", "[SEP]"]
    assert np.array_equal(token_ids[2], tokenizer.empty_caption())


def test_case_and_accents_do_not_matter(tokenizer):
    assert np.array_equal(tokenizer(["A LARGE réd Circle"]), tokenizer(["a large red circle"]))


def test_every_word_of_the_grammar_is_known(tokenizer):
    assert tokenizer.unknown_words(captions.vocabulary_corpus(1)[::7]) == []


def test_unknown_words_are_named(tokenizer):
    assert tokenizer.unknown_words(["a purple Giraffe, on blue: giraffe"]) == ["giraffe"]
    assert tokenizer.unknown_words(["一只红色的猫 🦒"]) == ["只", "猫", "🦒"]
    assert tokenizer.unknown_words(["A LARGE réd circle ❤\ufe0f"]) == ["❤"]
    assert tokenizer.unknown_words([""]) == []


def test_unknown_words_are_passed_over(tokenizer):
    for odd, plain in (
        ("please draw a large red circle that is on a blue background!", "a large red circle is on a blue background"),
        ("一只蓝色的猫，上面是一个大红圆", "一蓝色的，上面是一个大红圆"),
        ("a red circle; giraffe 🦒", "a red circle"),
    ):
        assert np.array_equal(tokenizer([odd]), tokenizer([plain])), odd


@pytest.mark.parametrize("learns", [False, True])
def test_where_captions_had_a_stand_in_it_has_the_place_of_unknown_words(learns):
    loose = captions.vocabulary_corpus(loosened=0.4)
    tokenizer = text.build_tokenizer(captions.vocabulary_corpus() if learns else loose, 1000, 24)
    if learns:
        tokenizer(["before"])
        tokenizer.add_words(loose)
    for odd, plain in (
        ("please draw a red circle placed on the left!", "□ a red circle □ on the left"),
        ("一个红圆位于右边", "一个红圆□右边"),
        ("a red circle □ giraffe 🦒 □", "a red circle □"),
    ):
        assert np.array_equal(tokenizer([odd]), tokenizer([plain])), odd
        assert not np.array_equal(tokenizer([odd]), tokenizer([plain.replace("□", "")])), odd
    assert tokenizer.unknown_words(["□ a giraffe"]) == ["giraffe"]
    assert (tokenizer(["□", "please", "a □"]) == tokenizer.empty_caption()).numpy().all()
    assert type(tokenizer).from_config(tokenizer.get_config()).words == tokenizer.words


def test_words_that_there_are_no_pieces_for_are_not_learned():
    tokenizer = text.build_tokenizer(captions.vocabulary_corpus(), 1000, 24)
    tokenizer.add_words(["猫", "a redder dot"])
    assert tokenizer.unknown_words(["红猫 redder"]) == ["猫"]
    tokenizer.add_words(["…"])  # captions without a word
    assert tokenizer.unknown_words(["红猫 redder"]) == ["猫"]


def test_a_tokenizer_needs_room_for_a_word():
    with pytest.raises(ValueError, match="sequence_length is 2; give at least 3 tokens"):
        text.build_tokenizer(captions.vocabulary_corpus(), 1000, 2)


def test_a_word_of_the_captions_is_known_though_the_vocabulary_has_only_parts_of_it():
    rare = [f"word{chr(97 + i % 26)}{chr(97 + i // 26)}x" for i in range(300)]
    small = text.build_tokenizer(rare * 3, 100, 8)
    assert not set(rare) <= set(small.get_vocabulary())
    assert small.unknown_words([f"{rare[0]} {rare[-1]} other"]) == ["other"]
    assert type(small).from_config(small.get_config()).unknown_words([rare[-1]]) == []


def test_long_odd_and_broken_captions_are_cut_or_passed_over(tokenizer):
    long = "red " * 5000
    token_ids = tokenizer([long, "red\x00\x07 circle", b"red \xff\xfe circle", "🎈" * 50]).numpy()
    assert token_ids.shape == (4, 24)
    assert (token_ids[0] != 0).all()
    assert token_ids[0, -1] == tokenizer.token_to_id("[SEP]")
    fits = ["a large red circle on a blue background", "red " * 22, "🎈" * 50]
    assert tokenizer.is_cut([long, "red, " * 12, "red " * 23, *fits]).numpy().tolist() == [True] * 3 + [False] * 3
    for row in token_ids[1:3]:
        assert {tokenizer.token_to_id("red"), tokenizer.token_to_id("circle")} <= set(row.tolist())


def test_a_prompt_that_names_nothing_is_as_none(tokenizer):
    nothing = ["a picture of a giraffe", "一张长颈鹿的图", "🦒", "a background", "…", ""]
    assert (tokenizer(nothing) == tokenizer.empty_caption()).numpy().all()
    assert not (tokenizer(["a giraffe on red"]) == tokenizer.empty_caption()).numpy().all()


def test_the_tokenizer_runs_in_a_graph(tokenizer):
    prompts = tf.constant(["a red ring", "一个圆环"])
    assert np.array_equal(tf.function(tokenizer)(prompts), tokenizer(prompts))


def test_texts_are_read_by_one_graph_that_is_traced_once():
    tokenizer = text.build_tokenizer(["a red ring"], 100, 8)
    started = time.perf_counter()
    tokenizer(["a red ring"])
    first = time.perf_counter() - started
    started = time.perf_counter()
    for num_texts in range(1, 11):
        tokenizer(["red"] * num_texts)
        tokenizer.is_cut(["red"] * num_texts)
    assert time.perf_counter() - started < first


def test_the_encoder_sees_words_but_not_padding(tokenizer):
    encoder = text.TransformerTextEncoder(tokenizer, width=32, depth=1, num_heads=2)
    token_ids = tokenizer(["a red circle", "a blue circle"])
    features = encoder(token_ids, token_ids != 0)
    assert features["tokens"].shape == (2, 24, 32)
    assert features["pooled"].shape == (2, 32)
    assert np.array_equal(features["mask"], token_ids != 0)
    assert np.abs(features["pooled"][0] - features["pooled"][1]).max() > 1e-4
    padded = tf.where(token_ids == 0, tokenizer.token_to_id("red"), token_ids)
    hidden = encoder(padded, token_ids != 0)
    assert np.allclose(features["pooled"], hidden["pooled"], atol=1e-5)


def test_a_copy_has_the_weights_and_shares_the_tokenizer(tokenizer):
    encoder = text.TransformerTextEncoder(tokenizer, width=32, depth=1, num_heads=2)
    copy = encoder.copy()
    token_ids = tokenizer(["a red circle"])
    assert np.array_equal(encoder(token_ids, token_ids != 0)["tokens"], copy(token_ids, token_ids != 0)["tokens"])
    encoder.weights[0].assign_add(tf.ones_like(encoder.weights[0]))
    assert not np.array_equal(encoder(token_ids, token_ids != 0)["tokens"], copy(token_ids, token_ids != 0)["tokens"])
    assert copy.tokenizer is tokenizer
