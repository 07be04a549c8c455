"""Encoders of token ids."""

import keras
import keras_nlp
from keras import ops


class TextEncoder(keras.Model):
    """Base of the encoders: token ids in; token embeddings, a mask and one vector for the whole caption out.

    Args:
        tokenizer: a callable from captions [B] to token ids int32 [B, T], 0 being padding; it travels with the encoder and is
            saved with it.
        width: D of token embeddings and pooled vector.

    Call arguments: token_ids int32 [B, T], padding_mask bool [B, T]. Returns a dict: `tokens` float32 [B, T, D], `mask`
    bool [B, T], `pooled` float32 [B, D].

    Class attribute `settings`: names of the constructor's further arguments, all kept as attributes.
    """

    settings = ()
    frozen_features = None  # a function of token ids and mask that never changes, which `prepare` may ask once a caption

    def __init__(self, tokenizer, width, **kwargs):
        super().__init__(**kwargs)
        self.tokenizer, self.width = tokenizer, width

    def encode(self, batch, dropped=None):
        """What the captions of a batch of `tfgen.data.prepare` become; where `dropped` bool [B] is true, the empty caption."""
        token_ids, features = batch["token_ids"], batch.get("text_features")
        if dropped is not None:
            empty_caption = self.tokenizer.empty_caption()[None]  # [1, T]
            token_ids = ops.where(dropped[:, None], empty_caption, token_ids)
            if features is not None:
                empty_features = self.features(empty_caption, empty_caption != 0)
                features = ops.where(dropped[:, None, None], empty_features, features)
        known = {} if features is None else {"features": features}
        return self(token_ids, token_ids != 0, **known)

    def get_config(self):
        settings = {name: getattr(self, name) for name in self.settings}
        tokenizer = keras.saving.serialize_keras_object(self.tokenizer)
        return {**super().get_config(), "tokenizer": tokenizer, "width": self.width, **settings}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "tokenizer": keras.saving.deserialize_keras_object(config["tokenizer"])})

    def copy(self):
        """Another encoder with the same weights and the very same tokenizer."""
        copy = type(self)(self.tokenizer, self.width, **{name: getattr(self, name) for name in self.settings})
        copy.set_weights(self.get_weights())
        return copy


def pooled_mean(tokens, padding_mask):
    """Mean [B, D] of the embeddings [B, T, D] of the tokens that are no padding."""
    weights = ops.cast(padding_mask, tokens.dtype)[:, :, None]
    return ops.sum(tokens * weights, axis=1) / ops.sum(weights, axis=1)


@keras.saving.register_keras_serializable("tfgen")
class TransformerTextEncoder(TextEncoder):
    """A small Transformer encoder, trained together with the image model that it steers.

    Token and learned position embeddings, then `depth` pre-norm blocks (Vaswani et al., 2017, arXiv:1706.03762), each behind a
    convolution over five neighbouring tokens. Attention by learned positions takes long to find out which words stand side
    by side, and so that "red" belongs to "circle"; to a convolution it is plain (Gulati et al., 2020, arXiv:2005.08100, join
    the two in like manner).

    The pooled vector is a projection of the mean over the caption: every word then steers the picture from the first step of
    training, where [CLS] would have to learn to attend first. Projected and normalised, captions lie as far apart as what they
    say.

    Args:
        tokenizer: `tfgen.text.CaptionTokenizer`.
        width: D of token embeddings and pooled vector.
        depth: number of blocks.
        num_heads: attention heads of a block; divides `width`.
        vocabulary_size: rows of the embedding; the tokenizer's own by default.

    Call arguments and result: see `TextEncoder`.
    """

    settings = ("depth", "num_heads", "vocabulary_size")

    def __init__(self, tokenizer, width=128, depth=2, num_heads=4, vocabulary_size=None, **kwargs):
        super().__init__(tokenizer, width, **kwargs)
        self.vocabulary_size = vocabulary_size or tokenizer.vocabulary_size()
        if num_heads < 1 or width % num_heads:
            raise ValueError(f"num_heads is {num_heads}; give a number that divides the width, {width}")
        self.depth, self.num_heads = depth, num_heads
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
        pooled = self.pooled_normalization(self.pooled_projection(pooled_mean(tokens, padding_mask)))
        return {"tokens": tokens, "mask": ops.cast(padding_mask, "bool"), "pooled": pooled}
