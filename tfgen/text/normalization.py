"""One form for what says the same: upper and lower case, wide and narrow letters, accents, and the two scripts of Chinese."""

import functools

import numpy as np
import opencc
import tensorflow as tf
import tensorflow_text as tf_text


def normalize(texts):
    """Texts in lower case, without accents and compatibility forms (Unicode NFKD, then NFC), Chinese in simplified characters.

    Bytes that are not UTF-8, control characters and other invisible characters become spaces: within a word they would make it
    unknown. It runs in a TensorFlow graph, so that a served model reads a prompt as training read the captions.

    Args:
        texts: strings [N].

    Returns:
        UTF-8 strings [N].
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, r"[\pC\x{FFFD}]", " ")
    texts = tf.strings.regex_replace(tf_text.normalize_utf8(texts, "NFKD"), r"\p{Mn}", "")
    texts = tf_text.case_fold_utf8(tf_text.normalize_utf8(texts, "NFC"))
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    return tf.strings.unicode_encode(tf.ragged.map_flat_values(_simplify, characters), "UTF-8")


def normalize_text(text):
    """`normalize` of a single string."""
    return normalize(tf.constant([text]))[0].numpy().decode()


def _simplify(characters):
    traditional, simplified = _traditional_characters()
    places = tf.minimum(tf.searchsorted(traditional, characters), len(traditional) - 1)
    return tf.where(tf.gather(traditional, places) == characters, tf.gather(simplified, places), characters)


@functools.cache
def _traditional_characters():
    """Code points that OpenCC finds traditional, in order, and those of their simplified forms, int32 [N] each."""
    converter = opencc.OpenCC("t2s")
    blocks = (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xF900, 0xFB00))
    pairs = [(code, ord(converter.convert(chr(code)))) for code in blocks]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], np.int32).T
