"""A WordPiece tokenizer built from captions; Chinese is split into characters."""

import functools

import keras
import keras_nlp
import numpy as np
import tensorflow as tf

from tfgen.data.captions import PLACEHOLDER
from tfgen.text.normalization import normalize
from tfgen.text.words import CaptionWords, caption_words, unknown_words

_RESERVED = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@keras.saving.register_keras_serializable("tfgen")
class CaptionTokenizer(keras_nlp.tokenizers.WordPieceTokenizer):
    """Captions [B] to token ids [B, sequence_length]: [CLS], the word pieces, [SEP], then padding, which is 0.

    Texts are normalised (`tfgen.text.normalize`), Chinese is split into characters; what is longer is cut. It runs in a
    TensorFlow graph, so an exported model takes plain strings. Words that were in no caption are passed over; if captions had
    `tfgen.data.captions.PLACEHOLDER`, one takes the place of each run of them. A text without a word that says what to draw is
    as the empty one. WordPiece: Wu et al., 2016, arXiv:1609.08144.

    Args:
        vocabulary: list of pieces, or a file with one a line; its first four are [PAD], [UNK], [CLS], [SEP].
        sequence_length: T, from 3, with [CLS] and [SEP].
        words: those of the captions, of which not all are pieces; any other is passed over. By default the pieces.
    """

    def __init__(self, vocabulary=None, sequence_length=32, words=None, **kwargs):
        if sequence_length < 3:
            raise ValueError(f"sequence_length is {sequence_length}; give at least 3 tokens, two of which say begin and end")
        kwargs |= {"lowercase": True, "strip_accents": True, "split_on_cjk": True, "dtype": "int32"}
        # One piece more than there is room for shows that something was cut.
        super().__init__(vocabulary=vocabulary, sequence_length=sequence_length - 1, oov_token="[UNK]", **kwargs)
        self.caption_length = sequence_length
        self.words = words or list(self.get_vocabulary())

    @functools.cached_property  # a file's vocabulary is read after the constructor
    def _known(self):
        marks = [piece for piece in self.get_vocabulary() if len(piece) == 1 and not piece.isalnum()]
        with tf.init_scope():  # numbers also where a graph is traced
            return CaptionWords(self.words, marks)

    @functools.cached_property
    def _in_graph(self):
        """`_token_ids`, traced: one by one, its hundred small operations take longer than a picture of a GAN."""
        with tf.init_scope():  # for every later graph too
            return tf.function(self._token_ids, autograph=False).get_concrete_function(tf.TensorSpec([None], tf.string))

    def tokenize(self, inputs):
        return self._in_graph(tf.convert_to_tensor(inputs, tf.string))[0]

    def is_cut(self, texts):
        """Which texts [B] have more pieces than there is room for, bool [B]."""
        return self._in_graph(tf.convert_to_tensor(texts, tf.string))[1]

    def _token_ids(self, inputs):
        inputs = normalize(inputs)
        # In pieces, a word that was in no caption would say what those pieces say in others.
        pieces = tf.cast(super().tokenize(self._known.drop_unknown_words(inputs)), tf.int32)  # [B, T - 1]
        pieces = tf.where(self._known.has_content_word(inputs)[:, None], pieces, 0)
        pieces, is_cut = pieces[:, :-1], pieces[:, -1] != 0
        lengths = tf.reduce_sum(tf.cast(pieces != 0, tf.int32), axis=1)
        start, end = _RESERVED.index("[CLS]"), _RESERVED.index("[SEP]")
        end = end * tf.one_hot(lengths, self.caption_length - 1, dtype=tf.int32)
        return tf.pad(tf.pad(pieces, [[0, 0], [0, 1]]) + end, [[0, 0], [1, 0]], constant_values=start), is_cut

    def empty_caption(self):
        """Token ids of the caption "", int32 [sequence_length]."""
        ends = [_RESERVED.index("[CLS]"), _RESERVED.index("[SEP]")]
        return np.array(ends + [0] * (self.caption_length - 2), np.int32)

    def add_words(self, captions):
        """Add the words of these captions to those that are read, except words that would need the piece [UNK]."""
        words = caption_words(captions)
        if not words:
            return
        pieces = tf.cast(super().tokenize(tf.constant(words)), tf.int32)
        is_spelled = tf.reduce_all(pieces != _RESERVED.index("[UNK]"), axis=1).numpy() | (np.array(words) == PLACEHOLDER)
        self.words = sorted({*self.words, *(word for word, spelled in zip(words, is_spelled, strict=True) if spelled)})
        for made_of_them in ("_known", "_in_graph"):
            self.__dict__.pop(made_of_them, None)

    def unknown_words(self, prompts):
        """Words of prompts that were in no caption, in their order, each once."""
        return unknown_words(prompts, self.words)

    def ids_to_tokens(self, token_ids):
        """The pieces that the ids [T] of a caption stand for, padding left out."""
        return [self.id_to_token(int(token)) for token in token_ids if token]

    def get_config(self):
        config = super().get_config()
        kept = {"name": config["name"], "vocabulary": config["vocabulary"]}
        return {**kept, "sequence_length": self.caption_length, "words": self.words}


def build_tokenizer(captions, vocabulary_size=4000, sequence_length=32):
    """A tokenizer whose vocabulary is learned from captions.

    Args:
        captions: strings.
        vocabulary_size: the most pieces it may have.
        sequence_length: T of the token ids.

    Returns:
        `CaptionTokenizer`.
    """
    captions = normalize(tf.constant(list(captions), tf.string)).numpy()
    return CaptionTokenizer(word_pieces(captions, vocabulary_size, _RESERVED), sequence_length, caption_words(captions))


def word_pieces(captions, vocabulary_size, reserved):
    """At most so many word pieces of normalised captions, the reserved ones first."""
    vocabulary = keras_nlp.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(captions).batch(1000), vocabulary_size,
        lowercase=True, strip_accents=True, split_on_cjk=True, reserved_tokens=list(reserved),
    )  # fmt: skip
    # The learner drops all words with a character that is not among the 1,000 most frequent.
    characters = {character for word in caption_words(captions) for character in word}
    dropped = sorted(characters - set(vocabulary))[: vocabulary_size // 2]
    return vocabulary[: vocabulary_size - len(dropped)] + dropped
