"""Classic preprocessing: from a sentence to its words, in English and Chinese, stage by stage and in a graph."""

import functools
import math
from dataclasses import dataclass

import jieba
import keras
import numpy as np
import tensorflow as tf

from tfgen.data.captions import PLACEHOLDER
from tfgen.text.normalization import normalize

# Words that say nothing about a picture. A usual list would hold "above", "in" and "not" too: here they say what is where.
STOP_WORDS = (
    "a", "an", "and", "are", "as", "has", "have", "is", "it", "its", "of", "s", "that", "the", "there", "these", "this",
    "those", "to", "was", "were", "which", "with", "的", "地", "得", "了", "着", "是", "有", "个", "一个", "只", "一只",
    "和", "与", "及", "这", "那", "它", "其", "呢", "吗", "啊", "吧",
)  # fmt: skip
# Words that say nothing of what a picture shows.
FILLER_WORDS = (
    *STOP_WORDS, "on", "in", "at", "picture", "photo", "image", "drawing", "background", "backdrop", "画", "图", "图片", "图像",
    "照片", "一张", "背景", "上", "在", PLACEHOLDER,
)  # fmt: skip
_BREAK = "|"  # between two words that do not touch; no letter, number or symbol
_PADDING, _UNKNOWN, _START = range(3)


def split_units(texts):
    """Words of normalised texts, but Chinese characters and symbols such as emoji one by one, and `|` where two of them do
    not touch; ragged strings [N, U]."""
    texts = tf.strings.regex_replace(texts, r"[^\pL\pN\p{So}]+", f" {_BREAK} ")
    return tf.strings.split(tf.strings.regex_replace(texts, r"(\p{Han}|\p{So})", r" \1 "))


def _is_chinese(units):
    return tf.strings.regex_full_match(units, r"\p{Han}")


class WordIndex:
    """Finds words in a graph. (A lookup table would have to be tracked to be exported.)

    Args:
        words: distinct strings.
    """

    def __init__(self, words):
        hashes = _hashed(tf.constant(list(words), tf.string)).numpy()
        self._places = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._places]

    def find(self, words):
        """Places of words [...] in the list, int32, -1 where there is none."""
        hashes = _hashed(words)
        places = tf.minimum(tf.searchsorted(self._hashes, tf.reshape(hashes, [-1])), len(self._hashes) - 1)
        places = tf.reshape(places, tf.shape(words))
        return tf.where(tf.gather(self._hashes, places) == hashes, tf.gather(self._places, places), -1)


def _hashed(words):
    return tf.strings.to_hash_bucket_fast(words, 2**62)


class CaptionWords:
    """The words of the captions that a model learns from, Chinese characters counting as words: what it can be asked for.

    Args:
        words: see `caption_words`.
        marks: punctuation of the captions.
    """

    def __init__(self, words, marks=()):
        self.words = list(words)
        self._known = WordIndex(sorted({*self.words, *marks} - {PLACEHOLDER}))
        self._placeholder = PLACEHOLDER if PLACEHOLDER in self.words else ""
        fillers = {*FILLER_WORDS, *"".join(word for word in FILLER_WORDS if not word.isascii())}
        self._names = WordIndex([word for word in self.words if word not in fillers] or [" "])  # a space is no unit

    def has_content_word(self, texts):
        """Whether normalised texts [B] hold a word that says what to draw, bool [B]."""
        return tf.reduce_any(self._names.find(split_units(texts).to_tensor("")) >= 0, axis=1)

    def drop_unknown_words(self, texts):
        """Normalised texts [B] without the words and marks that were not seen in the captions; if captions had `PLACEHOLDER`,
        each run of such words is replaced by one."""
        words = tf.strings.split(tf.strings.regex_replace(texts, r"(\p{Han}|[^\pL\pN\s])", r" \1 "))
        flat = words.flat_values
        is_known = self._known.find(flat) >= 0
        is_kept = is_known | ~tf.strings.regex_full_match(flat, r"[^\pL\pN\p{So}]+")
        words = words.with_flat_values(tf.where(is_known, flat, self._placeholder))
        words = tf.ragged.boolean_mask(words, words.with_flat_values(is_kept))
        texts = tf.strings.reduce_join(words, axis=1, separator=" ")
        return tf.strings.regex_replace(texts, rf"{PLACEHOLDER}( {PLACEHOLDER})+", PLACEHOLDER)


