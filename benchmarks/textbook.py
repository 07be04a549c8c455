"""How long does tfgen's recipe take to where the textbook's comes in its own time?

    python benchmarks/textbook.py vae        # writes results/textbook_vae.json
    python benchmarks/textbook.py dcgan      # writes results/textbook_dcgan.json

The textbook's networks and settings are those of TensorFlow's DCGAN tutorial (tensorflow.org/tutorials/generative/dcgan) and of
the VAE example of keras.io (keras.io/examples/generative/vae), written anew. By turns, for each of three seeds: the textbook's
recipe, then tfgen's in a fifth of the time that it took. Seconds are those of the whole training, tracing and checkpoints
counted in.

A VAE of MNIST with two latents is measured by its negative ELBO of the test split, in nats, after the textbook's 30 epochs; a
DCGAN of Fashion-MNIST by the Fréchet distance of 10,000 pictures to the test split, by fashion-judge, after 16 minutes, and the
floor is what as many training pictures have to it. Both recipes have the same kernels.
The VAE learns from the training split alone, where the example takes the test split too. An interrupted benchmark goes on after
what it has finished, on the same processor; delete its results to begin anew.
"""

import functools
import json
import sys
import tempfile
import time

import tfgen  # before TensorFlow, whose kernels it chooses

# isort: split
import keras
import numpy as np
import report
import tensorflow as tf
from keras import layers

from tfgen import data, metrics
from tfgen.training import Settings, train

SEEDS = (0, 1, 2)
DCGAN_MINUTES, VAE_EPOCHS = 16, 30
PART, OURS = 5, "tfgen, a fifth of the time"
# Less than is allowed: the pace of a few steps tells the time of all only roughly.
CARE = 0.9
RECIPES = {
    "dcgan": {"data": "fashion_mnist", "batch_size": 64},
    # Four checkpoints, however many the passes over the data: a pass takes seconds.
    "vae": {"data": "mnist", "batch_size": 64, "steps_per_epoch": 10**9, "model": {"latent_size": 2, "dense": True}},
}


class TextbookDCGAN(keras.Model):
    """The generator doubles 7x7 twice, the discriminator halves twice; two Adams of 1e-4."""

    latent_size = 100

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((self.latent_size,)), layers.Dense(7 * 7 * 256, use_bias=False)])
        self.generator.add(layers.BatchNormalization())
        self.generator.add(layers.LeakyReLU(0.3))
        self.generator.add(layers.Reshape((7, 7, 256)))
        for channels, stride in ((128, 1), (64, 2)):
            self.generator.add(layers.Conv2DTranspose(channels, 5, stride, padding="same", use_bias=False))
            self.generator.add(layers.BatchNormalization())
            self.generator.add(layers.LeakyReLU(0.3))
        self.generator.add(layers.Conv2DTranspose(1, 5, 2, padding="same", use_bias=False, activation="tanh"))
        self.discriminator = keras.Sequential([keras.Input((28, 28, 1))])
        for channels in (64, 128):
            self.discriminator.add(layers.Conv2D(channels, 5, 2, padding="same"))
            self.discriminator.add(layers.LeakyReLU(0.3))
            self.discriminator.add(layers.Dropout(0.3))
        self.discriminator.add(layers.Flatten())
        self.discriminator.add(layers.Dense(1))
        self.built = True

    def compile(self):
        super().compile(keras.optimizers.Adam(1e-4))
        self.discriminator_optimizer = keras.optimizers.Adam(1e-4)
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def train_step(self, images):
        cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        latents = tf.random.normal([tf.shape(images)[0], self.latent_size])
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fakes = self.generator(latents, training=True)
            of_real, of_fake = self.discriminator(images, training=True), self.discriminator(fakes, training=True)
            generator_loss = cross_entropy(tf.ones_like(of_fake), of_fake)
            loss = cross_entropy(tf.ones_like(of_real), of_real) + cross_entropy(tf.zeros_like(of_fake), of_fake)
        for optimizer, tape, value, network in (
            (self.optimizer, generator_tape, generator_loss, self.generator),
            (self.discriminator_optimizer, discriminator_tape, loss, self.discriminator),
        ):
            optimizer.apply(tape.gradient(value, network.trainable_variables), network.trainable_variables)
        return {"generator_loss": generator_loss, "discriminator_loss": loss}

    def generate(self, num_images, seed):
        latents = np.random.default_rng(seed).standard_normal((num_images, self.latent_size), np.float32)
        pictures = self.generator.predict(latents, batch_size=500, verbose=0)
        return np.round((np.clip(pictures, -1, 1) + 1) * 127.5).astype(np.uint8)


