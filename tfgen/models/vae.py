"""Variational autoencoder: an encoder says which latent vectors a picture may come from, a decoder draws them again.

With text, a third network, the prior, says which latents the pictures of a caption have (Sohn et al., 2015, "Learning
Structured Output Representation using Deep Conditional Generative Models"): drawn without regard to the words, latents would
overrule them.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tfgen.diffusion.noise import gaussian
from tfgen.models.contrastive import picture_encoder, picture_matching_loss, positive_pairs
from tfgen.models.image_model import ImageModel, check_at_least, num_replicas, one_graph, picture_seeds, to_uint8
from tfgen.models.layers import features_to_picture, picture_to_features

LIKELIHOODS = ("bernoulli", "gaussian")


def encoder(image_size, image_channels, latent_size, text_width, width, dense):
    """Pictures, and the pooled text where there is text, to mean and log variance of the latents, [B, latent_size] each."""
    image = keras.Input((image_size, image_size, image_channels), name="image")
    inputs, features = {"image": image}, picture_to_features(image, width, dense=dense)
    if text_width:
        inputs["pooled"] = keras.Input((text_width,), name="pooled")
        features = layers.Concatenate()([features, inputs["pooled"]])
    x = layers.Dense(4 * width, activation="relu", name="features")(features)
    outputs = {
        "mean": layers.Dense(latent_size, name="mean")(x),
        "log_variance": layers.Dense(latent_size, name="log_variance")(x),
    }
    return keras.Model(inputs, outputs, name="encoder")


def decoder(image_size, image_channels, latent_size, text_width, width, dense, num_blocks):
    """Latents, and the pooled text where there is text, to logits of the pictures [B, H, W, C]."""
    latents = keras.Input((latent_size,), name="latents")
    inputs, features = {"latents": latents}, latents
    if text_width:
        inputs["pooled"] = keras.Input((text_width,), name="pooled")
        features = layers.Concatenate()([latents, layers.Dense(4 * width, name="text")(inputs["pooled"])])
    features = layers.Dense(4 * width, activation="relu", name="features")(features)
    logits = features_to_picture(features, image_size, image_channels, width, dense=dense, num_blocks=num_blocks)
    return keras.Model(inputs, logits, name="decoder")


def prior(text_width, latent_size, width):
    """The pooled text to mean and log variance of the latents of its pictures, [B, latent_size] each."""
    pooled = keras.Input((text_width,), name="pooled")
    x = layers.Dense(4 * width, activation="relu", name="features")(pooled)
    # Zero at first: the standard normal distribution of a VAE without text.
    outputs = {name: layers.Dense(latent_size, kernel_initializer="zeros", name=name)(x) for name in ("mean", "log_variance")}
    return keras.Model({"pooled": pooled}, outputs, name="prior")


@keras.saving.register_keras_serializable("tfgen")
class VAE(ImageModel):
    """Variational autoencoder (Kingma & Welling, 2014, arXiv:1312.6114), with or without text.

    Args:
        image_size: 28, 32, 64 or any size that halves to 8 or less.
        image_channels: 1 or 3.
        text_encoder: `tfgen.text.TextEncoder`, trained by the same loss; None for no text.
        latent_size: dimensions of the latent vector.
        width: channels of the finest grid.
        dense: fully connected networks in place of convolutions.
        num_blocks: residual blocks in the decoder and in the network of `matching_weight`, for pictures in which things stand
            in many places; see `tfgen.models.layers.features_to_picture`.
        likelihood: "bernoulli", of pixels in [0, 1] as probabilities, or "gaussian", around the drawn picture in [-1, 1].
        deviation: standard deviation of the Gaussian pixels; it sets how much detail is worth its bits (Rybkin et al., 2021,
            arXiv:2006.13202).
        beta: weight of the KL term (Higgins et al., 2017, beta-VAE).
        free_bits: nats that each latent dimension may hold at no cost (Kingma et al., 2016, arXiv:1606.04934).
        annealing_images: beta grows to its value over so many training images (Bowman et al., 2016, arXiv:1511.06349).
        matching_weight: weight of a loss, in nats, by which pictures drawn at random must show what their captions say: a
            second network learns from the training pictures which caption belongs to which, and has to find the captions of
            the drawn ones (as AttnGAN's generator has to please DAMSM; Xu et al., 2018, arXiv:1711.10485, section 3.2). To
            the likelihood, which counts pixels, the zipper that tells a coat from a pullover is worth little. 0 for none;
            without text there is none.
        temperature: factor on the standard deviation of the latents that `generate` draws (Kingma & Dhariwal, 2018,
            arXiv:1807.03039, section 6). The latents of all pictures together do not lie quite as the prior says: where they
            spread wider, 1.1 to 1.6 draws better pictures, and more varied ones.
        caption_dropout, ema_half_life: see `ImageModel`; everything but training uses the averaged networks.

    Metrics: `loss`, and in nats a picture `negative_elbo` (beta 1, no free bits), `reconstruction` (the negative log
    likelihood) and `kl`; with `matching_weight` also `matching_loss`, of the drawn pictures. The `loss` of held-out pictures is
    the reconstruction and beta times `kl` alone.
    """

    settings = (
        "image_size", "image_channels", "latent_size", "width", "dense", "num_blocks", "likelihood", "deviation", "beta",
        "free_bits", "annealing_images", "matching_weight", "temperature", "caption_dropout", "ema_half_life",
    )  # fmt: skip
    training_only = ("ema_half_life", "matching_weight")
    of_network = ("latent_size", "width", "dense", "num_blocks", "likelihood")

    def __init__(
        self, image_size=28, image_channels=1, text_encoder=None, *, latent_size=16, width=32, dense=False, num_blocks=0,
        likelihood="bernoulli", deviation=0.1, beta=1.0, free_bits=0.0, annealing_images=0, matching_weight=20.0,
        temperature=1.0, caption_dropout=0.1, ema_half_life=10_000, **kwargs,
    ):  # fmt: skip
        matching_weight = matching_weight if text_encoder else 0
        metric_names = ("loss", "negative_elbo", "reconstruction", "kl", *(["matching_loss"] if matching_weight else []))
        super().__init__(image_size, image_channels, text_encoder, caption_dropout, ema_half_life, metric_names, **kwargs)
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"unknown likelihood {likelihood!r}; choose from {', '.join(LIKELIHOODS)}")
        check_at_least(
            0, num_blocks=num_blocks, beta=beta, free_bits=free_bits, annealing_images=annealing_images,
            matching_weight=matching_weight,
        )  # fmt: skip
        check_at_least(1e-6, deviation=deviation, temperature=temperature)
        self.latent_size, self.width, self.dense, self.num_blocks = latent_size, width, dense, num_blocks
        self.likelihood, self.deviation, self.beta, self.free_bits = likelihood, deviation, beta, free_bits
        self.annealing_images, self.matching_weight, self.temperature = annealing_images, matching_weight, temperature
        text_width = text_encoder.width if text_encoder else None
        if matching_weight:
            self.picture_encoder = picture_encoder(image_size, image_channels, text_width, num_blocks)
        self.encoder = encoder(image_size, image_channels, latent_size, text_width, width, dense)
        self.decoder = decoder(image_size, image_channels, latent_size, text_width, width, dense, num_blocks)
        self.prior = prior(text_width, latent_size, width) if text_encoder else None
        self.add_averages("encoder", "decoder", "prior", "text_encoder")
        self.built = True

    @property
    def optimized_variables(self):
        if not self.matching_weight:
            return super().optimized_variables
        networks = (self.encoder, self.decoder, self.prior, self.text_encoder)
        return {
            "optimizer": [variable for network in networks for variable in network.trainable_variables],
            "matching_optimizer": self.picture_encoder.trainable_variables,
        }

    def draw_noise(self, num_images, seed):
        """Random numbers of one training step: what makes latents of their distribution, for the batch's pictures, `eps`
        [B, latent_size], and with `matching_weight` for those drawn at random, `drawn_eps`; captions to drop, `empty` bool [B].
        """
        noise = {
            "eps": tf.random.stateless_normal([num_images, self.latent_size], seed),
            "empty": self.drop_captions(num_images, seed + tf.constant([0, 2_000])),
        }
        if self.matching_weight:
            noise["drawn_eps"] = tf.random.stateless_normal([num_images, self.latent_size], seed + tf.constant([0, 1_000]))
        return noise

    def _reconstruction(self, image, logits):
        """Negative log likelihood of pictures [B], in nats."""
        if self.likelihood == "bernoulli":
            pixels = tf.nn.sigmoid_cross_entropy_with_logits(labels=(image + 1) / 2, logits=logits)
        else:
            scaled = (image - ops.tanh(logits)) / self.deviation
            pixels = 0.5 * scaled**2 + math.log(self.deviation) + 0.5 * math.log(2 * math.pi)
        return tf.reduce_sum(pixels, axis=[1, 2, 3])

    def train_step(self, batch):
        return self.track(batch, **self.update(batch, self.step_noise(batch)))

    def update(self, batch, noise):
        """One optimizer step on a batch and the numbers of `draw_noise`; returns the metrics."""
        num_images = tf.shape(batch["image"])[0]
        beta = self.beta
        if self.annealing_images:
            seen = tf.cast(self.optimizer.iterations, tf.float32) * tf.cast(num_replicas() * num_images, tf.float32)
            beta *= tf.minimum(1.0, seen / self.annealing_images)
        with tf.GradientTape(persistent=True) as tape:
            text = self.pooled_captions(self.text_encoder, batch, noise["empty"])
            posterior, prior = self.encoder({"image": batch["image"], **text}), _expected(text, self.prior)
            given = {"latents": _drawn(posterior, noise["eps"]), **text}
            if self.matching_weight:
                # Decoded together, so that the normalisation of training is that of both kinds, as in the finished model.
                given = {
                    "latents": tf.concat([given["latents"], _drawn(prior, noise["drawn_eps"])], axis=0),
                    "pooled": tf.concat([text["pooled"], text["pooled"]], axis=0),
                }
            logits = self.decoder(given, training=True)
            reconstruction, kl = self._reconstruction(batch["image"], logits[:num_images]), _kl(posterior, prior)
            # The bits are free on average over the batch, else a dimension would be charged for its most telling pictures.
            kl_by_latent = tf.reduce_mean(kl, axis=0)
            if num_replicas() > 1:  # over the batch of all devices
                kl_by_latent = tf.distribute.get_replica_context().all_reduce("mean", kl_by_latent)
            charged = tf.reduce_sum(tf.maximum(kl_by_latent, self.free_bits))
            loss = tf.reduce_mean(reconstruction) + beta * charged
            matching = {}
            if self.matching_weight:
                same = positive_pairs(batch, noise["empty"])
                drawn = self._pictures(logits[num_images:])
                of_real, of_drawn = (
                    picture_matching_loss(self.picture_encoder, pictures, text["pooled"], same)
                    for pictures in (batch["image"], drawn)
                )
                loss += self.matching_weight * (of_real + of_drawn)
                matching["matching_loss"] = of_drawn
        self.minimize(tape, loss, "optimizer")
        if matching:
            # From drawn pictures this network would learn to find captions that decoder and it had agreed to hide in them.
            self.minimize(tape, of_real, "matching_optimizer")
        self.average_weights(num_images)
        return _report(loss, reconstruction, kl) | matching

    def test_step(self, batch):
        reconstruction, kl, _ = self.elbo_terms(batch)
        loss = tf.reduce_mean(reconstruction) + self.beta * tf.reduce_mean(tf.reduce_sum(kl, axis=1))
        report = _report(loss, reconstruction, kl)
        if self.matching_weight:
            text = self.pooled_captions(self.averaged_text_encoder, batch)
            eps = gaussian(picture_seeds(batch["image"]), (self.latent_size,))
            drawn = self.draw(_drawn(self.averaged_prior(text), eps), text)
            report["matching_loss"] = picture_matching_loss(self.picture_encoder, drawn, text["pooled"], positive_pairs(batch))
        return self.track(batch, **report)

    def elbo_terms(self, batch):
        """Reconstruction [B] and KL [B, latent_size] in nats, and the latents' means [B, latent_size], of held-out pictures by
        the averaged networks. A picture's noise is a function of its pixels: the same alone and in any batch."""
        eps = gaussian(picture_seeds(batch["image"]), (self.latent_size,))
        text = self.pooled_captions(self.averaged_text_encoder, batch)
        posterior = self.averaged_encoder({"image": batch["image"], **text})
        logits = self.averaged_decoder({"latents": _drawn(posterior, eps), **text})
        kl = _kl(posterior, _expected(text, self.averaged_prior))
        return self._reconstruction(batch["image"], logits), kl, posterior["mean"]

    def _pooled(self, prompts, num_images):
        """The text that steers `num_images` pictures: one prompt for all, or one each; without prompts, the empty one."""
        prompts, _ = self._check_prompts(prompts, None)
        if self.text_encoder is None:
            return {}
        prompts = prompts * num_images if len(prompts) == 1 else prompts
        if len(prompts) != num_images:
            raise ValueError(f"{len(prompts)} prompts for {num_images} pictures; give one, or one for each")
        return self.pooled_text(self.tokenize(prompts))

    def encode(self, images, prompts=None):
        """Mean latents float32 [N, latent_size] of pictures uint8 [N, H, W, C], with one prompt for all or one each."""
        images = np.asarray(images)
        if images.shape[1:] != self.image_shape or images.dtype != np.uint8:
            shape = ", ".join(map(str, self.image_shape))
            raise ValueError(f"pictures are {images.dtype} {images.shape}; give uint8 [N, {shape}]")
        inputs = {"image": tf.cast(images, tf.float32) / 127.5 - 1, **self._pooled(prompts, len(images))}
        return self.averaged_encoder(inputs)["mean"].numpy()

    def decode(self, latents, prompts=None):
        """Pictures uint8 [N, H, W, C] of latents [N, latent_size], with one prompt for all or one each."""
        latents = tf.convert_to_tensor(latents, tf.float32)
        return to_uint8(self.draw(latents, self._pooled(prompts, len(latents)))).numpy()

    def reconstruct(self, images, prompts=None):
        """Pictures uint8 [N, H, W, C] as they come back through the latents' means."""
        return self.decode(self.encode(images, prompts), prompts)

    def interpolate(self, first, second, num_images=8):
        """Pictures uint8 [num_images, H, W, C] on the straight line between the latents of two pictures uint8 [H, W, C]."""
        start, end = self.encode(np.stack([first, second]))
        return self.decode(start + np.linspace(0, 1, num_images)[:, None] * (end - start))

    @one_graph
    def draw(self, latents, text):
        return self._pictures(self.averaged_decoder({"latents": latents, **text}))

    def _pictures(self, logits):
        # The mean of a Bernoulli pixel, in [-1, 1]: 2 sigmoid(x) - 1 = tanh(x / 2).
        return ops.tanh(logits / 2 if self.likelihood == "bernoulli" else logits)

    def sample(self, seeds, token_ids, negative_token_ids):
        """Pictures float32 [B, H, W, C] from seeds int64 [B] and token ids [B, T] or None."""
        return self._draw(self.temperature * gaussian(seeds, (self.latent_size,)), token_ids)

    @one_graph
    def _draw(self, eps, token_ids):
        text = self.pooled_text(token_ids)
        return self.draw(_drawn(_expected(text, self.averaged_prior), eps), text)


def _expected(text, prior):
    """Mean and log variance of the latents, as far as they are known without the picture."""
    return prior(text) if text else {"mean": 0.0, "log_variance": 0.0}


def _drawn(distribution, eps):
    """Latents [B, latent_size] of a distribution, from standard normal numbers."""
    return distribution["mean"] + ops.exp(0.5 * distribution["log_variance"]) * eps


def _kl(posterior, prior):
    """KL divergence of the latents' distributions [B, latent_size], in nats."""
    apart = posterior["mean"] - prior["mean"]
    wider = posterior["log_variance"] - prior["log_variance"]
    return 0.5 * (apart**2 / ops.exp(prior["log_variance"]) + ops.exp(wider) - 1 - wider)


def _report(loss, reconstruction, kl):
    reconstruction, kl = tf.reduce_mean(reconstruction), tf.reduce_mean(tf.reduce_sum(kl, axis=1))
    return {"loss": loss, "negative_elbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
