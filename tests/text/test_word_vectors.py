"""Word vectors, trained here or brought along."""

import numpy as np
import pytest

from tfgen import text
from tfgen.data import captions


@pytest.fixture(scope="module")
def corpus():
    return captions.vocabulary_corpus()[::4]


@pytest.fixture(scope="module")
def vectors(corpus):
    return text.train_word_vectors(corpus, vector_size=24, epochs=5)


def test_words_of_a_kind_are_neighbours(vectors):
    colours = {"red", "green", "blue", "yellow", "purple", "orange", "white", "black", "violet"}
    for colour in ("red", "purple", "black"):
        nearest = [word for word, _ in vectors.most_similar(colour, topn=4)]
        assert len(colours.intersection(nearest)) >= 3, f"{colour}: {nearest}"


def test_the_same_seed_gives_the_same_vectors(corpus):
    one, other = (text.train_word_vectors(corpus[:200], vector_size=8, epochs=1, seed=3) for _ in range(2))
    assert np.array_equal(one.vectors, other.vectors)


def test_ones_own_vectors_are_read_in_every_form(vectors, corpus, tmp_path):
    vectors.save(str(tmp_path / "own.kv"))
    vectors.save_word2vec_format(tmp_path / "own.txt")
    vectors.save_word2vec_format(tmp_path / "own.bin", binary=True)
    for name in ("own.kv", "own.txt", "own.bin"):
        encoder = text.build_word_vector_encoder(corpus, tmp_path / name, width=16)
        row = 3 + encoder.tokenizer.words.index("circle")
        assert np.allclose(encoder.embedding.embeddings[row], vectors["circle"], atol=1e-6)


@pytest.mark.parametrize("content", [None, b"", b"no vectors at all", b"\x80\x04\x00"])
@pytest.mark.parametrize("name", ["own.kv", "own.txt", "own.bin"])
def test_a_file_without_vectors_is_refused_in_one_line(name, content, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="own") as error:
        text.load_word_vectors(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_bag_of_words_does_not_hear_their_order(vectors, corpus):
    encoder = text.build_word_vector_encoder(corpus, vectors, width=16, trains_vectors=False)
    assert "embedding" not in {weight.path.split("/")[-2] for weight in encoder.trainable_weights}
    token_ids = encoder.tokenizer(["a red circle above a blue ring", "a blue circle above a red ring", "a red circle"])
    pooled = encoder(token_ids, token_ids != 0)["pooled"]
    assert np.allclose(pooled[0], pooled[1], atol=1e-5)
    assert np.abs(pooled[0] - pooled[2]).max() > 1e-3
    assert np.isfinite(encoder(*(np.array([ids]) for ids in (encoder.tokenizer.empty_caption(),) * 2))["pooled"]).all()


def test_captions_without_a_word_are_refused():
    with pytest.raises(ValueError, match="no words"):
        text.train_word_vectors(["…", "!"])