class TextbookVAE(keras.Model):
    """Two convolutions to two latents, three transposed ones back; Adam of 1e-3."""

    latent_size = 2

    def __init__(self):
        super().__init__()
        image = keras.Input((28, 28, 1))
        x = layers.Conv2D(32, 3, 2, padding="same", activation="relu")(image)
        x = layers.Conv2D(64, 3, 2, padding="same", activation="relu")(x)
        x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
        self.encoder = keras.Model(image, [layers.Dense(self.latent_size)(x), layers.Dense(self.latent_size)(x)])
        self.decoder = keras.Sequential(
            [
                keras.Input((self.latent_size,)),
                layers.Dense(7 * 7 * 64, activation="relu"),
                layers.Reshape((7, 7, 64)),
                layers.Conv2DTranspose(64, 3, 2, padding="same", activation="relu"),
                layers.Conv2DTranspose(32, 3, 2, padding="same", activation="relu"),
                layers.Conv2DTranspose(1, 3, padding="same"),
            ]
        )
        self.built = True

    def elbo_terms(self, batch):
        pixels = (batch["image"] + 1) / 2  # from 0 to 1, as the example has them
        mean, log_variance = self.encoder(pixels)
        logits = self.decoder(mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean)))
        reconstruction = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=pixels, logits=logits), axis=[1, 2, 3])
        return reconstruction, 0.5 * (mean**2 + tf.exp(log_variance) - 1 - log_variance), mean

    def train_step(self, images):
        with tf.GradientTape() as tape:
            reconstruction, kl, _ = self.elbo_terms({"image": images})
            loss = tf.reduce_mean(reconstruction) + tf.reduce_mean(tf.reduce_sum(kl, axis=1))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


class StopAfter(keras.callbacks.Callback):
    def __init__(self, seconds):
        super().__init__()
        self.end = time.perf_counter() + seconds

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = time.perf_counter() >= self.end


def by_the_textbook(family, pictures, seed):
    """A trained model and its seconds."""
    keras.utils.set_random_seed(seed)
    batches = tf.data.Dataset.from_tensor_slices(pictures).shuffle(len(pictures), seed=seed)
    start = time.perf_counter()
    if family == "vae":
        model = TextbookVAE()
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(batches.batch(128), epochs=VAE_EPOCHS, verbose=0)
    else:
        model = TextbookDCGAN()
        model.compile()
        model.fit(batches.batch(256), epochs=1000, verbose=0, callbacks=[StopAfter(60 * DCGAN_MINUTES)])
    return model, time.perf_counter() - start


@functools.cache
def fixed_seconds(family):
    """What a run of tfgen's takes besides its steps: data, trying the pace, tracing, samples, checkpoints."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train(Settings(family, **RECIPES[family]), folder, minutes=0.01, verbose=0)  # 20 steps
    return time.perf_counter() - start


def by_tfgen(family, seconds, seed):
    """A model trained in about so many seconds, and those it took."""
    allowed = CARE * seconds - fixed_seconds(family)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = train(Settings(family, seed=seed, **RECIPES[family]), folder, minutes=allowed / 60, verbose=0)
    return model, time.perf_counter() - start


def figure_of(family, model, seed):
    if family == "vae":
        metric = metrics.HeldOutELBO(model)
        for batch in data.prepare(data.load("mnist", "test"), batch_size=500):
            metric.update_state(batch)
        return float(metric.result()["negative_elbo"])
    return frechet_distance(model.generate(num_images=len(test), seed=1_000_000 * seed), test)


def frechet_distance(generated, real):
    metric = metrics.FrechetDistance(extractor)
    metric.add_real(features(real))
    metric.add_generated(features(generated))
    return float(metric.result())


def features(pictures):
    return metrics.predict_images(extractor, pictures)


def pictures_of(split):
    return np.concatenate(
        [batch["image"] for batch in data.load(RECIPES[family]["data"], split).batch(1000).as_numpy_iterator()]
    )


family = sys.argv[1]
results = report.RESULTS / f"textbook_{family}.json"
training, test = pictures_of("train"), pictures_of("test")
extractor = metrics.feature_extractor(tfgen.load_model("fashion-judge"), name="fashion-judge")
runs = json.loads(results.read_text())["figures"]["runs"] if results.exists() else {}
for seed in SEEDS:
    run = runs.setdefault(str(seed), {})
    if "textbook" not in run:
        model, seconds = by_the_textbook(family, training, seed)
        run["textbook"] = {"seconds": seconds, "figure": figure_of(family, model, seed), "cpu": report.cpu()}
        report.write(f"textbook_{family}", {"runs": runs})
    seconds = run["textbook"]["seconds"]
    if OURS not in run:
        if run["textbook"]["cpu"] != report.cpu():
            raise SystemExit(f"seed {seed} was begun on {run['textbook']['cpu']}; go on there, or delete its results")
        model, taken = by_tfgen(family, seconds / PART, seed)
        run[OURS] = {
            "seconds": taken, "part_of_the_time": taken / seconds, "within_the_time": taken <= seconds / PART,
            "figure": figure_of(family, model, seed),
        }  # fmt: skip
        report.write(f"textbook_{family}", {"runs": runs})
summary = {}
for name in ("textbook", OURS):
    found = [runs[str(seed)][name]["figure"] for seed in SEEDS]
    summary[name] = {"mean": float(np.mean(found)), "standard_deviation": float(np.std(found, ddof=1))}
if family == "dcgan":
    chosen = np.random.default_rng(0).permutation(len(training))[: len(test)]
    summary["floor"] = frechet_distance(training[chosen], test)
report.write(f"textbook_{family}", {"runs": runs, "over_seeds": summary})