def caption_words(captions):
    """The words that captions hold, sorted; Chinese characters count as words."""
    return sorted({unit.decode() for unit in np.unique(_units(captions))} - {_BREAK})


def unknown_words(prompts, known):
    """Words of prompts that are not known, in their order, each once."""
    known = {_BREAK, *known}
    return [word for word in dict.fromkeys(unit.decode() for unit in _units(prompts)) if word not in known]


def _units(texts):
    """`split_units` of all texts, one after the other, as an array of bytes."""
    return _normalized_units(tf.constant(list(texts), tf.string)).numpy()


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def _normalized_units(texts):
    return split_units(normalize(texts)).flat_values


@functools.cache
def _jieba():
    tokenizer = jieba.Tokenizer()
    jieba.setLogLevel("WARNING")
    tokenizer.initialize()
    return tokenizer


@dataclass(frozen=True)
class Stages:
    """What each stage of preprocessing makes of a text.

    Attributes:
        text: as it came.
        normalized: in lower case, simplified characters, without accents.
        segmented: its words; Chinese, which has no spaces, cut where jieba's dictionary makes it most likely.
        kept: the words that are no stop words.
    """

    text: str
    normalized: str
    segmented: list
    kept: list


def preprocess(texts, stop_words=STOP_WORDS):
    """`Stages` of each text, in English, Chinese or both."""
    normalized = normalize(tf.constant(list(texts), tf.string))
    units = split_units(normalized)
    is_chinese = tf.ragged.map_flat_values(_is_chinese, units)
    stages = []
    for text, plain, row, flags in zip(texts, normalized.numpy(), units.to_list(), is_chinese.to_list(), strict=True):
        segmented, chinese = [], ""
        for unit, flag in zip([*row, b""], [*flags, False], strict=True):
            if flag:
                chinese += unit.decode()
                continue
            segmented.extend(_jieba().cut(chinese, HMM=False) if chinese else ())
            chinese = ""
            if unit and unit.decode() != _BREAK:
                segmented.append(unit.decode())
        stages.append(Stages(text, plain.decode(), segmented, [word for word in segmented if word not in stop_words]))
    return stages


