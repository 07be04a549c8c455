"""How many captioned scenes a second are sampled, described and drawn at 32x32, captions in both languages.

    python benchmarks/scenes.py

Aim: at least 10,000 on two cores.
"""

import time

import report

from tfgen import data

NUM_SCENES, RUNS = 50_000, 5


def scenes_per_second(seed):
    start = time.perf_counter()
    for _ in data.load("shapes", language="both", num_scenes=NUM_SCENES, seed=seed).batch(1000):
        pass
    return NUM_SCENES / (time.perf_counter() - start)


scenes_per_second(0)  # traces
report.write("scenes", {"scenes_per_second": report.summary([scenes_per_second(seed) for seed in range(1, RUNS + 1)])})
