"""Whether the metrics agree with torch-fidelity on the same features.

    pip install torch-fidelity==0.4.0     # in an environment of its own, beside what requirements.txt lists
    python benchmarks/fidelity.py

Features and logits are those of mnist-judge: of held-out digits, and of digits that mnist-vae draws.
"""

import numpy as np
import report
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

import tfgen
from tfgen import data, metrics

NUM_IMAGES = 5000

judge = tfgen.load_model("mnist-judge")
extractor = metrics.feature_extractor(judge)
batch = next(iter(data.prepare(data.load("mnist", "test"), batch_size=NUM_IMAGES)))
sets = [
    metrics.to_float_images(images, (28, 28, 1))
    for images in (batch["image"], tfgen.load_model("mnist-vae").generate(num_images=NUM_IMAGES))
]
real, generated = (extractor.predict(images, batch_size=256, verbose=0).astype(np.float64) for images in sets)
logits = judge.predict(sets[1], batch_size=256, verbose=0)["label"].astype(np.float64)

theirs = {
    **fid_statistics_to_metric(*(fid_features_to_statistics(torch.tensor(x)) for x in (real, generated)), verbose=False),
    **kid_features_to_metric(
        torch.tensor(real), torch.tensor(generated), kid_subsets=1, kid_subset_size=NUM_IMAGES, verbose=False
    ),
    **isc_features_to_metric(torch.tensor(logits), splits=1),
}
exponentials = np.exp(logits)
ours = {
    "frechet_inception_distance": metrics.frechet_distance(
        real.mean(axis=0), np.cov(real.T), generated.mean(axis=0), np.cov(generated.T)
    ),
    "kernel_inception_distance_mean": metrics.kernel_distance(real, generated)[0],
    "inception_score_mean": metrics.inception_score(exponentials / exponentials.sum(axis=1, keepdims=True)),
}
figures = {
    name: {"tfgen": value, "torch_fidelity": theirs[name], "relative_difference": abs(value / theirs[name] - 1)}
    for name, value in ours.items()
}
report.write("fidelity", figures)
assert all(figure["relative_difference"] <= 1e-4 for figure in figures.values())
