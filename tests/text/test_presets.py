"""keras-nlp's backbones as text encoders: tiny ones, saved as presets."""

import io
import subprocess
import sys

import keras
import keras_nlp
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from tfgen import data, export, text
from tfgen.data import captions
from tfgen.models import VAE

CAPTIONS = ["a red circle above a blue ring", "a large blue star", "red", "一个红色的圆"]
SMALL = {"num_layers": 1, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
CHARACTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]


def bert():
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "circle", "above", "blue", "ring", "large", "star"]
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    return keras_nlp.models.BertBackbone(len(vocabulary), max_sequence_length=16, **SMALL), tokenizer


def gpt2():
    vocabulary = {token: index for index, token in enumerate([*CHARACTERS, "Ġ", "Ġa", "<|endoftext|>"])}
    tokenizer = keras_nlp.models.GPT2Tokenizer(vocabulary, ["Ġ a"])
    return keras_nlp.models.GPT2Backbone(len(vocabulary), max_sequence_length=16, **SMALL), tokenizer


def t5():
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CAPTIONS * 10), model_writer=proto, vocab_size=28, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>", minloglevel=2,
    )  # fmt: skip
    tokenizer = keras_nlp.models.T5Tokenizer(proto=proto.getvalue())
    return keras_nlp.models.T5Backbone(tokenizer.vocabulary_size(), **SMALL), tokenizer