@keras.saving.register_keras_serializable("tfgen")
class WordTokenizer:
    """Texts [B] to the ids of their words, int32 [B, sequence_length]: a start, known words, and padding, which is 0.

    Stop words are left out; any other word has the id 1; what is longer is cut. It runs in a TensorFlow graph: Chinese
    is cut into the known words whose frequencies have the greatest product, jieba's own rule, so that a text of known
    words is cut as `preprocess` cuts it. A text without a word that says what to draw is as the empty one.

    Args:
        words: all that have an id, in its order from 3 on.
        sequence_length: T, with the start.
        stop_words: left out, though known to the segmentation.
    """

    def __init__(self, words, sequence_length=32, stop_words=STOP_WORDS):
        self.words, self.caption_length, self.stop_words = list(words), sequence_length, list(stop_words)
        entries = [*self.words, *sorted(set(self.stop_words) - set(self.words))]
        ids = np.arange(_START + 1, _START + 1 + len(entries), dtype=np.int32)
        self._ids = np.where(ids < self.vocabulary_size(), ids, -1)
        self._names = np.array([word not in FILLER_WORDS for word in entries])
        frequencies = [_jieba().FREQ.get(word) or 1 for word in entries]
        self._log_likelihoods = np.log(frequencies) - math.log(_jieba().total)
        self._index = WordIndex(entries)
        is_chinese = _is_chinese(tf.constant([word[0] for word in entries])).numpy()
        self._longest = max((len(word) for word, chinese in zip(entries, is_chinese, strict=True) if chinese), default=1)
        self._tokenize = tf.function(self._tokenize, autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])

    def __call__(self, texts):
        return self._tokenize(tf.convert_to_tensor(texts, tf.string))[0]

    def is_cut(self, texts):
        """Which texts [B] have more words than there is room for, bool [B]."""
        return self._tokenize(tf.convert_to_tensor(texts, tf.string))[1]

    def add_words(self, captions):
        """Nothing: a word that has no vector remains unknown."""

    def _tokenize(self, texts):
        units = split_units(tf.strings.join([normalize(texts), f" {_BREAK}"])).to_tensor("")  # [B, U], U > 0
        entries, lengths = self._segment(units)

        def go_on(state, length):
            left = state[0]  # units of the word under way
            return tf.where(left > 0, left, length) - 1, left <= 0

        state = tf.zeros_like(lengths[:, 0]), tf.zeros_like(lengths[:, 0], tf.bool)
        starts = tf.transpose(tf.scan(go_on, tf.transpose(lengths), state)[1])
        ids = tf.where(entries < 0, _UNKNOWN, tf.gather(self._ids, tf.maximum(entries, 0)))
        is_word = starts & (units != "") & (units != _BREAK) & (ids > 0)
        names = is_word & (entries >= 0) & tf.gather(self._names, tf.maximum(entries, 0))
        is_word &= tf.reduce_any(names, axis=1, keepdims=True)
        ids, room = tf.ragged.boolean_mask(ids, is_word), self.caption_length - 1
        token_ids = tf.pad(ids.to_tensor(shape=[None, room]), [[0, 0], [1, 0]], constant_values=_START)
        return token_ids, ids.row_lengths() > room

    def _segment(self, units):
        """Of the likeliest word from each unit on: its entry, -1 for none, and its length in units; int32 [B, U] each."""
        num_units = tf.shape(units)[1]
        padded = tf.concat([units, tf.fill([tf.shape(units)[0], self._longest], "")], axis=1)
        is_chinese = _is_chinese(padded)
        words, fits = units, tf.ones_like(units, tf.bool)
        entries, scores = [], []
        for length in range(1, self._longest + 1):
            if length > 1:
                following = slice(length - 1, num_units + length - 1)
                words = words + padded[:, following]
                fits &= is_chinese[:, :num_units] & is_chinese[:, following]
            entry = tf.where(fits, self._index.find(words), -1)
            unknown = -math.log(_jieba().total) if length == 1 else -math.inf
            likelihoods = tf.gather(self._log_likelihoods, tf.maximum(entry, 0))
            entries.append(entry)
            scores.append(tf.where(entry < 0, tf.constant(unknown, tf.float64), likelihoods))
        entries, scores = tf.stack(entries, axis=-1), tf.stack(scores, axis=-1)  # [B, U, L]

        def choose(following, score):
            totals = tf.reverse(score + following[0], [1])  # of equals the longest word, as jieba has it
            choice = self._longest - tf.argmax(totals, axis=1, output_type=tf.int32)
            return tf.concat([tf.reduce_max(totals, axis=1, keepdims=True), following[0][:, :-1]], axis=1), choice

        start = tf.zeros_like(scores[:, 0]), tf.zeros_like(entries[:, 0, 0])
        _, lengths = tf.scan(choose, tf.transpose(scores, [1, 0, 2]), start, reverse=True)
        lengths = tf.transpose(lengths)
        return tf.gather(entries, lengths - 1, batch_dims=2), lengths

    def empty_caption(self):
        """Token ids of the caption "", int32 [sequence_length]."""
        return np.array([_START] + [_PADDING] * (self.caption_length - 1), np.int32)

    def vocabulary_size(self):
        """Number of ids, those of padding, unknown and start counted in."""
        return _START + 1 + len(self.words)

    def unknown_words(self, prompts):
        """Words of prompts that were in no caption, in their order, each once."""
        known = {*self.words, *self.stop_words}
        segmented = [word for stages in preprocess(prompts) for word in stages.segmented]
        return [word for word in dict.fromkeys(segmented) if word not in known]

    def ids_to_tokens(self, token_ids):
        """The words that the ids [T] of a caption stand for, padding left out."""
        names = ["[UNK]", "[START]", *self.words]
        return [names[token - 1] for token in token_ids if token]

    def get_config(self):
        return {"words": self.words, "sequence_length": self.caption_length, "stop_words": self.stop_words}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
