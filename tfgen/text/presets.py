"""Any keras-nlp backbone that reads text, as a text encoder."""

import json
from pathlib import Path

import keras
import keras_nlp
import numpy as np
import tensorflow as tf
from keras import ops

from tfgen.text.encoders import TextEncoder, pooled_mean
from tfgen.text.normalization import normalize
from tfgen.text.words import CaptionWords, caption_words, unknown_words

POOLINGS = ("cls", "mean", "last")


@keras.saving.register_keras_serializable("tfgen")
class PresetTokenizer(keras.layers.Layer):
    """Captions [B] to token ids int32 [B, sequence_length] by a tokenizer of keras-nlp; each id is one more than there, so that
    0 is padding.

    Args:
        tokenizer: `keras_nlp.models.Tokenizer`; its start and end are put around, where it has them and they differ.
        sequence_length: T; what is longer is cut before the end.
        normalizes: whether captions are normalised first (`tfgen.text.normalize`), as for `pretrain_bert`.
        words: of the captions that the image model learns. A text with none of them that says what to draw is read as the empty
            one; None reads any text.
    """

    def __init__(self, tokenizer, sequence_length=32, normalizes=False, words=None, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer, self.caption_length, self.normalizes = tokenizer, sequence_length, normalizes
        self._know(words)

    def _know(self, words):
        self.words = words
        self._known = None if words is None else CaptionWords(words)
        self._in_graph = tf.function(self._tokenize, autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])

    def __call__(self, captions):
        # Not Keras's: strings are no tensors to it. In a graph keras-nlp tokenizes by TensorFlow, outside by another library.
        return self._in_graph(tf.convert_to_tensor(captions, tf.string))[0]

    def is_cut(self, texts):
        """Which texts [B] have more tokens than there is room for, bool [B]."""
        return self._in_graph(tf.convert_to_tensor(texts, tf.string))[1]

    def add_words(self, captions):
        """Count the words of these captions to those that the image model learns."""
        if self.words is not None:
            self._know(sorted({*self.words, *caption_words(captions)}))

    @property
    def is_word_piece(self):
        return isinstance(self.tokenizer, keras_nlp.tokenizers.WordPieceTokenizer)

    def _ends(self):
        start, end = (getattr(self.tokenizer, f"{name}_token_id", None) for name in ("start", "end"))
        return [] if start in (None, end) else [start + 1], [] if end is None else [end + 1]

    def _tokenize(self, captions):
        normalized = normalize(captions)
        captions = tf.strings.unicode_transcode(captions, "UTF-8", "UTF-8", errors="replace")
        captions = normalized if self.normalizes else captions
        if self._known is not None:
            captions = tf.where(self._known.has_content_word(normalized), captions, "")
        pieces = tf.cast(self.tokenizer(captions), tf.int32) + 1
        start, end = self._ends()
        room = self.caption_length - len(start) - len(end)
        is_cut, pieces = pieces.row_lengths() > room, pieces[:, :room]
        around = [tf.tile(tf.constant([ids], tf.int32, [1, len(ids)]), [tf.shape(captions)[0], 1]) for ids in (start, end)]
        token_ids = tf.concat([around[0], pieces, around[1]], axis=1).to_tensor(shape=[None, self.caption_length])
        return token_ids, is_cut

    def empty_caption(self):
        """Token ids of the caption "", int32 [sequence_length]."""
        start, end = self._ends()
        ids = [*start, *end] or [1]  # attention needs something to look at
        return np.array(ids + [0] * (self.caption_length - len(ids)), np.int32)

    def unknown_words(self, prompts):
        """Words of prompts that were in no caption, in their order, each once."""
        return [] if self.words is None else unknown_words(prompts, self.words)

    def ids_to_tokens(self, token_ids):
        """The pieces that the ids [T] of a caption stand for, padding left out."""
        return [self.tokenizer.id_to_token(int(token) - 1) for token in token_ids if token]

    def get_config(self):
        tokenizer = keras.saving.serialize_keras_object(self.tokenizer)
        settings = {"sequence_length": self.caption_length, "normalizes": self.normalizes, "words": self.words}
        return {**super().get_config(), "tokenizer": tokenizer, **settings}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "tokenizer": keras.saving.deserialize_keras_object(config["tokenizer"])})


