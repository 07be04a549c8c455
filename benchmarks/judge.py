"""How right the judges that ship are: of every attribute of a held-out rendering at once, of the class of a test picture.

    python benchmarks/judge.py

Aims: 99.5 % of scenes with one object, 99 % with two.
"""

import numpy as np
import report

import tfgen
from tfgen import data
from tfgen.data import shapes
from tfgen.metrics.prompt_accuracy import all_attributes_match
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
            right.append(all_attributes_match(truth, judge_attributes(judge, images)).mean())
        name = f"{split}_{'one_object' if num_objects == 1 else 'two_objects'}"
        figures[name] = {"mean": float(np.mean(right)), "standard_deviation": float(np.std(right, ddof=1))}
for name, source in (("mnist-judge", "mnist"), ("fashion-judge", "fashion_mnist")):
    judge, right = tfgen.load_model(name), []
    for batch in data.load(source, "test").batch(500).as_numpy_iterator():
        right.extend(judge.predict_on_batch(batch["image"])["label"].argmax(axis=-1) == batch["label"])
    figures[name] = {"mean": float(np.mean(right)), "standard_error": float(np.std(right) / len(right) ** 0.5)}
report.write("judge", figures)
