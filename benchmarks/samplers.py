"""How many steps does a picture need, by which sampler?

    python benchmarks/samplers.py       # writes results/samplers.json and docs/pictures/samplers.png

shapes-diffusion draws the same 512 prompts, half of them for one object and half for two, with the same seeds, in 1 to 50
steps of each sampler, in few with each spacing of their times, and in 1,000 of DDPM; shapes-judge says how many show all
that they should, and its features how far they are from as many real ones. An interrupted benchmark goes on after its
last complete run; delete its results to begin anew.
"""

import json
import math

import numpy as np
import report
from matplotlib.figure import Figure

import tfgen
from tfgen import data, metrics
from tfgen.diffusion.samplers import SAMPLERS, TIME_GRIDS
from tfgen.metrics import all_attributes_match
from tfgen.models import TextToImageDiffusion
from tfgen.models.judge import judge_attributes

RESULTS = report.RESULTS / "samplers.json"
NUM_PROMPTS, SEED, STEPS = 256, 21, (1, 2, 4, 8, 16, 32, 50)

WEIGHTS = report.weights("shapes-diffusion")
RUNS = [("uniform", sampler, steps) for sampler in SAMPLERS for steps in STEPS]
RUNS += [("uniform", "ddpm", 1000)]
RUNS += [
    (grid, sampler, steps) for grid in TIME_GRIDS if grid != "uniform" for sampler in ("ddim", "unipc") for steps in (4, 8, 16)
]


def with_grid(model, time_grid):
    """The same model with other times."""
    other = TextToImageDiffusion(**{**model.get_config(), "text_encoder": model.text_encoder, "time_grid": time_grid})
    other.set_weights(model.get_weights())
    return other


def known_runs():
    runs = json.loads(RESULTS.read_text())["figures"]["runs"] if RESULTS.exists() else {}
    return {key: run for key, run in runs.items() if run["weights"] == WEIGHTS}


model, judge = tfgen.load_model("shapes-diffusion"), tfgen.load_model("shapes-judge")
extractor = metrics.feature_extractor(judge, name="shapes-judge")
asked = [data.shapes_prompts(NUM_PROMPTS, "test", "en", (count,), SEED, model.image_size) for count in (1, 2)]
prompts = [*asked[0][0], *asked[1][0]]
real = np.concatenate([one[2] for one in asked])
others = np.concatenate([data.shapes_prompts(NUM_PROMPTS, "test", "en", (count,), SEED + 1)[2] for count in (1, 2)])


def distance(pictures):
    metric = metrics.FrechetDistance(extractor)
    metric.update_state(real=others)
    metric.update_state(generated=pictures)
    return float(metric.result())


models = {grid: with_grid(model, grid) for grid in TIME_GRIDS}
for grid, sampler, steps in RUNS:
    key = f"{sampler}, {steps} steps, {grid}"
    if key not in known_runs():
        pictures = models[grid].generate(prompts, seed=SEED, steps=steps, sampler=sampler)
        right = [
            all_attributes_match(stated, judge_attributes(judge, part)).mean()
            for (_, stated, _), part in zip(asked, np.split(pictures, 2), strict=True)
        ]
        found = {
            "network_calls": 2 * steps - 1 if sampler == "heun" else steps,
            "prompt_accuracy": float(np.mean(right)),
            "prompt_accuracy_one_object": float(right[0]),
            "prompt_accuracy_two_objects": float(right[1]),
            "standard_error": math.sqrt(sum(part * (1 - part) for part in right) / (4 * NUM_PROMPTS)),
            "frechet_distance": distance(pictures),
            "weights": WEIGHTS,
        }
        report.write("samplers", {"runs": {**known_runs(), key: found}})

runs, floor = known_runs(), distance(real)
figure = Figure(figsize=(10, 5), layout="constrained")
panels = figure.subplots(1, 2)
for index, sampler in enumerate(SAMPLERS):
    found = [runs[f"{sampler}, {steps} steps, uniform"] for steps in STEPS]
    calls = [one["network_calls"] for one in found]
    for axes, metric in zip(panels, ("prompt_accuracy", "frechet_distance"), strict=True):
        axes.plot(calls, [one[metric] for one in found], color=f"C{index}", marker="osDv^<>"[index], label=sampler)
panels[1].axhline(floor, color="grey", linewidth=0.8, linestyle=":")
panels[1].set_yscale("log")
for axes, label in zip(panels, ("prompt accuracy", "Fréchet distance (dotted: real pictures)"), strict=True):
    axes.set_xscale("log", base=2)
    axes.set(xlabel="calls of the network for a picture", ylabel=label, xticks=STEPS)
    axes.set_xticklabels(STEPS)
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SAMPLERS))
report.write("samplers", {"runs": runs, "frechet_distance_of_real_pictures": floor})
report.draw("samplers", figure)
