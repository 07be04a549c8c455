"""The U-Net of the diffusion model (Ronneberger et al., 2015, arXiv:1505.04597), made for two CPU cores.

A patch stem takes the picture to a grid on which matrix products are large enough to run at the processor's limit; time
and the pooled text steer every block by FiLM, the words by attention behind the last blocks at the coarsest grid, where a plan
of the picture, made straight from the pooled text, says from the first steps on what goes where.
"""

import keras
from keras import layers

from tfgen.models.layers import ConditionedBlock, PixelTextAttention, PositionEmbedding, SinusoidalEmbedding


def unet(
    image_size, image_channels, text_length, text_width, *, patch_size, channels, num_blocks, num_heads, path_conditioned=False
):  # fmt: skip
    """Build the network.

    Args:
        image_size: width and height; a multiple of patch_size * 2 ** (len(channels) - 1).
        image_channels: 1 or 3.
        text_length, text_width: T and D of the token embeddings.
        patch_size: side of the patches that the stem makes one vector each.
        channels: width of each level, from the finest grid to the coarsest, each half the size of the one before.
        num_blocks: residual blocks of a level, on the way down and on the way up.
        num_heads: attention heads, behind the last block at the coarsest grid, each way; where that is the only one, on the way
            down alone: behind the last block of all no layers are left to use what the words say.
        path_conditioned: whether how closely to follow the prompt is an input, `guidance_scale` [B] (Meng et al., 2023,
            arXiv:2210.03142, section 3.1), and in how many steps to draw, `num_steps` [B].

    Returns:
        A `keras.Model` from a dict of `x` [B, H, W, C], `t` [B], `tokens` [B, T, D], `mask` bool [B, T] and `pooled`
        [B, D] to a prediction [B, H, W, C].

    Raises:
        ValueError: image_size is no such multiple.
    """
    factor = patch_size * 2 ** (len(channels) - 1)
    if image_size % factor:
        raise ValueError(f"image_size {image_size} is not a multiple of {factor}, which patch_size and channels ask for")
    x_in = keras.Input((image_size, image_size, image_channels), name="x")
    t = keras.Input((), name="t")
    tokens = keras.Input((text_length, text_width), name="tokens")
    mask = keras.Input((text_length,), name="mask", dtype="bool")
    pooled = keras.Input((text_width,), name="pooled")

    width = 2 * channels[-1]
    time = layers.Dense(width, activation="silu", name="time")(SinusoidalEmbedding(128, name="time_sinusoids")(t))
    text = layers.Dense(width, name="text")(pooled)
    conditioning, inputs = layers.Dense(width, name="time_output")(time) + text, {}
    if path_conditioned:
        scale, num_steps = (inputs.setdefault(name, keras.Input((), name=name)) for name in ("guidance_scale", "num_steps"))
        for name, value in (("guidance", scale / 10), ("num_steps", 1 / num_steps)):
            sinusoids = SinusoidalEmbedding(128, name=f"{name}_sinusoids")(value)
            # Zero at first: a network that reads neither, whose weights it may begin with.
            conditioning = conditioning + layers.Dense(width, kernel_initializer="zeros", name=f"{name}_output")(sinusoids)
    condition = layers.Activation("silu", name="condition")(conditioning)

    def blocks(x, level, way):
        for i in range(num_blocks):
            x = ConditionedBlock(channels[level], name=f"{way}_{level}_{i}_block")(x, condition)
        if level == len(channels) - 1 and (way == "down" or level):
            x = PixelTextAttention(num_heads, name=f"{way}_{level}_{num_blocks - 1}_attention")(x, tokens, mask)
        return x

    x = layers.Conv2D(channels[0], patch_size, patch_size, name="stem")(x_in)
    x = PositionEmbedding(name="position")(x)
    side = image_size // factor
    plan = layers.Reshape((side, side, 32))(layers.Dense(side * side * 32, name="plan")(pooled))
    plan = layers.Conv2D(channels[-1], 1, name="plan_output")(plan)
    skips = []
    for level in range(len(channels)):
        if level:
            x = layers.Conv2D(channels[level], 2, 2, name=f"down_{level}")(x)
        if level == len(channels) - 1:
            x = x + plan
        x = blocks(x, level, "down")
        skips.append(x)
    for level in reversed(range(len(channels))):
        if level < len(channels) - 1:
            x = layers.Conv2DTranspose(channels[level], 2, 2, name=f"up_{level}")(x)
            x = layers.Concatenate(name=f"skip_{level}")([x, skips[level]])
        x = blocks(x, level, "up")
    x = layers.Activation("silu")(layers.GroupNormalization(8, name="output_normalization")(x))
    x = layers.Conv2DTranspose(image_channels, patch_size, patch_size, name="output")(x)
    inputs |= {"x": x_in, "t": t, "tokens": tokens, "mask": mask, "pooled": pooled}
    return keras.Model(inputs, x, name="unet")
