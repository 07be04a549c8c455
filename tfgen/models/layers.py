"""Layers that more than one family uses."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfgen")
class SinusoidalEmbedding(keras.layers.Layer):
    """A number t in [0, 1], [B], as `width` sines and cosines of geometrically spaced frequencies, [B, width].

    As in Vaswani et al., 2017 (arXiv:1706.03762), section 3.5, for positions from 0 to 1,000.
    """

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def call(self, t):
        frequencies = ops.exp(-math.log(10_000.0) * ops.arange(self.width // 2, dtype="float32") / (self.width // 2))
        angles = 1000.0 * t[:, None] * frequencies[None]
        return ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("tfgen")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector to each pixel of [B, H, W, C]."""

    def build(self, input_shape):
        self.position = self.add_weight(
            name="position", shape=(1, *input_shape[1:]), initializer=keras.initializers.RandomNormal(0.02)
        )

    def call(self, x):
        return x + self.position


@keras.saving.register_keras_serializable("tfgen")
class ConditionedBlock(keras.layers.Layer):
    """A residual block of two 3x3 convolutions, scaled and shifted by a condition (FiLM; Perez et al., 2018,
    arXiv:1709.07871).

    Call arguments: x [B, H, W, C_in], condition [B, D]. Returns [B, H, W, channels].
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.normalization_1 = keras.layers.GroupNormalization(8, name="normalization_1")
        self.convolution_1 = keras.layers.Conv2D(channels, 3, padding="same", name="convolution_1")
        self.normalization_2 = keras.layers.GroupNormalization(8, center=False, scale=False, name="normalization_2")
        # Zero at first: an untrained block passes its input on.
        self.convolution_2 = keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", name="convolution_2")
        self.film = keras.layers.Dense(2 * channels, kernel_initializer="zeros", name="film")

    def build(self, x_shape, condition_shape):
        self.normalization_1.build(x_shape)
        self.convolution_1.build(x_shape)
        inner = (*x_shape[:-1], self.channels)
        self.normalization_2.build(inner)
        self.convolution_2.build(inner)
        self.film.build(condition_shape)
        self.shortcut = None
        if x_shape[-1] != self.channels:
            self.shortcut = keras.layers.Conv2D(self.channels, 1, name="shortcut")
            self.shortcut.build(x_shape)

    def call(self, x, condition):
        scale, shift = ops.split(self.film(condition)[:, None, None], 2, axis=-1)
        h = self.convolution_1(ops.silu(self.normalization_1(x)))
        h = self.convolution_2(ops.silu(self.normalization_2(h) * (1 + scale) + shift))
        return h + (x if self.shortcut is None else self.shortcut(x))

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("tfgen")
class PixelTextAttention(keras.layers.Layer):
    """Self- and cross-attention in one: each pixel attends to all pixels and to all text tokens at once.

    Keys and values of pixels and of tokens have projections of their own and share one softmax, so a pixel weighs
    words against its surroundings (the joint attention of Esser et al., 2024, arXiv:2403.03206, for pixels alone).

    Args:
        num_heads: heads; divides the number of channels.

    Call arguments: x [B, H, W, C], tokens [B, T, D], token_mask bool [B, T], return_attention_scores. Returns [B, H, W, C], and
    if asked how much each pixel looks at each token, mean over the heads, [B, H, W, T].
    """

    def __init__(self, num_heads=4, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, x_shape, tokens_shape):
        channels = x_shape[-1]
        self.normalization = keras.layers.GroupNormalization(8, name="normalization")
        self.query_key_value = keras.layers.Dense(3 * channels, name="query_key_value")
        self.text_key_value = keras.layers.Dense(2 * channels, name="text_key_value")
        self.output_projection = keras.layers.Dense(channels, kernel_initializer="zeros", name="output_projection")
        self.normalization.build(x_shape)
        self.query_key_value.build(x_shape)
        self.text_key_value.build(tokens_shape)
        self.output_projection.build(x_shape)

    def call(self, x, tokens, token_mask, return_attention_scores=False):
        _, height, width, channels = x.shape
        pixels = height * width
        head_width = channels // self.num_heads

        def heads(values, length):  # [B, L, C] -> [B, heads, L, C / heads]
            return ops.transpose(ops.reshape(values, (-1, length, self.num_heads, head_width)), (0, 2, 1, 3))

        query, key, value = ops.split(
            ops.reshape(self.query_key_value(self.normalization(x)), (-1, pixels, 3 * channels)), 3, axis=-1
        )
        text_key, text_value = ops.split(self.text_key_value(tokens), 2, axis=-1)
        length = pixels + tokens.shape[1]
        key, value = ops.concatenate([key, text_key], axis=1), ops.concatenate([value, text_value], axis=1)
        query, key, value = heads(query, pixels), heads(key, length), heads(value, length)
        logits = ops.matmul(query, ops.swapaxes(key, -1, -2)) / math.sqrt(head_width)  # [B, heads, pixels, length]
        hidden = ops.pad(ops.where(token_mask, 0.0, -1e9), ((0, 0), (pixels, 0)))
        attention_scores = ops.softmax(logits + hidden[:, None, None])
        mixed = ops.matmul(attention_scores, value)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, height, width, channels))
        x = x + self.output_projection(mixed)
        if not return_attention_scores:
            return x
        of_tokens = ops.mean(attention_scores[..., pixels:], axis=1)
        return x, ops.reshape(of_tokens, (-1, height, width, tokens.shape[1]))

    def get_config(self):
        return {**super().get_config(), "num_heads": self.num_heads}


def grids(image_size):
    """Sides of the feature grids between picture and code, halved down to 8 at most: 28 gives 28, 14, 7."""
    if image_size < 16:
        raise ValueError(f"image_size is {image_size}; choose one from 16 on")
    sides = [image_size]
    while sides[-1] > 8:
        if sides[-1] % 2:
            raise ValueError(f"image_size is {image_size}; choose a size that halves to 8 or less, such as 28, 32 or 64")
        sides.append(sides[-1] // 2)
    return sides


def picture_to_features(image, width, *, dense=False, num_blocks=0, wrap=lambda layer: layer):
    """A picture [B, H, W, C] as features [B, F], by convolutions of stride 2 that double the channels from `width`.

    Args:
        dense: two fully connected layers of 8 * width and 4 * width units in place of convolutions.
        num_blocks: residual blocks of two 3x3 convolutions on the coarsest grid; the features are then joined by the greatest
            of each channel, which say what there is, wherever it is.
        wrap: applied to each layer with weights, for spectral normalisation.
    """
    x = image
    if dense:
        x = keras.layers.Flatten()(x)
        for units in (8 * width, 4 * width):
            x = keras.layers.LeakyReLU(0.2)(wrap(keras.layers.Dense(units))(x))
        return x
    for level in range(len(grids(image.shape[1])) - 1):
        x = keras.layers.LeakyReLU(0.2)(wrap(keras.layers.Conv2D(width * 2**level, 4, 2, padding="same"))(x))
    for _ in range(num_blocks):
        h = wrap(keras.layers.Conv2D(x.shape[-1], 3, padding="same"))(x)
        h = wrap(keras.layers.Conv2D(x.shape[-1], 3, padding="same"))(keras.layers.LeakyReLU(0.2)(h))
        x = keras.layers.LeakyReLU(0.2)(x + h)
    everywhere = keras.layers.Flatten()(x)
    return keras.layers.Concatenate()([everywhere, keras.layers.GlobalMaxPooling2D()(x)]) if num_blocks else everywhere


def features_to_picture(features, image_size, image_channels, width, *, dense=False, num_blocks=0):
    """Features [B, F] as a picture [B, H, W, C] without a final activation: the mirror image of `picture_to_features`.

    Batch normalisation is synchronised, so that training on several devices is training on their common batch.

    Args:
        dense: as in `picture_to_features`.
        num_blocks: `ConditionedBlock`s, steered by the features, on the coarsest grid, whose pixels know where they are; finer
            grids but the last have one each, if any. What is drawn and where are then learned apart and multiplied; in one
            matrix each pair of them is learned for itself.

    Raises:
        ValueError: dense, and blocks; blocks of a width that is no multiple of 8.
    """

    def normalized(x):
        return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, synchronized=True)(x))

    if num_blocks and width % 8:
        raise ValueError(f"width is {width}; blocks need a multiple of 8")
    if dense and num_blocks:
        raise ValueError(f"num_blocks is {num_blocks}, but dense networks have no blocks; give one of the two")
    x = features
    if dense:
        for units in (4 * width, 8 * width):
            x = normalized(keras.layers.Dense(units, use_bias=False)(x))
        x = keras.layers.Dense(image_size * image_size * image_channels)(x)
        return keras.layers.Reshape((image_size, image_size, image_channels))(x)
    sides = grids(image_size)
    channels = [width * 2**level for level in reversed(range(len(sides) - 1))]
    x = keras.layers.Dense(sides[-1] ** 2 * channels[0], use_bias=False)(x)
    x = normalized(keras.layers.Reshape((sides[-1], sides[-1], channels[0]))(x))
    if num_blocks:
        x = PositionEmbedding()(x)
    for level, level_channels in enumerate(channels):
        if level:
            x = normalized(keras.layers.Conv2DTranspose(level_channels, 4, 2, padding="same", use_bias=False)(x))
        for _ in range(min(num_blocks, 1) if level else num_blocks):
            x = ConditionedBlock(level_channels)(x, features)
    return keras.layers.Conv2DTranspose(image_channels, 4, 2, padding="same")(x)
