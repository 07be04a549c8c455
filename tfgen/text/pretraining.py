"""A small BERT of one's own, pretrained on captions (Devlin et al., 2019, arXiv:1810.04805)."""

import tempfile
from pathlib import Path

import keras
import keras_nlp
import numpy as np
import tensorflow as tf

from tfgen.text.normalization import normalize
from tfgen.text.tokenizer import word_pieces

_HELD_OUT = 1000  # captions


def pretrain_bert(
    captions, folder, *, vocabulary_size=3000, sequence_length=36, width=128, depth=2, num_heads=4, steps=8_000, batch_size=64,
    learning_rate=1e-3, seed=0, verbose="auto",
):  # fmt: skip
    """Pretrain a `keras_nlp.models.BertBackbone` as a masked language model, and save it as a preset of keras-nlp.

    It is shown captions in which one token in five is hidden, or exchanged for another, and learns to say which it was. No
    picture is needed, and the captions of several data sets and languages may be mixed.

    Args:
        captions: strings, English, Chinese or both; what comes several times is learned as many times.
        folder: where to write; `tfgen.text.load_preset_encoder(folder, normalizes=True)` reads it.
        vocabulary_size: the most word pieces.
        sequence_length: most tokens of a caption, [CLS] and [SEP] counted in.
        width, depth, num_heads: of the Transformer.
        steps, batch_size, learning_rate: of training; the rate rises at first and then falls along a cosine.
        seed: of weights, order and masks; Python's, NumPy's and Keras's global generators are set by it.
        verbose: as in `keras.Model.fit`.

    Returns:
        The fraction of the hidden tokens of held-out captions that it guesses right.

    Raises:
        ValueError: fewer than 10 different captions.
    """
    keras.utils.set_random_seed(seed)
    captions = normalize(tf.constant(list(captions), tf.string)).numpy()
    distinct = np.random.default_rng(seed).permutation(np.unique(captions))
    if len(distinct) < 10:
        raise ValueError(f"{len(distinct)} different captions are too few to learn words from; give at least 10")
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)  # a place that cannot be written is found before the long work
    held_out = set(distinct[: min(_HELD_OUT, len(distinct) // 10)])
    training = [caption for caption in captions if caption not in held_out]
    reserved = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = word_pieces(captions, vocabulary_size, reserved)
    tokenizer = keras_nlp.models.BertTokenizer(vocabulary=vocabulary, lowercase=True)
    backbone = keras_nlp.models.BertBackbone(
        vocabulary_size=len(vocabulary), num_layers=depth, num_heads=num_heads, hidden_dim=width, intermediate_dim=4 * width,
        dropout=0.0, max_sequence_length=sequence_length, num_segments=1,
    )  # fmt: skip
    backbone.get_layer("pooled_dense").trainable = False  # no hidden token depends on it
    masked = keras_nlp.models.BertMaskedLMPreprocessor(
        tokenizer, sequence_length=sequence_length, mask_selection_rate=0.2, mask_selection_length=sequence_length // 4
    )
    model = keras_nlp.models.BertMaskedLM(backbone)
    warmup_steps = min(500, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=learning_rate, warmup_steps=warmup_steps
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    examples = tf.data.Dataset.from_tensor_slices(training).shuffle(len(training), seed=seed).repeat()
    batches = examples.batch(batch_size).map(masked, num_parallel_calls=2).prefetch(4)
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=verbose)
    test = tf.data.Dataset.from_tensor_slices(sorted(held_out)).batch(batch_size).map(masked)
    accuracy = model.evaluate(test, verbose=0, return_dict=True)["accuracy"]
    with tempfile.TemporaryDirectory(dir=folder) as partial:  # what is in place is complete
        for part in (backbone, tokenizer):
            part.save_to_preset(partial)
        for file in [file for file in Path(partial).rglob("*") if file.is_file()]:
            place = folder / file.relative_to(partial)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    return accuracy