def clip():
    tokens = [*CHARACTERS, *(f"{letter}</w>" for letter in CHARACTERS), "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = keras_nlp.models.CLIPTokenizer(vocabulary, ["r e", "re d</w>"])
    text_encoder = keras_nlp.models.CLIPTextEncoder(len(vocabulary), 16, max_sequence_length=16, **SMALL)
    vision_encoder = keras_nlp.models.CLIPVisionEncoder(patch_size=8, image_shape=(16, 16, 3), **SMALL)
    return keras_nlp.models.CLIPBackbone(vision_encoder, text_encoder, 16), tokenizer


def save(preset, folder):
    for part in preset:
        part.save_to_preset(str(folder))
    return folder


@pytest.mark.parametrize(("make", "trains_network"), [(bert, False), (bert, True), (gpt2, False), (t5, True), (clip, False)])
def test_each_kind_of_backbone_reads_captions(make, trains_network, tmp_path):
    keras.utils.set_random_seed(0)
    pooling = {"bert": "cls", "gpt2": "last", "t5": "mean", "clip": "last"}[make.__name__]
    encoder = text.load_preset_encoder(
        save(make(), tmp_path / "preset"), width=12, sequence_length=16, pooling=pooling, trains_network=trains_network
    )
    token_ids = encoder.tokenizer(CAPTIONS[:3])
    assert np.array_equal(token_ids, tf.function(encoder.tokenizer)(tf.constant(CAPTIONS[:3])))
    assert np.array_equal(encoder.tokenizer([""])[0], encoder.tokenizer.empty_caption())
    features = encoder(token_ids, token_ids != 0)
    assert features["tokens"].shape == (3, 16, 12)
    assert features["pooled"].shape == (3, 12)
    assert np.abs(features["pooled"][0] - features["pooled"][1]).max() > 1e-4
    filled = tf.where(token_ids == 0, 5, token_ids)  # what stands in the padding is not seen
    assert np.allclose(encoder(filled, token_ids != 0)["pooled"], features["pooled"], atol=1e-5)
    assert len(encoder.trainable_weights) > 6 if trains_network else len(encoder.trainable_weights) == 8
    copy = encoder.copy()
    assert (copy.network is encoder.network) is not trains_network
    assert np.allclose(copy(token_ids, token_ids != 0)["pooled"], features["pooled"], atol=1e-6)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert np.array_equal(loaded.tokenizer(CAPTIONS), encoder.tokenizer(CAPTIONS))
    assert np.allclose(loaded(token_ids, token_ids != 0)["pooled"], features["pooled"], atol=1e-6)


def test_a_preset_saved_in_another_process_loads_by_its_path(tmp_path):
    code = (
        "import sys, keras, keras_nlp\n"
        "keras.utils.set_random_seed(1)\n"
        "tokenizer = keras_nlp.models.BertTokenizer(vocabulary=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'red', '红'])\n"
        "backbone = keras_nlp.models.BertBackbone(7, 1, 2, 16, 32, max_sequence_length=16)\n"
        "backbone.save_to_preset(sys.argv[1]); tokenizer.save_to_preset(sys.argv[1])\n"
        "import numpy as np\n"
        "ids = np.array([[2, 5, 6, 3]])\n"
        "inputs = {'token_ids': ids, 'padding_mask': ids * 0 + 1, 'segment_ids': ids * 0}\n"
        "np.save(sys.argv[1] + '/expected.npy', backbone(inputs)['sequence_output'])\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    encoder = text.load_preset_encoder(tmp_path, sequence_length=8)
    token_ids = encoder.tokenizer(["red 红"])
    assert token_ids.numpy().tolist() == [[3, 6, 7, 4, 0, 0, 0, 0]]
    features = encoder.features(token_ids, token_ids != 0)
    assert np.allclose(features[:, :4], np.load(tmp_path / "expected.npy"), atol=1e-5)


def test_what_is_no_text_preset_is_refused_in_one_line(tmp_path):
    picture = keras_nlp.models.ResNetBackbone([64], [7], [64], [1], [1], block_type="basic_block", image_shape=(16, 16, 3))
    picture.save_to_preset(str(tmp_path / "picture"))
    small, (backbone, tokenizer) = tmp_path / "small", bert()
    keras_nlp.models.BertBackbone(5, max_sequence_length=16, **SMALL).save_to_preset(str(small))
    tokenizer.save_to_preset(str(small))
    cut = save((backbone, tokenizer), tmp_path / "cut")
    (cut / "model.weights.h5").write_bytes((cut / "model.weights.h5").read_bytes()[:100])
    for preset, reason in (
        (tmp_path / "picture", "ResNetBackbone reads no text"),
        (small, "the tokenizer has 13 tokens and the weights 5"),
        (cut, "no text preset"),
        (tmp_path / "missing", "no text preset.*saved_models/bilingual-bert ships"),
    ):
        with pytest.raises(ValueError, match=reason) as error:
            text.load_preset_encoder(preset)
        assert "\n" not in str(error.value)
    good = save(bert(), tmp_path / "good")
    with pytest.raises(ValueError, match="unknown pooling"):
        text.load_preset_encoder(good, sequence_length=16, pooling="max")
    with pytest.raises(ValueError, match=r"sequence_length is 17, and .*good reads 16 tokens; give at most as many"):
        text.load_preset_encoder(good, sequence_length=17)


@pytest.mark.parametrize("make", [gpt2, t5, clip])
def test_tokenizers_that_cannot_be_served_are_refused(make, tmp_path):
    encoder = text.load_preset_encoder(save(make(), tmp_path / "preset"), width=12, sequence_length=16)
    with pytest.raises(ValueError, match="train with a preset of BERT"):
        export.export(VAE(16, 3, encoder, width=4), tmp_path / "served")
    assert not (tmp_path / "served").exists()


def test_words_beyond_the_captions_are_named_and_long_prompts_cut(tmp_path):
    encoder = text.load_preset_encoder(save(bert(), tmp_path), CAPTIONS, sequence_length=8)
    assert encoder.tokenizer.unknown_words(["a red giraffe 红"]) == ["giraffe"]
    assert encoder.tokenizer.is_cut(["red " * 7, "red " * 6]).numpy().tolist() == [True, False]


def test_frozen_features_are_computed_once_and_equal_those_of_the_encoder(tmp_path):
    encoder = text.load_preset_encoder(save(bert(), tmp_path), width=12, sequence_length=16)
    source = data.load("shapes", "train", 16, num_scenes=12, num_objects=(1,))
    asked = tf.Variable(0)

    def features(token_ids, padding_mask):
        asked.assign_add(1)
        return encoder.frozen_features(token_ids, padding_mask)

    batches = data.prepare(source, encoder.tokenizer, 4, training=True, text_features=features)
    for batch in batches.take(9):  # three passes
        without = {name: value for name, value in batch.items() if name != "text_features"}
        dropped = np.array([True, False, False, True])
        for one, other in zip(encoder.encode(batch, dropped).values(), encoder.encode(without, dropped).values(), strict=True):
            assert np.allclose(one, other, atol=1e-2)  # kept in 16 bits
    assert int(asked) == 1


def test_a_bert_learns_the_grammar_of_captions_and_is_read_as_a_preset(tmp_path):
    grammar = captions.vocabulary_corpus()[::4]
    settings = {"vocabulary_size": 600, "width": 32, "depth": 1, "num_heads": 2, "verbose": 0}
    untrained = text.pretrain_bert(grammar, tmp_path / "untrained", steps=1, **settings)
    accuracy = text.pretrain_bert(grammar, tmp_path / "bert", steps=150, learning_rate=3e-3, **settings)
    assert accuracy > untrained + 0.1
    encoder = text.load_preset_encoder(tmp_path / "bert", grammar, width=16, sequence_length=36, normalizes=True)
    token_ids = encoder.tokenizer(["紅色的圓", "红色的圆", "RÉD circle", "red circle"]).numpy()
    assert np.array_equal(token_ids[0], token_ids[1])
    assert np.array_equal(token_ids[2], token_ids[3])
    unknown = encoder.tokenizer.tokenizer.token_to_id("[UNK]") + 1
    assert not (encoder.tokenizer(grammar[:50]) == unknown).numpy().any()


def test_a_bert_is_not_pretrained_on_next_to_nothing(tmp_path):
    with pytest.raises(ValueError, match="give at least 10"):
        text.pretrain_bert(["a star", "a ring"], tmp_path / "bert", steps=1)
    assert not (tmp_path / "bert").exists()
