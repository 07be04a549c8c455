"""How right the judge that ships is on held-out renderings: every attribute of a scene at once.

    python benchmarks/judge.py

Aims: 99.5 % of scenes with one object, 99 % with two.
"""

import numpy as np
import report

import tfgen
from tfgen.data import shapes
from tfgen.metrics.prompt_accuracy import all_right
from tfgen.models.judge import judge_attributes

NUM_SCENES, SEEDS = 4000, (1, 2, 3)

judge = tfgen.load_model("shapes-judge")
figures = {}
for split in ("test", "unseen"):
    for num_objects in (1, 2):
        right = []
        for seed in SEEDS:
            scenes = shapes.sample_scenes(NUM_SCENES, [999, seed], split, num_objects=(num_objects,))
            truth = scenes.attributes()
            if num_objects == 2:  # their relation is judged, not their places
                truth[:, [name.startswith("place") for name in shapes.ATTRIBUTES]] = -1
            images = np.round((shapes.render(scenes).numpy() + 1) * 127.5).astype(np.uint8)
            right.append(all_right(truth, judge_attributes(judge, images)).mean())
        name = f"{split}_{'one_object' if num_objects == 1 else 'two_objects'}"
        figures[name] = {"mean": float(np.mean(right)), "standard_deviation": float(np.std(right))}
report.write("judge", figures)
