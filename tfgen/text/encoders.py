"""Encoders of token ids."""

import keras
import keras_nlp
from keras import ops


@keras.saving.register_keras_serializable("tfgen")
class TransformerTextEncoder(keras.Model):
    """A small Transformer encoder, trained together with the image model that it steers.

    Token and learned position embeddings, then `depth` pre-norm blocks (Vaswani et al., 2017, arXiv:1706.03762), each behind a
    convolution over five neighbouring tokens. Attention by learned positions takes long to find out which words stand side
    by side, and so that "red" belongs to "circle"; to a convolution it is plain (Gulati et al., 2020, arXiv:2005.08100, join
    the two in like manner).

    The pooled vector is a projection of the mean over the caption: every word then steers the picture from the first step of
    training, where [CLS] would have to learn to attend first. Projected and normalised, captions lie as far apart as what they
    say.

    Args:
        tokenizer: `tfgen.text.CaptionTokenizer`; it travels with the encoder and is saved with it.
        width: D of token embeddings and pooled vector.
        depth: number of blocks.
        num_heads: attention heads of a block; divides `width`.
        vocabulary_size: rows of the embedding; the tokenizer's own by default.

    Call arguments: token_ids int32 [B, T], padding_mask bool [B, T]. Returns a dict: `tokens` float32 [B, T, D], `mask`
    bool [B, T], `pooled` float32 [B, D].
    """

    def __init__(self, tokenizer, width=128, depth=2, num_heads=4, vocabulary_size=None, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size or tokenizer.vocabulary_size()
        self.width, self.depth, self.num_heads = width, depth, num_heads
        self.embedding = keras_nlp.layers.TokenAndPositionEmbedding(
            self.vocabulary_size, tokenizer.caption_length, width, name="embedding"
        )
        self.convolution_normalizations = [
            keras.layers.LayerNormalization(name=f"convolution_normalization_{index}") for index in range(depth)
        ]
        self.convolutions = [
            keras.layers.Conv1D(width, 5, padding="same", activation="gelu", name=f"convolution_{index}")
            for index in range(depth)
        ]
        self.blocks = [
            keras_nlp.layers.TransformerEncoder(
                4 * width, num_heads, activation="gelu", normalize_first=True, name=f"block_{index}"
            )
            for index in range(depth)
        ]
        self.normalization = keras.layers.LayerNormalization(name="normalization")
        self.pooled_projection = keras.layers.Dense(width, name="pooled_projection")
        self.pooled_normalization = keras.layers.LayerNormalization(name="pooled_normalization")
        self.build((None, tokenizer.caption_length))

    def build(self, input_shape):
        self.embedding.build(input_shape)
        for layer in (*self.convolution_normalizations, *self.convolutions, *self.blocks):
            layer.build((*input_shape, self.width))
        self.normalization.build((*input_shape, self.width))
        self.pooled_projection.build((None, self.width))
        self.pooled_normalization.build((None, self.width))
        self.built = True

    def call(self, token_ids, padding_mask):
        tokens = self.embedding(token_ids)
        weights = ops.cast(padding_mask, tokens.dtype)[:, :, None]
        layers = zip(self.convolution_normalizations, self.convolutions, self.blocks, strict=True)
        for normalization, convolution, block in layers:
            tokens = tokens + convolution(normalization(tokens) * weights)
            tokens = block(tokens, padding_mask=padding_mask)
        tokens = self.normalization(tokens)
        mean = ops.sum(tokens * weights, axis=1) / ops.sum(weights, axis=1)
        pooled = self.pooled_normalization(self.pooled_projection(mean))
        return {"tokens": tokens, "mask": ops.cast(padding_mask, "bool"), "pooled": pooled}

    def get_config(self):
        return {
            **super().get_config(),
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "vocabulary_size": self.vocabulary_size,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "tokenizer": keras.saving.deserialize_keras_object(config["tokenizer"])})

    def copy(self):
        """Another encoder with the same weights and the very same tokenizer."""
        settings = {name: getattr(self, name) for name in ("tokenizer", "width", "depth", "num_heads", "vocabulary_size")}
        copy = type(self)(**settings)
        copy.set_weights(self.get_weights())
        return copy
