"""Word vectors: trained on captions, or brought by the user; and the encoder that stands on them."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from tfgen.data.captions import PLACEHOLDER
from tfgen.text.encoders import TextEncoder, pooled_mean
from tfgen.text.words import WordTokenizer, preprocess


def train_word_vectors(captions, vector_size=64, epochs=20, seed=0):
    """Word2Vec (Mikolov et al., 2013, arXiv:1301.3781) in its skip-gram form: words come near in whose company others stand.

    Args:
        captions: strings, English, Chinese or both.
        vector_size: length of a vector.
        epochs: passes over the captions.
        seed: of the first vectors and the order of learning; the same seed gives the same vectors.

    Returns:
        `gensim.models.KeyedVectors`.
    """
    sentences = [stages.kept for stages in preprocess(captions)]
    if not any(sentences):
        raise ValueError("the captions hold no words; give captions in English or Chinese")
    from gensim.models import Word2Vec  # slow to import, and no model that ships needs it

    model = Word2Vec(
        sentences, vector_size=vector_size, window=5, min_count=1, sg=1, negative=10, epochs=epochs, seed=seed, workers=1
    )
    return model.wv


def load_word_vectors(file):
    """Vectors that a user has: gensim's own form (.kv), or word2vec's, as text or, where the name ends in .bin, binary.

    Returns:
        `gensim.models.KeyedVectors`.

    Raises:
        ValueError: the file is missing or holds no word vectors.
    """
    from gensim.models import KeyedVectors

    file = Path(file)
    try:
        if file.suffix == ".kv":
            return KeyedVectors.load(str(file))
        return KeyedVectors.load_word2vec_format(file, binary=file.suffix == ".bin")
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; give a file of word vectors") from None
    except Exception as error:  # of unpickling and parsing, whatever the file holds
        raise ValueError(f"{file} holds no word vectors in gensim's form or word2vec's: {error}") from None


@keras.saving.register_keras_serializable("tfgen")
class WordVectorEncoder(TextEncoder):
    """The vectors of a prompt's words, and their mean: a bag of words.

    It knows what is named, but not which word belongs to which: where two objects are told apart by the order of words alone,
    it is at a loss. That is what the other encoders are measured against.

    Args:
        tokenizer: `tfgen.text.WordTokenizer`.
        width: D of token embeddings and pooled vector, to which the word vectors are projected.
        vector_size: length of a word vector.
        trains_vectors: whether the word vectors learn too, or only their projection.

    Call arguments and result: see `TextEncoder`.
    """

    settings = ("vector_size", "trains_vectors")

    def __init__(self, tokenizer, width=128, *, vector_size=64, trains_vectors=True, **kwargs):
        super().__init__(tokenizer, width, **kwargs)
        self.vector_size, self.trains_vectors = vector_size, trains_vectors
        self.embedding = keras.layers.Embedding(
            tokenizer.vocabulary_size(), vector_size, trainable=trains_vectors, name="embedding"
        )
        self.projection = keras.layers.Dense(width, name="projection")
        self.pooled_normalization = keras.layers.LayerNormalization(name="pooled_normalization")
        self.embedding.build((None, tokenizer.caption_length))
        self.projection.build((None, tokenizer.caption_length, vector_size))
        self.pooled_normalization.build((None, width))
        self.built = True

    def call(self, token_ids, padding_mask):
        tokens = self.projection(self.embedding(token_ids))
        pooled = self.pooled_normalization(pooled_mean(tokens, padding_mask))
        return {"tokens": tokens, "mask": ops.cast(padding_mask, "bool"), "pooled": pooled}


def build_word_vector_encoder(captions, vectors=None, sequence_length=32, **settings):
    """An encoder of the words that captions hold.

    Args:
        captions: strings.
        vectors: `gensim.models.KeyedVectors`, or a file as in `load_word_vectors`; None to train them on the captions. A word
            that they lack starts at zero.
        sequence_length: T of the token ids.
        settings: of `WordVectorEncoder`, and without `vectors` `vector_size`.

    Returns:
        `WordVectorEncoder`.
    """
    captions = list(captions)
    if vectors is None:
        vectors = train_word_vectors(captions, settings.get("vector_size", 64))
    elif isinstance(vectors, str | Path):
        vectors = load_word_vectors(vectors)
    words = sorted({word for stages in preprocess(captions) for word in stages.kept} - {PLACEHOLDER})
    tokenizer = WordTokenizer(words, sequence_length)
    encoder = WordVectorEncoder(tokenizer, **{**settings, "vector_size": vectors.vector_size})
    table = np.zeros(encoder.embedding.embeddings.shape, np.float32)
    for row, word in enumerate(words, len(table) - len(words)):
        if word in vectors:
            table[row] = vectors[word]
    encoder.embedding.embeddings.assign(table)
    return encoder
