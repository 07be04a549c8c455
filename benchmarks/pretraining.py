"""What is a pretrained language model worth? Prompt accuracy against training steps, by what reads the prompt.

    python benchmarks/pretraining.py       # writes results/pretraining.json and docs/pictures/pretraining.png
    python benchmarks/pretraining.py 1     # only the runs of seed 1; two such at once use two cores best

To draw takes far longer to learn than to read, and would hide the difference. Each run therefore begins with a U-Net that
draws, that of shapes-diffusion, and a text encoder that it has never met, and trains both as `tfgen train` does: the encoder
learns first which caption belongs to which picture, 400 steps of 128, then both learn to draw, 1,500 steps of 32. Captions are
of one object, half of them Chinese; prompts are in the words and scenes of "test". An interrupted benchmark goes on after its
last complete run; delete its results to begin anew.

Why it comes out as it does is seen before any picture: attributes are read from the mean of what each BERT makes of a caption's
tokens, by a linear map fitted to 4,000 captions, in 1,000 others.
"""

import dataclasses
import json
import sys

import keras
import numpy as np
import report
from matplotlib.figure import Figure

import tfgen
from tfgen import data, text
from tfgen.data import captions, shapes
from tfgen.metrics import all_attributes_match
from tfgen.models import TextToImageDiffusion
from tfgen.models.judge import judge_attributes
from tfgen.models.registry import find_preset
from tfgen.text.encoders import pooled_mean
from tfgen.training import Settings, batches_for, compile_for, match_captions

RESULTS = report.RESULTS / "pretraining.json"
# Not 0, the seed of shapes-diffusion: from its random numbers matching leads to vectors like those that its U-Net knows, and
# little is left to learn.
SEEDS = (1, 2, 3)
MATCHING_STEPS, STEPS, EVERY, AIMS = 400, 1500, 250, (0.8, 0.9)
NUM_PROMPTS, SAMPLING_STEPS = 96, 8  # prompts of each language at each measurement
PROBED, NUM_FITTED, NUM_READ = ("background", "color_1", "shape_1", "size_1", "place_1"), 4000, 1000
CORPUS, SIZES = captions.vocabulary_corpus(), {"width": 128, "sequence_length": 36}


def bert(trains_network, pretrained=True):
    encoder = text.load_preset_encoder(
        find_preset("bilingual-bert"), CORPUS, normalizes=True, trains_network=trains_network, **SIZES
    )
    if pretrained:
        return encoder
    settings = {name: getattr(encoder, name) for name in encoder.settings}
    return text.PresetTextEncoder(encoder.tokenizer, encoder.width, **settings)


ENCODERS = {
    "BERT, pretrained, fine-tuned": lambda: bert(trains_network=True),
    "BERT, from random weights": lambda: bert(trains_network=True, pretrained=False),
    "BERT, pretrained, frozen": lambda: bert(trains_network=False),
    "word vectors of the captions": lambda: text.build_word_vector_encoder(CORPUS, **SIZES),
}
PROBED_ENCODERS = tuple(ENCODERS)[:2]


class PromptAccuracyByStep(keras.callbacks.Callback):
    """Prompt accuracy after every epoch."""

    def __init__(self, judge):
        super().__init__()
        self.judge, self.curve = judge, []
        english, chinese = (data.shapes_prompts(NUM_PROMPTS, "test", language, seed=1) for language in captions.LANGUAGES)
        self.prompts, self.stated = english[0] + chinese[0], np.concatenate([english[1], chinese[1]])

    def on_epoch_end(self, epoch, logs=None):
        pictures = self.model.generate(self.prompts, steps=SAMPLING_STEPS)
        self.curve.append(float(all_attributes_match(self.stated, judge_attributes(self.judge, pictures)).mean()))


def run(build_encoder, seed, drawing, judge):
    keras.utils.set_random_seed(seed)
    settings = Settings("diffusion", language="both", steps=STEPS, seed=seed)
    model = TextToImageDiffusion(**{**drawing.get_config(), "text_encoder": build_encoder(), "ema_half_life": 2000})
    model.unet.set_weights(drawing.averaged_unet.get_weights())
    model.averaged_unet.set_weights(drawing.averaged_unet.get_weights())
    compile_for(model, settings)
    source = data.load("shapes", "train", model.image_size, "both", num_scenes=50_000, num_objects=(1,), seed=seed)
    accuracy = PromptAccuracyByStep(judge)
    match_captions(model, dataclasses.replace(settings, steps=6 * MATCHING_STEPS), source, 0)
    model.fit(
        batches_for(model, settings, source, 0), steps_per_epoch=EVERY, epochs=STEPS // EVERY, shuffle=False, verbose=0,
        callbacks=[accuracy],
    )  # fmt: skip
    return accuracy.curve