@keras.saving.register_keras_serializable("tfgen")
class PresetTextEncoder(TextEncoder):
    """A pretrained language model, projected to the width of the image model.

    Args:
        tokenizer: `PresetTokenizer`.
        width: D of token embeddings and pooled vector.
        backbone: JSON of what `keras.saving.serialize_keras_object` says of a keras-nlp backbone.
        pooling: what stands for the caption: "cls", its first token; "mean"; or "last", for a network in which a token sees
            only those before it.
        trains_network: fine-tune the network; else only the projections learn, and its features are computed once a caption.
        network: that backbone's `text_network`, with its weights; a new one without weights by default.

    Call arguments and result: see `TextEncoder`; `features` [B, T, F] may be given where the network is frozen.
    """

    settings = ("backbone", "pooling", "trains_network")

    def __init__(self, tokenizer, width=128, *, backbone, pooling="mean", trains_network=False, network=None, **kwargs):
        super().__init__(tokenizer, width, **kwargs)
        if pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {pooling!r}; choose from {', '.join(POOLINGS)}")
        self.backbone, self.pooling, self.trains_network = backbone, pooling, trains_network
        self.network = network or text_network(keras.saving.deserialize_keras_object(json.loads(backbone)))
        self.network.trainable = trains_network
        self.projection = keras.layers.Dense(width, name="projection")
        self.pooled_projection = keras.layers.Dense(width, name="pooled_projection")
        self.normalization = keras.layers.LayerNormalization(name="normalization")
        self.pooled_normalization = keras.layers.LayerNormalization(name="pooled_normalization")
        self.projection.build(self.network.output.shape)
        for layer in (self.normalization, self.pooled_projection, self.pooled_normalization):
            layer.build((None, width))
        self.built = True

    @property
    def frozen_features(self):
        return None if self.trains_network else self.features

    def features(self, token_ids, padding_mask):
        """What the network makes of token ids int32 [B, T] and their mask bool [B, T]: float32 [B, T, F]."""
        available = {
            "token_ids": ops.maximum(token_ids - 1, 0),
            "padding_mask": ops.cast(padding_mask, "int32"),
            "segment_ids": ops.zeros_like(token_ids),
        }
        return self.network({name: available[name.removeprefix("encoder_")] for name in self.network.input})

    def call(self, token_ids, padding_mask, features=None):
        features = self.features(token_ids, padding_mask) if features is None else features
        tokens = self.normalization(self.projection(features))
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        elif self.pooling == "mean":
            pooled = pooled_mean(tokens, padding_mask)
        else:
            last = ops.sum(ops.cast(padding_mask, "int32"), axis=1) - 1
            pooled = ops.take_along_axis(tokens, last[:, None, None], axis=1)[:, 0]
        pooled = self.pooled_normalization(self.pooled_projection(pooled))
        return {"tokens": tokens, "mask": ops.cast(padding_mask, "bool"), "pooled": pooled}

    def copy(self):
        """Another encoder with the same weights and the very same tokenizer; a frozen network is shared."""
        if self.trains_network:
            return super().copy()
        copy = type(self)(self.tokenizer, self.width, backbone=self.backbone, pooling=self.pooling, network=self.network)
        copy.set_weights(self.get_weights())
        return copy


def text_network(backbone):
    """The part of a keras-nlp backbone that turns tokens into features [B, T, F]: of CLIP its half for text, of T5 the encoder.

    Raises:
        ValueError: the backbone reads no text.
    """
    part = getattr(backbone, "text_encoder", backbone)
    inputs = part.input if isinstance(part.input, dict) else {}
    prefix = "encoder_" if "encoder_token_ids" in inputs else ""
    names = [prefix + name for name in ("token_ids", "padding_mask", "segment_ids") if prefix + name in inputs]
    if not names:
        raise ValueError(f"{type(backbone).__name__} reads no text; give a preset such as bert_tiny_en_uncased")
    output = part.output[f"{prefix}sequence_output"] if isinstance(part.output, dict) else part.output
    return keras.Model({name: inputs[name] for name in names}, output, name="network")


def load_preset_encoder(preset, captions=None, width=128, sequence_length=32, normalizes=False, **settings):
    """A text encoder around a preset of keras-nlp.

    Args:
        preset: name, such as "bert_tiny_en_uncased", which is fetched once from the network; or the folder of one that
            `save_to_preset` wrote, which needs no network.
        captions: strings that the image model will learn, so that it can name the words it never saw; None for any.
        width: D of token embeddings and pooled vector.
        sequence_length, normalizes: see `PresetTokenizer`.
        settings: `pooling` and `trains_network`, see `PresetTextEncoder`.

    Raises:
        ValueError: the preset can be neither found nor fetched, reads no text or less of it, or its vocabulary does not fit
            its weights.
    """
    backbone = _from_preset(keras_nlp.models.Backbone, preset)
    network = text_network(backbone)
    tokenizer = _from_preset(keras_nlp.models.Tokenizer, preset)
    reader = getattr(backbone, "text_encoder", backbone)
    if tokenizer.vocabulary_size() > reader.vocabulary_size:
        raise ValueError(
            f"{preset}: the tokenizer has {tokenizer.vocabulary_size()} tokens and the weights {reader.vocabulary_size}; save "
            "both again by save_to_preset"
        )
    most_tokens = getattr(reader, "max_sequence_length", None)  # of T5 there is none
    if most_tokens and sequence_length > most_tokens:
        raise ValueError(f"sequence_length is {sequence_length}, and {preset} reads {most_tokens} tokens; give at most as many")
    words = None if captions is None else caption_words(captions)
    tokenizer = PresetTokenizer(tokenizer, sequence_length, normalizes, words)
    config = json.dumps(keras.saving.serialize_keras_object(backbone))
    return PresetTextEncoder(tokenizer, width, backbone=config, network=network, **settings)


def _from_preset(kind, preset):
    path = Path(preset).absolute()
    try:
        return kind.from_preset(str(path) if path.is_dir() else str(preset))
    except Exception as error:  # of reading, parsing or fetching, whatever keras-nlp meets
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(
            f"no text preset in {preset} ({reason}); give the folder of one, as keras-nlp's save_to_preset writes "
            "(saved_models/bilingual-bert ships), or, with a network, a name such as bert_tiny_en_uncased"
        ) from None
