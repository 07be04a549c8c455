"""What is a pretrained language model worth? Prompt accuracy against training steps, by what reads the prompt.

    python benchmarks/pretraining.py       # writes results/pretraining.json and docs/pictures/pretraining.png

To draw takes far longer to learn than to read, and would hide the difference. Each run therefore begins with a U-Net that
draws, that of shapes-diffusion, and a text encoder that it has never met, and trains both as `tfgen train` does: the encoder
learns first which caption belongs to which picture, 400 steps of 128, then both learn to draw, 1,500 steps of 32. The two BERTs
are also tried without the matching, by the loss of drawing alone. Captions are of one object, half of them Chinese; prompts are
in the words and scenes of "test". An interrupted benchmark goes on after its last complete run; delete .cache/pretraining.json
to begin anew.
"""

import dataclasses
import json
import time
from pathlib import Path

import keras
import numpy as np
import report
from matplotlib.figure import Figure

import tfgen
from tfgen import data, text
from tfgen.data import captions
from tfgen.files import write_whole
from tfgen.metrics import all_right
from tfgen.models import TextToImageDiffusion
from tfgen.models.judge import judge_attributes
from tfgen.models.registry import find_preset
from tfgen.training import Settings, batches_for, compile_for, match_captions

ROOT = Path(__file__).parents[1]
RUNS = ROOT / ".cache" / "pretraining.json"
# Not 0, the seed of shapes-diffusion: from its random numbers matching leads to vectors like those that its U-Net knows, and
# little is left to learn.
SEEDS = (1, 2, 3)
MATCHING_STEPS, STEPS, EVERY, AIMS = 400, 1500, 250, (0.8, 0.9)
NUM_PROMPTS, SAMPLING_STEPS = 96, 8  # prompts of each language at each measurement
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
    "Transformer, from random weights": lambda: text.TransformerTextEncoder(
        text.build_tokenizer(CORPUS, 2000, SIZES["sequence_length"]), SIZES["width"]
    ),
}
UNMATCHED = tuple(ENCODERS)[:2]


class PromptAccuracyByStep(keras.callbacks.Callback):
    """Prompt accuracy after every epoch, and the seconds spent in training until then."""

    def __init__(self, judge):
        super().__init__()
        self.judge, self.curve, self.seconds = judge, [], 0.0
        english, chinese = (data.shapes_prompts(NUM_PROMPTS, "test", language, seed=1) for language in captions.LANGUAGES)
        self.prompts, self.stated = english[0] + chinese[0], np.concatenate([english[1], chinese[1]])

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.perf_counter() - self._start
        pictures = self.model.generate(self.prompts, steps=SAMPLING_STEPS)
        self.curve.append(float(all_right(self.stated, judge_attributes(self.judge, pictures)).mean()))


def run(build_encoder, matching_steps, seed, drawing, judge):
    keras.utils.set_random_seed(seed)
    settings = Settings("diffusion", language="both", steps=STEPS, seed=seed)
    model = TextToImageDiffusion(**{**drawing.get_config(), "text_encoder": build_encoder(), "ema_half_life": 2000})
    model.unet.set_weights(drawing.averaged_unet.get_weights())
    model.averaged_unet.set_weights(drawing.averaged_unet.get_weights())
    compile_for(model, settings)
    source = data.load("shapes", "train", model.image_size, "both", num_scenes=50_000, num_objects=(1,), seed=seed)
    accuracy = PromptAccuracyByStep(judge)
    if matching_steps:
        start = time.perf_counter()
        match_captions(model, dataclasses.replace(settings, steps=6 * matching_steps), source, 0)
        accuracy.seconds = time.perf_counter() - start
    model.fit(
        batches_for(model, settings, source, 0), steps_per_epoch=EVERY, epochs=STEPS // EVERY, shuffle=False, verbose=0,
        callbacks=[accuracy],
    )  # fmt: skip
    return {"prompt_accuracy": accuracy.curve, "seconds": accuracy.seconds}


def steps_to(aim, curve, matching_steps):
    """At which step, those of matching among them, the aim is reached, on a straight line between two measurements; None where
    it is not."""
    values = np.array([0.0, *curve])
    above = np.flatnonzero(values >= aim)
    if not len(above):
        return None
    last = above[0]
    return float(matching_steps + EVERY * (last - 1 + (aim - values[last - 1]) / (values[last] - values[last - 1])))


judge, drawing = tfgen.load_model("shapes-judge"), tfgen.load_model("shapes-diffusion")
runs = json.loads(RUNS.read_text()) if RUNS.exists() else {}
arms = [(MATCHING_STEPS, name) for name in ENCODERS] + [(0, name) for name in UNMATCHED]
for matching_steps, name in arms:
    for seed in SEEDS:
        key = f"{name}, {matching_steps} steps of matching, seed {seed}"
        if key not in runs:
            runs[key] = run(ENCODERS[name], matching_steps, seed, drawing, judge)
            print(key, runs[key], flush=True)
            write_whole(RUNS, json.dumps(runs).encode())

figures = []
figure = Figure(figsize=(10, 5), layout="constrained")
panels = dict(zip((MATCHING_STEPS, 0), figure.subplots(1, 2, sharey=True), strict=True))
for matching_steps, name in arms:
    of_seeds = [runs[f"{name}, {matching_steps} steps of matching, seed {seed}"] for seed in SEEDS]
    curves = np.array([found["prompt_accuracy"] for found in of_seeds])
    mean, spread = curves.mean(axis=0), curves.std(axis=0, ddof=1)
    steps = matching_steps + EVERY * (1 + np.arange(STEPS // EVERY))
    figures.append(
        {
            "encoder": name,
            "matching_steps": matching_steps,
            "steps": steps.tolist(),
            "prompt_accuracy": {"mean": mean.tolist(), "standard_deviation": spread.tolist()},
            **{f"steps_to_{aim:.0%}": [steps_to(aim, curve, matching_steps) for curve in curves] for aim in AIMS},
            "minutes": [found["seconds"] / 60 for found in of_seeds],
        }
    )
    color = f"C{list(ENCODERS).index(name)}"
    panels[matching_steps].plot(steps, mean, color=color, label=name)
    panels[matching_steps].fill_between(steps, mean - spread, mean + spread, color=color, alpha=0.2)
for matching_steps, axes in panels.items():
    axes.axhline(AIMS[-1], color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        title=f"{matching_steps} steps of matching first" if matching_steps else "no matching",
        xlabel="training steps",
        xlim=(0, MATCHING_STEPS + STEPS),
        ylim=(0, 1),
    )
panels[MATCHING_STEPS].set_ylabel("prompt accuracy, one object, both languages")
figure.legend(*panels[MATCHING_STEPS].get_legend_handles_labels(), loc="outside lower center", ncols=3)
report.write("pretraining", {"runs": figures})
report.draw("pretraining", figure)
