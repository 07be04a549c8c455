"""Small real models of each family, and batches for them."""

import keras
import numpy as np
import pytest

from tfgen import data, text
from tfgen.data import captions
from tfgen.models import DCGAN, VAE, FewStepStudent, TextToImageDiffusion

IMAGE_SIZE = 16


@pytest.fixture(scope="session")
def tokenizer():
    return text.build_tokenizer(captions.vocabulary_corpus(), 1000, 24)


@pytest.fixture(scope="session")
def make_model(tokenizer):
    """A function from a family's name to a new, compiled, tiny model; the same weights each time."""

    def make(family, with_text=True, jit_compile=False, encoder=None, **settings):
        keras.utils.set_random_seed(0)
        if with_text and encoder is None:
            encoder = text.TransformerTextEncoder(tokenizer, width=16, depth=1, num_heads=2)
        shape = {"image_size": IMAGE_SIZE, "image_channels": 3}
        denoisers = {"diffusion": TextToImageDiffusion, "student": FewStepStudent}
        if family in denoisers:
            settings = {"channels": (16,), "num_heads": 2, "steps": 4, **settings}
            if family == "student":  # of a teacher that has learned nothing
                settings = {"keeps_teacher": True, **settings}
            model = denoisers[family](encoder, **shape, **settings)
        else:
            model = {"dcgan": DCGAN, "vae": VAE}[family](**shape, text_encoder=encoder, width=8, latent_size=6, **settings)
        model.compile("adam", jit_compile=jit_compile)
        return model

    return make


@pytest.fixture(scope="session")
def shake():
    """A function that gives a model other weights, sooner than training does: at first many are zero, and all pictures grey."""

    def shake(model):
        rng = np.random.default_rng(0)
        for weight in model.weights:
            added = rng.normal(0, 0.1, weight.shape)
            weight.assign_add(np.abs(added) if "variance" in weight.path else added)
        return model

    return shake


@pytest.fixture(scope="session")
def batches(tokenizer):
    return data.prepare(data.load("shapes", "train", IMAGE_SIZE, num_scenes=64, num_objects=(1,)), tokenizer, 8, training=True)
