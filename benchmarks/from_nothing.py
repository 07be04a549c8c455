"""Text to image from nothing: how many prompts are drawn right after 8 and after 15 minutes of training?

    python benchmarks/from_nothing.py       # writes results/from_nothing.json

Scenes of one object, captions in English. All is learned in those minutes, reading too; a second row begins with the text
encoder that ships, pretrained on captions in both languages. Three seeds; each time is a run of its own, and counts everything
from the first picture's rendering to the finished folder. shapes-judge says how many of 512 pictures of "test" are right in all
that their prompts state. Aims: 85 % after 8 minutes, 95 % after 15. An interrupted benchmark goes on after its last complete
run; delete its results to begin anew.
"""

import functools
import json
import tempfile
import time

import numpy as np
import report

import tfgen
from tfgen import data
from tfgen.metrics import all_right
from tfgen.models.judge import judge_attributes
from tfgen.training import Settings, train

RESULTS = report.RESULTS / "from_nothing.json"
SEEDS, MINUTES, NUM_PROMPTS = (0, 1, 2), (8, 15), 512
# A little less than is allowed: the pace of a few steps tells the time of all only roughly.
CARE = 0.97
ARMS = {
    "from nothing": {},
    "pretrained text encoder": {"text": {"encoder": "preset", "normalizes": True, "trains_network": True}},
}


def settings_of(arm, seed):
    # Nobody looks at the samples of these runs: one step is enough for them.
    return Settings("diffusion", options={"num_objects": (1,)}, model={"steps": 1}, seed=seed, **ARMS[arm])


@functools.cache
def fixed_seconds(arm):
    """What a run takes besides its steps: scenes, tokenizer, trying the pace, tracing, samples, checkpoints."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train(settings_of(arm, 0), folder, minutes=0.01, verbose=0)  # 20 steps
    return time.perf_counter() - start


def known_runs():
    return json.loads(RESULTS.read_text())["figures"]["runs"] if RESULTS.exists() else {}


judge = tfgen.load_model("shapes-judge")
prompts, stated, real = data.shapes_prompts(NUM_PROMPTS, "test", "en", (1,), seed=41)
for seed in SEEDS:
    for arm in ARMS:
        for minutes in MINUTES:
            key = f"{arm}, {minutes} minutes, seed {seed}"
            if key in known_runs():
                continue
            allowed = CARE * minutes - fixed_seconds(arm) / 60
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                model = train(settings_of(arm, seed), folder, minutes=allowed, verbose=0)
            seconds = time.perf_counter() - start
            found = {"seconds": seconds, "within_the_time": seconds <= 60 * minutes, "cpu": report.cpu()}
            right = all_right(stated, judge_attributes(judge, model.generate(prompts, seed=1_000_000 * seed, steps=50)))
            found |= {"steps": int(model.optimizer.iterations.numpy()), "prompt_accuracy": float(right.mean())}
            report.write("from_nothing", {"runs": {**known_runs(), key: found}})
runs, figures = known_runs(), {}
for arm in ARMS:
    for minutes in MINUTES:
        found = [runs[f"{arm}, {minutes} minutes, seed {seed}"]["prompt_accuracy"] for seed in SEEDS]
        figures[f"{arm}, {minutes} minutes"] = {
            "mean": float(np.mean(found)),
            "standard_deviation": float(np.std(found, ddof=1)),
        }
floor = float(all_right(stated, judge_attributes(judge, real)).mean())
report.write("from_nothing", {"runs": runs, "prompt_accuracy": figures, "floor": floor})
