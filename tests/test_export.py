"""SavedModels, asked in a process that has only TensorFlow and tensorflow_text."""

import io
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfgen import plotting, text
from tfgen.data import captions
from tfgen.export import export
from tfgen.models import DCGAN, VAE, TextToImageDiffusion, load_model
from tfgen.models.registry import DEFAULT_MODEL, find_model

pytestmark = pytest.mark.filterwarnings("ignore::tfgen.models.image_model.PromptWarning")  # of the balloon
PROMPTS = ["a large red circle", "一个大红圆", "", "a blue ring on white", "🎈"]

ASK = """
import json, sys
import numpy as np, tensorflow as tf, tensorflow_text
assert not {"keras_nlp", "keras_hub", "tfgen"} & set(sys.modules)
signatures = tf.saved_model.load(sys.argv[1]).signatures
assert sorted(signatures) == sorted(json.loads(sys.argv[2])), sorted(signatures)
prompts, seeds = json.loads(sys.argv[3]), list(range(10, 15))
inputs = {"seed": tf.constant(seeds, tf.int64)} | ({"prompt": tf.constant(prompts)} if prompts else {})
pngs = signatures["serving_default"](**inputs)["image_bytes"].numpy()
together = np.stack([tf.io.decode_png(png).numpy() for png in pngs])
assert np.array_equal(together, signatures["images"](**inputs)["images"])
for index in range(5):
    alone = signatures["serving_default"](**{name: value[index : index + 1] for name, value in inputs.items()})
    difference = tf.io.decode_png(alone["image_bytes"][0]).numpy().astype(int) - together[index]
    assert np.abs(difference).max() <= 1, np.abs(difference).max()
np.save(sys.argv[4], together)
"""


def ask(saved_model, signatures, prompts, tmp_path):
    arguments = [saved_model, json.dumps(signatures), json.dumps(prompts), tmp_path / "images.npy"]
    subprocess.run([sys.executable, "-c", ASK, *arguments], check=True)
    return np.load(tmp_path / "images.npy")


def encoder():
    return text.TransformerTextEncoder(
        text.build_tokenizer(captions.vocabulary_corpus(), 500, 24), width=16, depth=1, num_heads=2
    )


def test_a_text_to_image_model_answers_as_it_generates(tmp_path):
    model = TextToImageDiffusion(encoder(), image_size=16, channels=(16,), num_heads=2, steps=3)
    saved_model = export(model, tmp_path / "served")
    assert saved_model == tmp_path / "served" / "1"
    images = ask(saved_model, ["serving_default", "images", "generate_3"], PROMPTS, tmp_path)
    assert np.abs(images.astype(int) - model.generate(PROMPTS, seed=10)).max() <= 1
    generate = tf.saved_model.load(saved_model).signatures["generate_3"]
    png = generate(
        prompt=tf.constant(["a red ring", "a star"]), negative_prompt=tf.constant(["blue", ""]),
        seed=tf.constant([4, 5], tf.int64), guidance_scale=tf.constant([1.0, 7.0]),
    )["image_bytes"].numpy()  # fmt: skip
    expected = model.generate("a red ring", seed=4, guidance_scale=1.0, negative_prompts="blue")
    assert np.abs(tf.io.decode_png(png[0]).numpy().astype(int) - expected[0]).max() <= 1
    expected = model.generate("a star", seed=5, guidance_scale=7.0)
    assert np.abs(tf.io.decode_png(png[1]).numpy().astype(int) - expected[0]).max() <= 1
    assert export(model, tmp_path / "served").name == "2"
    assert {item.name for item in (tmp_path / "served").iterdir()} == {"1", "2"}


def test_weights_of_half_precision_are_exported_so(tmp_path):
    model = TextToImageDiffusion(encoder(), image_size=16, channels=(16,), num_heads=2, steps=3)

    def exported(name):
        folder = export(model, tmp_path / name)
        images = ask(folder, ["serving_default", "images", "generate_3"], PROMPTS, tmp_path)
        assert np.abs(images.astype(int) - model.generate(PROMPTS, seed=10)).max() <= 1
        return sum(file.stat().st_size for file in folder.glob("variables/*"))

    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    whole = exported("whole")
    model.set_weights([weight.astype(np.float16) for weight in model.get_weights()])
    assert exported("half") < 0.6 * whole
    assert keras.config.dtype_policy().name == "float32"


