"""DCGAN: a generator learns to deceive a discriminator, which learns to tell its pictures from real ones."""

import keras
import tensorflow as tf
from keras import layers, ops

from tfgen.diffusion.noise import gaussian
from tfgen.models.contrastive import hardest_negatives, picture_encoder, picture_matching_loss, positive_pairs
from tfgen.models.image_model import ImageModel, check_at_least, one_graph
from tfgen.models.layers import features_to_picture, picture_to_features

# name -> (discriminator's loss from its logits for real and generated pictures, generator's loss), per picture.
LOSSES = {
    # Goodfellow et al., 2014, arXiv:1406.2661, section 3
    "non_saturating": (lambda real, fake: ops.softplus(-real) + ops.softplus(fake), lambda fake: ops.softplus(-fake)),
    # Lim & Ye, 2017, arXiv:1705.02894
    "hinge": (lambda real, fake: ops.relu(1 - real) + ops.relu(1 + fake), lambda fake: -fake),
    # Arjovsky et al., 2017, arXiv:1701.07875; with the penalty of Gulrajani et al., 2017, arXiv:1704.00028
    "wasserstein": (lambda real, fake: fake - real, lambda fake: -fake),
}

TEXT_CONDITIONINGS = ("matching_aware", "projection")


def generator(image_size, image_channels, latent_size, text_width, width, dense, num_blocks):
    """Latents [B, latent_size], and the pooled text [B, text_width] where there is text, to pictures in [-1, 1]."""
    latents = keras.Input((latent_size,), name="latents")
    inputs, features = {"latents": latents}, latents
    if text_width:
        inputs["pooled"] = keras.Input((text_width,), name="pooled")
        features = layers.Concatenate()([latents, layers.Dense(latent_size, name="text")(inputs["pooled"])])
    picture = features_to_picture(features, image_size, image_channels, width, dense=dense, num_blocks=num_blocks)
    return keras.Model(inputs, layers.Activation("tanh")(picture), name="generator")


def discriminator(
    image_size, image_channels, text_width, text_conditioning, width, dense, num_blocks, spectral_normalization
):  # fmt: skip
    """Pictures to logits [B, 1], high for real; where there is text, pictures and the pooled text of K captions for each,
    [B, K, text_width], to logits [B, K].

    Text enters by "projection", the logit gaining the inner product of features and text (Miyato & Koyama, 2018,
    arXiv:1802.05637), or, "matching_aware", beside the features in a last hidden layer (Reed et al., 2016, arXiv:1605.05396).
    """

    def wrap(layer):
        return layers.SpectralNormalization(layer) if spectral_normalization else layer

    image = keras.Input((image_size, image_size, image_channels), name="image")
    inputs = {"image": image}
    features = picture_to_features(image, width, dense=dense, num_blocks=num_blocks, wrap=wrap)
    if text_width:
        pooled = inputs["pooled"] = keras.Input((None, text_width), name="pooled")
    if text_width and text_conditioning == "matching_aware":
        # The picture's part of the hidden layer is the same for all its captions.
        seen = layers.Reshape((1, 4 * text_width))(wrap(layers.Dense(4 * text_width, name="match"))(features))
        read = wrap(layers.Dense(4 * text_width, use_bias=False, name="match_text"))(pooled)
        matched = wrap(layers.Dense(1, name="logit"))(layers.LeakyReLU(0.2)(layers.Add()([seen, read])))
        return keras.Model(inputs, layers.Reshape((-1,))(matched), name="discriminator")
    logits = wrap(layers.Dense(1, name="logit"))(features)
    if text_width:
        projected = wrap(layers.Dense(text_width, name="projection"))(features)
        logits = layers.Add()([logits, layers.Dot((1, 2))([projected, pooled])])
    return keras.Model(inputs, logits, name="discriminator")


