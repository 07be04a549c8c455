"""Every encoder drives every family."""

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from tfgen import data, export, text, training
from tfgen.data import captions
from tfgen.models.registry import find_preset

PROMPTS = ["a large red circle", "一个大红圆", "", "蓝色的圆环"]


@pytest.fixture(scope="module")
def corpus():
    return captions.vocabulary_corpus()[::10]


@pytest.fixture(scope="module")
def encoders(tokenizer, corpus, tmp_path_factory):
    """A small encoder of each kind, made anew at each call."""
    preset = str(tmp_path_factory.mktemp("preset"))
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({*tokenizer.get_vocabulary()[4:]})]
    bert = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 32}
    keras_nlp.models.BertBackbone(len(vocabulary), **bert).save_to_preset(preset)
    keras_nlp.models.BertTokenizer(vocabulary=vocabulary, lowercase=True).save_to_preset(preset)
    return {
        "transformer": lambda: text.TransformerTextEncoder(tokenizer, width=16, depth=1, num_heads=2),
        "word_vectors": lambda: text.build_word_vector_encoder(corpus, vector_size=12, width=16),
        "preset": lambda: text.load_preset_encoder(preset, corpus, width=16),
    }


@pytest.mark.parametrize("family", ["dcgan", "vae", "diffusion"])
@pytest.mark.parametrize("kind", ["transformer", "word_vectors", "preset"])
def test_each_encoder_steers_each_family(kind, family, encoders, make_model, tmp_path):
    model = make_model(family, encoder=encoders[kind]())
    source = data.load("shapes", "train", 16, num_scenes=64, num_objects=(1,), language="both")
    before = [weights.copy() for weights in model.text_encoder.get_weights()]
    encoder = model.text_encoder
    batches = data.prepare(source, encoder.tokenizer, 8, training=True, text_features=encoder.frozen_features)
    history = model.fit(batches, steps_per_epoch=6, shuffle=False, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    learned = [not np.array_equal(old, new) for old, new in zip(before, model.text_encoder.get_weights(), strict=True)]
    assert any(learned)
    images = model.generate(PROMPTS, seed=[3] * len(PROMPTS))
    assert np.abs(images[0].astype(int) - images[3]).max() > 0  # another prompt, another picture
    if family == "dcgan":
        model.averaged_model().save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert np.array_equal(loaded.generate(PROMPTS, seed=[3] * len(PROMPTS)), images)
        export.export(loaded, tmp_path / "served")
        served = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures["images"]
        answer = served(prompt=tf.constant(PROMPTS), seed=tf.constant([3] * 4, tf.int64))["images"]
        assert np.abs(answer.numpy().astype(int) - images).max() <= 1


def test_the_preset_that_ships_reads_both_languages():
    folder = find_preset("bilingual-bert")
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 6e6
    chosen = {"encoder": "preset", "normalizes": True, "sequence_length": 36}
    settings = training.Settings("diffusion", image_size=16, language="both", text=chosen, model={"channels": [16, 16]})
    encoder = training.build(settings, data.load("shapes", "train", 16)).text_encoder
    prompts = captions.vocabulary_corpus()[::20]
    token_ids = encoder.tokenizer(prompts)
    unknown = encoder.tokenizer.tokenizer.token_to_id("[UNK]") + 1
    assert not (token_ids == unknown).numpy().any()
    assert not encoder.network.trainable_weights
