"""A trained model as a SavedModel, as TensorFlow Serving takes it: a prompt goes in, PNG bytes come out.

Every input has the batch as its first dimension, seeds are inputs, nothing is XLA-compiled, and the only operations beyond
TensorFlow's own are those of tensorflow_text, which a stock model server links.
"""

import os
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfgen import text
from tfgen.data.pipeline import resize
from tfgen.models.diffusion import TextToImageDiffusion
from tfgen.models.image_model import to_uint8
from tfgen.models.student import STEPS, FewStepStudent
from tfgen.models.vae import VAE


def export(model, folder):
    """Write a SavedModel to FOLDER/VERSION, VERSION counted up from 1.

    Signatures, inputs [B]:
        serving_default: `prompt` string and `seed` int64 (`seed` alone without text) to `image_bytes` string, PNG.
        images: the same inputs to `images` uint8 [B, H, W, C].
        generate_STEPS, of a diffusion model, and for each number of steps of a student: `prompt`, `negative_prompt`, `seed`,
            `guidance_scale` float32 to `image_bytes`.
        encode, of a VAE: `image_bytes`, a PNG or JPEG of any size, to `latents` float32 [B, L]. Transparency is laid on white,
            as in training; how a camera was turned (EXIF) is not known to TensorFlow.
        decode, of a VAE: `latents` to `image_bytes`. Both take `prompt` besides where there is text.

    Weights that lose nothing by it, such as those of a model.keras, are stored in half precision; it computes in float32.

    Args:
        model: a tfgen model; its averaged weights are exported.
        folder: a model server's base path.

    Returns:
        The folder written.

    Raises:
        ValueError: the tokenizer cannot be exported; the disk is full.
    """
    tokenizer = model.text_encoder and model.text_encoder.tokenizer
    if isinstance(tokenizer, text.PresetTokenizer) and not tokenizer.is_word_piece:
        raise ValueError(
            "keras-nlp's tokenizers other than WordPiece do not go into a SavedModel; train with a preset of BERT or "
            "DistilBERT, or with another text encoder"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    version = 1 + max((int(item.name) for item in folder.iterdir() if item.name.isdigit()), default=0)
    partial = folder / f".{version}.{os.getpid()}.partial"
    with np.errstate(over="ignore"):  # of weights beyond half precision, which are then unequal
        fits = all(np.array_equal(weight, weight.astype(np.float16)) for weight in model.averaged_model().get_weights())
    if fits:
        model = _stored_in_half(model)
    archive = keras.export.ExportArchive()
    # Variables are found by the functions that use them; with the model tracked besides, Keras would save them twice.
    for name, function, signature in _signatures(model):
        archive.add_endpoint(name, function, input_signature=signature)
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")  # a kernel would show where the unfinished folder lies
    try:
        archive.write_out(partial, verbose=False)
        partial.rename(folder / str(version))
    except tf.errors.OpError as error:  # what TensorFlow makes of a full disk
        raise ValueError(f"cannot write {folder}: {error.message}") from None
    finally:
        logger.setLevel(level)
        shutil.rmtree(partial, ignore_errors=True)
    return folder / str(version)


class _HalfStored(keras.DTypePolicy):
    """Layers that keep their weights in 16 bits and compute in 32."""

    @property
    def variable_dtype(self):
        return "float16"


def _stored_in_half(model):
    known = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_HalfStored("float32"))
    try:
        return model.averaged_model()
    finally:
        keras.config.set_dtype_policy(known)


def _signatures(model):
    """(name, function, input signature) of each."""
    prompt, seed = tf.TensorSpec([None], tf.string, "prompt"), tf.TensorSpec([None], tf.int64, "seed")
    settings = model.sampling_settings(None, None, None, None)

    def draw(seed, prompt=None, negative_prompt=None, **changed):
        token_ids = None if prompt is None else model.tokenize(prompt)
        negative_prompt = tf.zeros_like(seed, tf.string) if negative_prompt is None else negative_prompt
        return to_uint8(model.sample(seed, token_ids, model.tokenize(negative_prompt), **{**settings, **changed}))

    if model.text_encoder is None:
        yield "serving_default", lambda seed: _png(draw(seed)), [seed]
        yield "images", lambda seed: {"images": draw(seed)}, [seed]
    else:
        yield "serving_default", lambda prompt, seed: _png(draw(seed, prompt)), [prompt, seed]
        yield "images", lambda prompt, seed: {"images": draw(seed, prompt)}, [prompt, seed]
    if isinstance(model, TextToImageDiffusion):
        negative_prompt = tf.TensorSpec([None], tf.string, "negative_prompt")
        guidance_scale = tf.TensorSpec([None], tf.float32, "guidance_scale")

        def in_steps(steps):
            def generate(prompt, negative_prompt, seed, guidance_scale):
                return _png(draw(seed, prompt, negative_prompt, guidance_scale=guidance_scale, steps=steps))

            return generate

        for steps in STEPS if isinstance(model, FewStepStudent) else (model.steps,):
            yield f"generate_{steps}", in_steps(steps), [prompt, negative_prompt, seed, guidance_scale]
    if isinstance(model, VAE):
        with_text = [] if model.text_encoder is None else [prompt]

        def read(image_bytes):
            image = tf.cast(tf.io.decode_image(image_bytes, expand_animations=False), tf.float32)
            channels = tf.shape(image)[-1]
            colors, has_alpha = (channels - 1) // 2 * 2 + 1, channels % 2 == 0  # grey, grey and alpha, RGB, RGBA
            opacity = tf.where(has_alpha, image[..., -1:] / 255, 1.0)
            image = image[..., :colors] * opacity + 255 * (1 - opacity)
            if model.image_channels == 1:
                image = tf.cond(colors == 3, lambda: tf.image.rgb_to_grayscale(image[..., -3:]), lambda: image)
            else:
                image = tf.broadcast_to(image, [*tf.unstack(tf.shape(image)[:2]), model.image_channels])
            return tf.ensure_shape(resize(image / 127.5 - 1, model.image_size), model.image_shape)

        def encode(image_bytes, prompt=None):
            pictures = tf.map_fn(read, image_bytes, fn_output_signature=tf.TensorSpec(model.image_shape, tf.float32))
            return {"latents": model.averaged_encoder({"image": pictures, **model.pooled_text(model.tokenize(prompt))})["mean"]}

        def decode(latents, prompt=None):
            return _png(to_uint8(model.draw(latents, model.pooled_text(model.tokenize(prompt)))))

        yield "encode", encode, [tf.TensorSpec([None], tf.string, "image_bytes"), *with_text]
        yield "decode", decode, [tf.TensorSpec([None, model.latent_size], tf.float32, "latents"), *with_text]


def _png(images):
    return {"image_bytes": tf.map_fn(tf.io.encode_png, images, fn_output_signature=tf.TensorSpec([], tf.string))}