@keras.saving.register_keras_serializable("tfgen")
class DCGAN(ImageModel):
    """Deep convolutional GAN (Radford et al., 2016, arXiv:1511.06434), with or without text.

    Args:
        image_size: 28, 32, 64 or any size that halves to 8 or less.
        image_channels: 1 or 3.
        text_encoder: `tfgen.text.TextEncoder`, trained by the discriminator's loss; None for no text.
        text_conditioning: how the discriminator reads the text: "matching_aware", which is shown real pictures with wrong
            captions too and must call them false (Reed et al., 2016, arXiv:1605.05396, section 4.1), or "projection", faster.
        latent_size: length of the random vector that a picture is made from.
        width: channels of the finest grid.
        dense: fully connected networks in place of convolutions.
        num_blocks: residual blocks on the coarsest grid of the networks, for pictures in which things stand in many places; see
            `tfgen.models.layers.features_to_picture`.
        adversarial_loss: "non_saturating", "hinge" or "wasserstein" (with gradient penalty).
        spectral_normalization: bound the discriminator's layers (Miyato et al., 2018, arXiv:1802.05957).
        gradient_penalty: weight of the penalty of "wasserstein".
        r1_penalty: weight of a penalty on the discriminator's slope at real pictures, with any loss, so that one that tells all
            pictures apart still leaves the generator something to learn (Mescheder et al., 2018, arXiv:1801.04406, eq. 9).
        mode_seeking: weight of a penalty on pictures that differ little for how far their latents are apart (Mao et al., 2019,
            arXiv:1903.05628): without it a generator that is told what to draw soon draws each caption in one way only. None
            without text.
        matching_weight: weight of a loss, in nats, by which generated pictures must show what their captions say; see
            `tfgen.models.vae.VAE`. 0 for none; without text there is none.
        caption_dropout, ema_half_life: see `ImageModel`; `generate` uses the averaged generator.

    Metrics: `generator_loss`, `discriminator_loss`, and `discriminator_accuracy`, which is 0.5 when it is deceived
    (of "wasserstein", whose critic knows no threshold, it says nothing); with `matching_weight` also `matching_loss`, of the
    generated pictures.
    """

    settings = (
        "image_size", "image_channels", "text_conditioning", "latent_size", "width", "dense", "num_blocks",
        "adversarial_loss", "spectral_normalization", "gradient_penalty", "r1_penalty", "mode_seeking",
        "matching_weight", "caption_dropout", "ema_half_life",
    )  # fmt: skip
    training_only = ("ema_half_life", "matching_weight")
    of_network = ("text_conditioning", "latent_size", "width", "dense", "num_blocks", "spectral_normalization")

    def __init__(
        self, image_size=28, image_channels=1, text_encoder=None, *, text_conditioning="matching_aware", latent_size=100,
        width=64, dense=False, num_blocks=0, adversarial_loss="non_saturating", spectral_normalization=False,
        gradient_penalty=10.0, r1_penalty=0.0, mode_seeking=0.2, matching_weight=0.0, caption_dropout=0.1,
        ema_half_life=10_000, **kwargs,
    ):  # fmt: skip
        matching_weight = matching_weight if text_encoder else 0
        metric_names = ["generator_loss", "discriminator_loss", "discriminator_accuracy"]
        metric_names += ["matching_loss"] if matching_weight else []
        super().__init__(image_size, image_channels, text_encoder, caption_dropout, ema_half_life, metric_names, **kwargs)
        if adversarial_loss not in LOSSES:
            raise ValueError(f"unknown adversarial_loss {adversarial_loss!r}; choose from {', '.join(LOSSES)}")
        if text_conditioning not in TEXT_CONDITIONINGS:
            raise ValueError(f"unknown text_conditioning {text_conditioning!r}; choose from {', '.join(TEXT_CONDITIONINGS)}")
        check_at_least(
            0, num_blocks=num_blocks, gradient_penalty=gradient_penalty, r1_penalty=r1_penalty, mode_seeking=mode_seeking,
            matching_weight=matching_weight,
        )  # fmt: skip
        self.text_conditioning, self.latent_size, self.width, self.dense = text_conditioning, latent_size, width, dense
        self.num_blocks, self.adversarial_loss = num_blocks, adversarial_loss
        self.spectral_normalization = spectral_normalization
        self.gradient_penalty, self.r1_penalty = gradient_penalty, r1_penalty
        self.mode_seeking = mode_seeking if text_encoder else 0
        self.matching_weight = matching_weight
        text_width = text_encoder.width if text_encoder else None
        self.generator = generator(image_size, image_channels, latent_size, text_width, width, dense, num_blocks)
        self.discriminator = discriminator(
            image_size, image_channels, text_width, text_conditioning, width, dense, num_blocks, spectral_normalization
        )
        if matching_weight:
            self.picture_encoder = picture_encoder(image_size, image_channels, text_width, num_blocks)
        self.add_averages("generator", "text_encoder")
        self.built = True

    def compile(self, optimizer=None, discriminator_optimizer=None, **kwargs):
        """As `keras.Model.compile`, with an optimizer for each network; Adam with the settings of DCGAN by default."""
        optimizer, discriminator_optimizer = (
            one or keras.optimizers.Adam(2e-4, beta_1=0.5) for one in (optimizer, discriminator_optimizer)
        )
        super().compile(optimizer, discriminator_optimizer=discriminator_optimizer, **kwargs)

    @property
    def optimized_variables(self):
        judging = [self.discriminator, self.text_encoder, self.picture_encoder if self.matching_weight else None]
        return {
            "optimizer": self.generator.trainable_variables,
            "discriminator_optimizer": [variable for network in judging if network for variable in network.trainable_variables],
        }

    def averaged_model(self):
        """As of every family, with the discriminator, which has no average, as it was trained."""
        model = super().averaged_model()
        model.discriminator.set_weights(self.discriminator.get_weights())
        return model

    @classmethod
    def beginning_with(cls, other, **settings):
        model = super().beginning_with(other, **settings)
        model.discriminator.set_weights(other.discriminator.get_weights())
        return model

    def draw_noise(self, num_images, seed):
        """Random numbers of one training step: latents of the discriminator's and of the generator's pictures
        [B, latent_size], where between real and generated the gradient penalty looks, `mix` [B], and captions to drop, `empty`
        bool [B]."""
        return {
            "discriminator_latents": tf.random.stateless_normal([num_images, self.latent_size], seed),
            "generator_latents": tf.random.stateless_normal([num_images, self.latent_size], seed + tf.constant([0, 1_000])),
            "mix": tf.random.stateless_uniform([num_images], seed + tf.constant([0, 2_000])),
            "empty": self.drop_captions(num_images, seed + tf.constant([0, 3_000])),
        }

    def train_step(self, batch):
        return self.track(batch, **self.update(batch, self.step_noise(batch)))

    def update(self, batch, noise):
        """One step of each optimizer on a batch and the numbers of `draw_noise`; returns the metrics."""
        with tf.GradientTape() as tape:
            text = self.pooled_captions(self.text_encoder, batch, noise["empty"])
            # Through the pictures the text encoder could lower the discriminator's loss by leading the generator astray.
            fake = tf.stop_gradient(self.generator({"latents": noise["discriminator_latents"], **text}, training=True))
            same = positive_pairs(batch, noise["empty"]) if text else None
            loss, accuracy = self._discriminator_loss(batch["image"], fake, text, same, noise["mix"])
            judging_loss = loss
            if self.matching_weight:
                # Of real pictures alone, else generator and picture encoder would agree on captions hidden in the pictures.
                judging_loss += picture_matching_loss(self.picture_encoder, batch["image"], text["pooled"], same)
        self.minimize(tape, judging_loss, "discriminator_optimizer")

        report = {}
        with tf.GradientTape() as tape:
            fake = self.generator({"latents": noise["generator_latents"], **text}, training=True)
            generator_loss = tf.reduce_mean(LOSSES[self.adversarial_loss][1](self._logits(fake, text, training=False)))
            if self.mode_seeking:
                generator_loss += self.mode_seeking * self._likeness(fake, text, noise)
            if self.matching_weight:
                report["matching_loss"] = picture_matching_loss(self.picture_encoder, fake, text["pooled"], same)
                generator_loss += self.matching_weight * report["matching_loss"]
        self.minimize(tape, generator_loss, "optimizer")
        self.average_weights(tf.shape(batch["image"])[0])
        return report | {"generator_loss": generator_loss, "discriminator_loss": loss, "discriminator_accuracy": accuracy}

    def _logits(self, image, text, wrong=None, training=True):
        """Logits [B, 1] of pictures with their captions, and with each a wrong one, where given, [B, 2]."""
        if not text:
            return self.discriminator({"image": image}, training=training)
        captions = [text["pooled"]] if wrong is None else [text["pooled"], wrong]
        return self.discriminator({"image": image, "pooled": tf.stack(captions, axis=1)}, training=training)

    def _discriminator_loss(self, real, fake, text, same, mix, training=True):
        """The mean loss, and how often it is right; `same` as of `positive_pairs`, `mix` for the gradient penalty."""
        discriminator_loss = LOSSES[self.adversarial_loss][0]
        wrong = None
        if text and self.text_conditioning == "matching_aware":
            nearest, any_is_wrong = hardest_negatives(text["pooled"], same)
            wrong = tf.gather(text["pooled"], nearest)
        with tf.GradientTape() as tape:
            tape.watch(real)
            logits = self._logits(real, text, wrong, training)
            real_logits, mismatch_logits = logits[:, 0], logits[:, -1]
        fake_logits = self._logits(fake, text, training=training)[:, 0]
        losses = discriminator_loss(real_logits, fake_logits)
        if wrong is not None:
            mismatch_losses = (losses + discriminator_loss(real_logits, mismatch_logits)) / 2
            losses = tf.where(any_is_wrong, mismatch_losses, losses)
        loss = tf.reduce_mean(losses)
        if self.r1_penalty:
            slope = tf.reduce_sum(tape.gradient(real_logits, real) ** 2, axis=[1, 2, 3])
            loss += self.r1_penalty / 2 * tf.reduce_mean(slope)
        if self.adversarial_loss == "wasserstein":
            loss += self.gradient_penalty * self._gradient_penalty(real, fake, text, mix, training)
        accuracy = tf.reduce_mean(tf.cast(tf.concat([real_logits > 0, fake_logits <= 0], axis=0), tf.float32))
        return loss, accuracy

    def _likeness(self, pictures, text, noise):
        """How far apart two latents are for how far apart their pictures of one caption are, in mean absolute values."""
        others = self.generator({"latents": noise["discriminator_latents"], **text}, training=True)
        apart = tf.reduce_mean(tf.abs(pictures - others), axis=[1, 2, 3])
        latents_apart = tf.reduce_mean(tf.abs(noise["generator_latents"] - noise["discriminator_latents"]), axis=1)
        return tf.reduce_mean(latents_apart / (apart + 1e-5))

    def _gradient_penalty(self, real, fake, text, mix, training):
        """Mean of (|gradient| - 1)^2 on the lines between real and generated pictures."""
        mix = mix[:, None, None, None]
        between = mix * real + (1 - mix) * fake
        with tf.GradientTape() as tape:
            tape.watch(between)
            logits = self._logits(between, text, training=training)
        gradient = tape.gradient(logits, between)
        norm = tf.sqrt(tf.reduce_sum(gradient**2, axis=[1, 2, 3]) + 1e-12)
        return tf.reduce_mean((norm - 1) ** 2)

    def test_step(self, batch):
        """The losses on held-out pictures, of the averaged generator, with the same noise at every call."""
        noise = self.draw_noise(tf.shape(batch["image"])[0], tf.constant([0, 0]))
        text = self.pooled_captions(self.text_encoder, batch)
        same = positive_pairs(batch) if text else None
        fake = self._draw(noise["generator_latents"], batch.get("token_ids"))
        loss, accuracy = self._discriminator_loss(batch["image"], fake, text, same, noise["mix"], training=False)
        generator_loss = tf.reduce_mean(LOSSES[self.adversarial_loss][1](self._logits(fake, text, training=False)))
        report = {"generator_loss": generator_loss, "discriminator_loss": loss, "discriminator_accuracy": accuracy}
        if self.matching_weight:
            report["matching_loss"] = picture_matching_loss(self.picture_encoder, fake, text["pooled"], same)
        return self.track(batch, **report)

    @one_graph
    def _draw(self, latents, token_ids):
        return self.averaged_generator({"latents": latents, **self.pooled_text(token_ids)})

    def sample(self, seeds, token_ids, negative_token_ids):
        """Pictures float32 [B, H, W, C] from seeds int64 [B] and token ids [B, T] or None."""
        return self._draw(gaussian(seeds, (self.latent_size,)), token_ids)