def test_the_saved_model_that_ships_is_the_model_that_ships(tmp_path):
    images = ask(
        find_model(DEFAULT_MODEL) / "1",
        ["serving_default", "images", *(f"generate_{steps}" for steps in (1, 2, 4))],
        PROMPTS,
        tmp_path,
    )
    assert np.abs(images.astype(int) - load_model().generate(PROMPTS, seed=10)).max() <= 1


def with_transparent_half(picture):
    """PNG bytes of a picture whose right half cannot be seen, and the picture as it looks on white."""
    opacity = np.full((*picture.shape[:2], 1), 255, np.uint8)
    opacity[:, 8:] = 0
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([picture, opacity], axis=-1)).save(buffer, "png")
    return buffer.getvalue(), np.where(opacity, picture, 255).astype(np.uint8)


@pytest.mark.parametrize("with_text", [False, True])
def test_a_gan_answers_as_it_generates(with_text, tmp_path):
    model = DCGAN(16, 3, encoder() if with_text else None, width=8, latent_size=8)
    prompts = PROMPTS if with_text else None
    images = ask(export(model, tmp_path / "served"), ["serving_default", "images"], prompts, tmp_path)
    assert np.abs(images.astype(int) - model.generate(prompts, num_images=1 if with_text else 5, seed=10)).max() <= 1


def test_a_vae_encodes_any_picture_and_decodes_its_latents(tmp_path):
    model = VAE(16, 1, width=8, latent_size=5)
    saved_model = export(model, tmp_path / "served")
    images = ask(saved_model, ["serving_default", "images", "encode", "decode"], None, tmp_path)
    assert np.abs(images.astype(int) - model.generate(num_images=5, seed=10)).max() <= 1
    signatures = tf.saved_model.load(saved_model).signatures
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1)).astype(np.uint8)
    pngs = tf.constant([plotting.png_bytes(pictures[0]), plotting.png_bytes(np.repeat(pictures[1], 3, axis=-1), scale=2)])
    latents = signatures["encode"](image_bytes=pngs)["latents"].numpy()
    assert np.allclose(latents[0], model.encode(pictures[:1]), atol=1e-4)
    grey, on_white = with_transparent_half(pictures[0])
    assert np.allclose(signatures["encode"](image_bytes=tf.constant([grey]))["latents"], model.encode([on_white]), atol=1e-4)
    decoded = signatures["decode"](latents=tf.constant(latents))["image_bytes"].numpy()
    assert np.abs(tf.io.decode_png(decoded[0]).numpy().astype(int) - model.decode(latents)[0]).max() <= 1


def test_a_vae_with_text_takes_a_prompt_to_encode_and_decode(tmp_path):
    model = VAE(16, 3, encoder(), width=8, latent_size=5)
    signatures = tf.saved_model.load(export(model, tmp_path / "served")).signatures
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    prompt = tf.constant(["a red ring", "一个大红圆"])
    pngs = [plotting.png_bytes(picture) for picture in pictures]
    pngs[1], pictures[1] = with_transparent_half(pictures[1])
    pngs = tf.constant(pngs)
    latents = signatures["encode"](image_bytes=pngs, prompt=prompt)["latents"].numpy()
    assert np.allclose(latents, model.encode(pictures, ["a red ring", "一个大红圆"]), atol=1e-4)
    decoded = signatures["decode"](latents=tf.constant(latents), prompt=prompt)["image_bytes"].numpy()
    expected = model.decode(latents, ["a red ring", "一个大红圆"])
    assert np.abs(np.stack([tf.io.decode_png(png) for png in decoded]).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "settings", [{"sampler": "ddpm"}, {"sampler": "unipc", "time_grid": "log_snr", "guidance_interval": (0.2, 0.9)}]
)
def test_every_way_of_sampling_answers_as_it_generates(settings, tmp_path):
    model = TextToImageDiffusion(encoder(), image_size=16, channels=(16,), num_heads=2, steps=3, **settings)
    served = tf.saved_model.load(export(model, tmp_path / "served")).signatures["images"]
    images = served(prompt=tf.constant(PROMPTS), seed=tf.range(10, 15, dtype=tf.int64))["images"].numpy()
    assert np.abs(images.astype(int) - model.generate(PROMPTS, seed=10)).max() <= 1