def steps_to(aim, curve):
    """At which step, those of matching among them, the aim is reached, on a straight line between two measurements; None where
    it is not."""
    values = np.array([0.0, *curve])
    above = np.flatnonzero(values >= aim)
    if not len(above):
        return None
    last = above[0]
    return float(MATCHING_STEPS + EVERY * (last - 1 + (aim - values[last - 1]) / (values[last] - values[last - 1])))


def attributes_read(encoder, seed):
    """The part of captions of which a linear map reads each attribute right that they state."""
    token_vectors, stated = [], []
    for language in captions.LANGUAGES:
        scenes = shapes.sample_scenes((NUM_FITTED + NUM_READ) // 2, seed, num_objects=(1,))
        texts, of_captions = captions.describe(scenes, language, seed)
        token_ids = encoder.tokenizer(texts)
        mask = token_ids != 0
        token_vectors.append(pooled_mean(encoder.features(token_ids, mask), mask).numpy())
        stated.append(of_captions)
    vectors, stated = np.concatenate(token_vectors), np.concatenate(stated)
    vectors = np.concatenate([vectors / vectors.std(), np.ones((len(vectors), 1))], axis=1)
    fitted = np.random.default_rng(seed).permutation(len(vectors)) < NUM_FITTED
    found = {}
    for name in PROBED:
        classes = stated[:, shapes.ATTRIBUTES.index(name)]
        fit, read = fitted & (classes >= 0), ~fitted & (classes >= 0)
        regularised = vectors[fit].T @ vectors[fit] + 0.01 * np.eye(vectors.shape[1])
        weights = np.linalg.solve(regularised, vectors[fit].T @ np.eye(1 + classes.max())[classes[fit]])
        found[name] = float(np.mean((vectors[read] @ weights).argmax(axis=1) == classes[read]))
    return found


def over_seeds(values):
    return {"mean": np.mean(values, axis=0).tolist(), "standard_deviation": np.std(values, axis=0, ddof=1).tolist()}


def known_runs():
    return json.loads(RESULTS.read_text())["figures"]["runs"] if RESULTS.exists() else {}


judge, drawing = tfgen.load_model("shapes-judge"), tfgen.load_model("shapes-diffusion")
for seed in map(int, sys.argv[1:] or SEEDS):
    for name in ENCODERS:
        key = f"{name}, seed {seed}"
        if key not in known_runs():
            found = run(ENCODERS[name], seed, drawing, judge)
            report.write("pretraining", {"runs": {**known_runs(), key: found}})
runs = known_runs()
if len(runs) < len(ENCODERS) * len(SEEDS):
    sys.exit(f"{len(runs)} of {len(ENCODERS) * len(SEEDS)} runs are done; the plot is drawn when all are")

figure = Figure(figsize=(10, 5), layout="constrained")
learning, reading = figure.subplots(1, 2, width_ratios=(3, 2), sharey=True)
steps, arms, read = MATCHING_STEPS + EVERY * (1 + np.arange(STEPS // EVERY)), {}, {}
for index, name in enumerate(ENCODERS):
    curves = np.array([runs[f"{name}, seed {seed}"] for seed in SEEDS])
    arms[name] = {
        "steps": steps.tolist(),
        "prompt_accuracy": over_seeds(curves),
        **{f"steps_to_{aim:.0%}": [steps_to(aim, curve) for curve in curves] for aim in AIMS},
    }
    mean, spread = curves.mean(axis=0), curves.std(axis=0, ddof=1)
    learning.plot(steps, mean, color=f"C{index}", marker="osDv"[index], label=name)
    learning.fill_between(steps, mean - spread, mean + spread, color=f"C{index}", alpha=0.2)
for index, name in enumerate(PROBED_ENCODERS):
    found = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        found.append(list(attributes_read(ENCODERS[name](), seed).values()))
    read[name] = {"attributes": PROBED, **over_seeds(found)}
    mean, spread = read[name]["mean"], read[name]["standard_deviation"]
    places = np.arange(len(PROBED)) + 0.4 * index - 0.2
    reading.bar(places, mean, 0.4, yerr=spread, color=f"C{index}", hatch=("", "//")[index], capsize=3)
learning.axhline(AIMS[-1], color="grey", linewidth=0.8, linestyle=":")
learning.set(xlabel="training steps", xlim=(0, MATCHING_STEPS + STEPS), ylim=(0, 1), ylabel="prompt accuracy, one object")
reading.set(ylabel="read from a caption before training", xticks=range(len(PROBED)))
reading.set_xticklabels([name.removesuffix("_1") for name in PROBED], fontsize="small")
figure.legend(*learning.get_legend_handles_labels(), loc="outside lower center", ncols=2)
report.write("pretraining", {"runs": runs, "arms": arms, "attributes_read_before_training": read})
report.draw("pretraining", figure)
