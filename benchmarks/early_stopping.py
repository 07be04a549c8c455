"""A VAE on Fashion-MNIST that trains until its pictures get no better, not until its loss does.

    python benchmarks/early_stopping.py        # writes results/early_stopping.json and docs/pictures/early_stopping.png

After every epoch the Fréchet distance of 2,000 samples, by fashion-judge, is compared with the best so far; after PATIENCE
measurements without a new best training stops. The floor is what as many real pictures have in place of the samples.
"""

import tempfile

import keras
import numpy as np
import report
from matplotlib.figure import Figure

import tfgen
from tfgen import data, metrics
from tfgen.callbacks import Measure
from tfgen.models import VAE

NUM_IMAGES, MAX_EPOCHS, PATIENCE, BATCH_SIZE = 2000, 100, 4, 64

test = data.load("fashion_mnist", "test")
pictures = np.concatenate([batch["image"] for batch in test.batch(1000)])
floor_pictures, real = np.split(pictures, [NUM_IMAGES])
extractor = metrics.feature_extractor(tfgen.load_model("fashion-judge"), name="fashion-judge")
floor = metrics.FrechetDistance(extractor)
for start in range(0, len(real), 500):
    floor.update_state(real=real[start : start + 500])
for start in range(0, NUM_IMAGES, 500):
    floor.update_state(generated=floor_pictures[start : start + 500])

keras.utils.set_random_seed(0)
source = data.load("fashion_mnist", "train")
model = VAE(28, 1)
model.compile(keras.optimizers.Adam(1e-3))
with tempfile.TemporaryDirectory() as folder:
    measure = Measure(metrics.FrechetDistance(extractor), real, folder, num_images=NUM_IMAGES, every=1, patience=PATIENCE)
    history = model.fit(
        data.prepare(source, batch_size=BATCH_SIZE, training=True),
        steps_per_epoch=int(source.cardinality()) // BATCH_SIZE,
        epochs=MAX_EPOCHS,
        validation_data=data.prepare(test, batch_size=500),
        shuffle=False,
        verbose=2,
        callbacks=[measure],
    ).history

distances, losses = history["frechet_distance"], history["val_negative_elbo"]
figures = {
    "epochs": len(distances),
    "best_epoch": int(np.argmin(distances)) + 1,
    "frechet_distance": distances,
    "frechet_distance_floor": float(floor.result()),
    "held_out_negative_elbo": losses,
    "training_seconds": measure.training_seconds,
    "measuring_seconds": measure.measuring_seconds,
}
report.write("early_stopping", figures)

epochs = np.arange(len(distances)) + 1
figure = Figure(figsize=(8, 5), layout="constrained")
above, below = figure.subplots(2, sharex=True)
above.plot(epochs, distances, ".-")
above.plot(figures["best_epoch"], min(distances), "k*", markersize=12, label="the model that is kept")
above.set(title=f"Fréchet distance of samples, fashion-judge (of real pictures: {figures['frechet_distance_floor']:.1f})")
above.legend()
below.plot(epochs, losses, "C1.-")
below.set(title="negative ELBO of held-out pictures, nats", xlabel="epoch")
report.draw("early_stopping", figure)
