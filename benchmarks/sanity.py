"""What each metric notices: real pictures, harmed in a known way, stand in for generated ones.

    python benchmarks/sanity.py        # writes results/sanity.json and docs/sanity.md

Held-out Fashion-MNIST against other held-out pictures, by fashion-judge, mean over choices of pictures. "real" is the floor; a
figure further from it than four standard errors of their difference is in bold.
"""

import math
from pathlib import Path

import numpy as np
import report
import tensorflow as tf

import tfgen
from tfgen import data, metrics

NUM_IMAGES, SEEDS, FEW = 2000, 20, 100

judge = tfgen.load_model("fashion-judge")
extractor = metrics.feature_extractor(judge)


def arrays(split):
    batches = list(data.load("fashion_mnist", split).batch(1000).as_numpy_iterator())
    return (np.concatenate([batch[name] for batch in batches]) for name in ("image", "label"))


def blurred(images, labels, rng):
    return tf.nn.avg_pool2d(images, 3, 1, "SAME").numpy()


def noisy(images, labels, rng):
    return np.clip(images + rng.normal(0, 0.2, images.shape), -1, 1)


def half_the_classes(images, labels, rng):
    return images[labels < 5]


def few_pictures(images, labels, rng):
    return images[rng.choice(FEW, len(images))]


def copies_of_training_pictures(images, labels, rng):
    return training[rng.choice(len(training), len(images), replace=False)]


def measured(real, images):
    distance = metrics.FrechetDistance(extractor)
    features = [extractor.predict(pictures, batch_size=256, verbose=0) for pictures in (real, images)]
    distance.add_real(features[0])
    distance.add_generated(features[1])
    score = metrics.InceptionScore(judge_logits)
    for start in range(0, len(images), 500):
        score.update_state(images[start : start + 500])
    return {
        "frechet_distance": float(distance.result()),
        "kernel_distance": metrics.kernel_distance(*features)[0],
        "inception_score": float(score.result()),
        **metrics.precision_recall(*features)._asdict(),
        "nearest_training_distance": metrics.nearest_neighbours(features[1][:500], training_features)[0].mean(),
    }


test, labels = arrays("test")
training, _ = arrays("train")
training_features = extractor.predict(training, batch_size=256, verbose=0)
judge_logits = tfgen.metrics.feature_extractor(judge, "label")
harms = {
    "real": lambda images, labels, rng: images, "blurred": blurred, "noisy": noisy, "half the classes": half_the_classes,
    f"{FEW} pictures again and again": few_pictures, "copies of training pictures": copies_of_training_pictures,
}  # fmt: skip
distances = {"frechet_distance", "kernel_distance"}
likeness, variety = {"precision", "density"}, {"recall", "coverage"}
should_notice = {
    "real": set(),
    "blurred": {*distances, *likeness, *variety, "inception_score", "nearest_training_distance"},
    "noisy": {*distances, *likeness, *variety, "inception_score", "nearest_training_distance"},
    "half the classes": {*distances, *variety, "inception_score", "nearest_training_distance"},
    f"{FEW} pictures again and again": {*distances, *variety, "inception_score"},
    "copies of training pictures": {"inception_score", "nearest_training_distance"},
}
figures = {}
for name, harm in harms.items():
    runs = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(test))
        first, second = order[:NUM_IMAGES], order[NUM_IMAGES : 3 * NUM_IMAGES]
        harmed = harm(test[second], labels[second], rng)[:NUM_IMAGES]
        runs.append(measured(test[first], harmed.astype(np.float32)))
    values = {metric: [run[metric] for run in runs] for metric in runs[0]}
    figures[name] = {
        metric: {"mean": np.mean(value), "standard_deviation": np.std(value, ddof=1)} for metric, value in values.items()
    }
report.write("sanity", figures)

lines = [
    f"| | {' | '.join(name.replace('_', ' ') for name in figures['real'])} |",
    "| --- |" + " ---: |" * len(figures["real"]),
]
noticed = {}
for name, row in figures.items():
    errors = {
        metric: math.hypot(value["standard_deviation"], figures["real"][metric]["standard_deviation"]) / SEEDS**0.5
        for metric, value in row.items()
    }
    noticed[name] = {
        metric for metric, value in row.items() if abs(value["mean"] - figures["real"][metric]["mean"]) > 4 * errors[metric]
    }
    cells = [f"**{value['mean']:.3g}**" if metric in noticed[name] else f"{value['mean']:.3g}" for metric, value in row.items()]
    lines.append(f"| {name} | {' | '.join(cells)} |")
table = "\n".join(lines)
(Path(__file__).parents[1] / "docs" / "sanity.md").write_text(
    f"""# What each metric notices

{__doc__.split(chr(10) * 2)[2].strip()}

{table}

- The Fréchet and the kernel distance notice everything but copies: they do not say what is wrong.
- Precision and density ask whether each picture is like a real one, recall and coverage whether all kinds are there. Where
  classes are missing or few pictures come again and again, only the latter two fall.
- Copies of training pictures pass for perfect by all of these. What tells them is the distance to the nearest training
  picture, far under that of real pictures which were held out. A little under says nothing by itself: pictures of the classes
  left in "half the classes" have closer neighbours than the others.
- The Inception Score is higher for copies because the classifier learned from these very pictures, and is surer of them.

Made by `python benchmarks/sanity.py`, which also checks that exactly those metrics notice that should.
"""
)
assert noticed == should_notice, {name: noticed[name] ^ should_notice[name] for name in noticed}
