"""How wide should a VAE draw its latents? What ships on Fashion-MNIST, at several temperatures.

    python benchmarks/temperature.py        # writes results/temperature.json

5,000 pictures of one seed at each, against as many of the test split, by fashion-judge; those with text are asked for the
captions of the other half of it. Each model ships with about the lowest temperature whose coverage is within 0.01 of the best.
"""

import numpy as np
import report

import tfgen
from tfgen import data, metrics

TEMPERATURES = (1.0, 1.15, 1.3, 1.6, 2.0)

judge = tfgen.load_model("fashion-judge")
extractor = metrics.feature_extractor(judge, name="fashion-judge")
examples = list(data.load("fashion_mnist", "test", 28, "both").shuffle(10_000, seed=0).as_numpy_iterator())
asked, others = examples[:5000], examples[5000:]
captions, labels = [one["caption"].decode() for one in asked], np.array([one["label"] for one in asked])


def features(pictures):
    return metrics.predict_images(extractor, pictures)


real, figures = features(np.stack([one["image"] for one in others])), {}
for name in ("fashion-text-vae", "fashion-vae"):
    model = tfgen.load_model(name)
    figures[name] = {"ships": model.temperature, "at": {}}
    for temperature in TEMPERATURES:
        model.temperature = temperature
        drawn = model.generate(captions) if model.text_encoder else model.generate(num_images=len(asked))
        drawn_features = features(drawn)
        distance = metrics.FrechetDistance(extractor)
        distance.add_real(real)
        distance.add_generated(drawn_features)
        found = metrics.precision_recall(real, drawn_features)
        measured = {"frechet_distance": distance.result(), "recall": found.recall, "coverage": found.coverage}
        if model.text_encoder:
            seen = metrics.predict_images(judge, drawn)["label"]
            measured["class_right"] = np.mean(seen.argmax(axis=1) == labels)
        figures[name]["at"][temperature] = {metric: float(value) for metric, value in measured.items()}
report.write("temperature", figures)
