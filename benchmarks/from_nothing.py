"""Text to image from nothing: how many prompts are drawn right after 8 and after 15 minutes of training?

    python benchmarks/from_nothing.py       # writes results/from_nothing.json

Scenes of one object, captions in English; settings in from_nothing.toml. All is learned in those minutes, reading too; a second
row begins with the text encoder that ships, pretrained on captions in both languages. Three seeds; each time is a run of its
own, and counts everything from the first picture's rendering to the finished folder; one that took longer than is allowed says
so. shapes-judge says how many of 512 pictures of "test" are right in all that their prompts state. Aims: 85 % after
8 minutes, 95 % after 15. An interrupted benchmark goes on after its last complete run; delete its results to begin anew. What a
run learns is a matter of its steps, so it may go on on another processor; how long they take is not, so each run names its own.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import report

import tfgen
from tfgen import data
from tfgen.metrics import all_attributes_match
from tfgen.models.judge import judge_attributes
from tfgen.training import read_settings, train

RESULTS = report.RESULTS / "from_nothing.json"
RECIPE = read_settings(Path(__file__).with_suffix(".toml"))
SEEDS, NUM_PROMPTS = (0, 1, 2), 512
# Minutes allowed, and the steps that they should hold on two cores with AVX-512.
STEPS = {
    "from nothing": {8: 2500, 15: 4900},
    "pretrained text encoder": {8: 1800, 15: 3500},
}
PRETRAINED = {"encoder": "preset", "normalizes": True, "trains_network": True}


def settings_of(arm, steps, seed):
    """The recipe's, forgetting as much of the weights over the whole run however long it is (Wang and Aitchison, 2024,
    arXiv:2405.13698)."""
    text = RECIPE.text if arm == "from nothing" else PRETRAINED
    weight_decay = RECIPE.weight_decay * 2400 / steps
    return dataclasses.replace(RECIPE, text=text, steps=steps, weight_decay=weight_decay, seed=seed)


def known_runs():
    return json.loads(RESULTS.read_text())["figures"]["runs"] if RESULTS.exists() else {}


judge = tfgen.load_model("shapes-judge")
prompts, stated, real = data.shapes_prompts(NUM_PROMPTS, "test", "en", (1,), seed=41)
for arm in STEPS:
    for seed in SEEDS:
        for minutes, steps in STEPS[arm].items():
            key = f"{arm}, {minutes} minutes, seed {seed}"
            if key in known_runs():
                continue
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                model = train(settings_of(arm, steps, seed), folder, verbose=0)
            seconds = time.perf_counter() - start
            found = {"seconds": seconds, "within_the_time": seconds <= 60 * minutes, "cpu": report.cpu(), "steps": steps}
            right = all_attributes_match(stated, judge_attributes(judge, model.generate(prompts, seed=1_000_000 * seed)))
            found["prompt_accuracy"] = float(right.mean())
            report.write("from_nothing", {"runs": {**known_runs(), key: found}})
runs, figures = known_runs(), {}
for arm in STEPS:
    for minutes in STEPS[arm]:
        found = [runs[f"{arm}, {minutes} minutes, seed {seed}"]["prompt_accuracy"] for seed in SEEDS]
        figures[f"{arm}, {minutes} minutes"] = {
            "mean": float(np.mean(found)),
            "standard_deviation": float(np.std(found, ddof=1)),
        }
floor = float(all_attributes_match(stated, judge_attributes(judge, real)).mean())
report.write("from_nothing", {"runs": runs, "prompt_accuracy": figures, "floor": floor})
