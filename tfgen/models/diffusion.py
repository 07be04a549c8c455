"""Text-to-image diffusion: a U-Net learns to say what a noisy picture shows, and is asked again and again."""

import functools
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfgen.diffusion import parameterisations, samplers, schedules
from tfgen.diffusion.guidance import classifier_free
from tfgen.diffusion.noise import gaussian
from tfgen.models.image_model import ImageModel, check_at_least, one_graph, picture_seeds, to_uint8
from tfgen.models.layers import PixelTextAttention
from tfgen.models.unet import unet

MAX_STEPS = 1000


@dataclass(frozen=True)
class AttentionMaps:
    """Which word looks where while a picture comes into being, from noise to the picture.

    Attributes:
        words: the W tokens of the prompt.
        times: float [S], of the denoising steps, from 1 down.
        maps: float32 [S, W, h, w], how much each place of the coarsest grid looks at each word, mean over heads and layers.
        images: uint8 [S, H, W, C], the denoised estimate at each step.
    """

    words: list
    times: np.ndarray
    maps: np.ndarray
    images: np.ndarray


@keras.saving.register_keras_serializable("tfgen")
class TextToImageDiffusion(ImageModel):
    """Diffusion model steered by a prompt.

    Training noises a picture to a random time, x = alpha(t) x0 + sigma(t) eps, and minimises the error of the estimated
    x0 (Ho et al., 2020, arXiv:2006.11239), weighted by min(1 / sigma^4, max_loss_weight), of a network that predicts eps by
    min(alpha^2 / sigma^4, max_loss_weight). Small pictures are told apart at
    little noise, and the error grows about as sigma^4, so that with this weight every noise level has a like part in the loss
    (Karras et al., 2024, arXiv:2312.02696, learn one that does so); the bound keeps nearly clean pictures from outweighing the
    rest (Hang et al., 2023, arXiv:2303.09556). Some captions are emptied (`caption_dropout`), for classifier-free guidance and
    for pictures without a prompt.

    Args:
        text_encoder: `tfgen.text.TextEncoder`, trained together with the U-Net.
        image_size, image_channels: of the pictures.
        patch_size, channels, num_blocks, num_heads: of the U-Net, see `tfgen.models.unet`.
        schedule: "flow", "cosine" or "linear".
        parameterisation: what the U-Net predicts: "x0", "eps", "v" or "flow".
        max_loss_weight: see above.
        time_shift: above 1 it trains more on noisy pictures, at the cost of shapes, which half-noisy ones decide; see
            `tfgen.diffusion.samplers.shifted`.
        caption_dropout, ema_half_life: see `ImageModel`; `generate` uses the averaged weights.
        steps, guidance_scale, sampler: what `generate` does when not told otherwise.
        time_grid: how the times of its steps are spaced: "uniform", "log_snr" or "karras", see `tfgen.diffusion.samplers`.
        guidance_rescale, guidance_interval: see `tfgen.diffusion.guidance.classifier_free`.

    Metrics: `loss` (weighted) and `x0_error`, the mean squared error of the estimated picture in [-1, 1].
    """

    settings = (
        "image_size", "image_channels", "patch_size", "channels", "num_blocks", "num_heads", "schedule", "parameterisation",
        "max_loss_weight", "time_shift", "caption_dropout", "ema_half_life", "steps", "guidance_scale", "sampler",
        "time_grid", "guidance_rescale", "guidance_interval",
    )  # fmt: skip

    of_network = ("patch_size", "channels", "num_blocks", "num_heads", "schedule", "parameterisation")

    metric_names = ("loss", "x0_error")
    path_conditioned = False  # whether guidance scale and number of steps are inputs of the U-Net

    def __init__(
        self, text_encoder, image_size=32, image_channels=3, *, patch_size=2, channels=(64, 128), num_blocks=1, num_heads=4,
        schedule="flow", parameterisation="x0", max_loss_weight=30.0, time_shift=1.0, caption_dropout=0.1, ema_half_life=10_000,
        steps=50, guidance_scale=2.5, sampler="ddim", time_grid="uniform", guidance_rescale=0.0, guidance_interval=(0.0, 1.0),
        **kwargs,
    ):  # fmt: skip
        super().__init__(image_size, image_channels, text_encoder, caption_dropout, ema_half_life, self.metric_names, **kwargs)
        parameterisations.check(parameterisation, schedule)
        check_at_least(1e-6, max_loss_weight=max_loss_weight, time_shift=time_shift)
        if not channels:
            raise ValueError("channels is empty; give the width of each level, such as [64, 128]")
        check_at_least(1, patch_size=patch_size, num_blocks=num_blocks, num_heads=num_heads, channels=min(channels))
        if any(width % 8 for width in channels) or channels[-1] % num_heads:
            raise ValueError(
                f"channels are {list(channels)} and num_heads {num_heads}; give multiples of 8, the last one of num_heads too"
            )
        self.patch_size, self.channels, self.num_blocks, self.num_heads = patch_size, tuple(channels), num_blocks, num_heads
        self.schedule, self.parameterisation = schedule, parameterisation
        self.max_loss_weight, self.time_shift = max_loss_weight, time_shift
        self.steps, self.guidance_scale, self.sampler = steps, guidance_scale, sampler
        self.time_grid, self.guidance_rescale, self.guidance_interval = time_grid, guidance_rescale, tuple(guidance_interval)
        if time_grid not in samplers.TIME_GRIDS:
            raise ValueError(f"unknown time_grid {time_grid!r}; choose from {', '.join(samplers.TIME_GRIDS)}")
        if not 0 <= guidance_rescale <= 1:
            raise ValueError(f"guidance_rescale is {guidance_rescale!r}; give a number from 0 to 1")
        if len(self.guidance_interval) != 2 or not 0 <= self.guidance_interval[0] < self.guidance_interval[1] <= 1:
            raise ValueError(f"guidance_interval is {guidance_interval!r}; give two times from 0 to 1, the earlier first")
        self.sampling_settings(None, None, None, None)  # refuses unusable ones before the training, not after it
        self.unet = self.make_unet(self.path_conditioned)
        self.add_averages("text_encoder", "unet")
        self.built = True

    def make_unet(self, path_conditioned):
        """An untrained U-Net by the settings."""
        return unet(
            self.image_size, self.image_channels, self.text_encoder.tokenizer.caption_length, self.text_encoder.width,
            patch_size=self.patch_size, channels=self.channels, num_blocks=self.num_blocks, num_heads=self.num_heads,
            path_conditioned=path_conditioned,
        )  # fmt: skip

    @property
    def optimized_variables(self):
        # The text encoder learns little at the high rate at which the U-Net learns best.
        return {"optimizer": self.unet.trainable_variables, "text_optimizer": self.text_encoder.trainable_variables}

    def attention_maps(self, prompt, seed=0, steps=None):
        """Which word looks where, while a picture comes into being.

        Args:
            prompt: string.
            seed, steps: as in `generate`.

        Returns:
            `AttentionMaps`.
        """
        steps = self.sampling_settings(steps, None, None, None)["steps"]
        token_ids = self.tokenize([prompt])
        words = self.text_encoder.tokenizer.ids_to_tokens(token_ids[0].numpy())
        features = self.conditioning(token_ids, self.guidance_scale, steps)
        times, maps, images = [], [], []

        @functools.cache
        def before_attention(network):
            layers = [layer for layer in network.layers if isinstance(layer, PixelTextAttention)]
            return layers, keras.Model(network.input, {layer.name: layer.input[0] for layer in layers})

        def look(step, x, t, x0):
            attention, before = before_attention(self.network(float(t)))
            grids = before({"x": x, "t": tf.reshape(t, [1]), **self.features_at(t, features)})
            scores = [
                layer(grids[layer.name], features["tokens"], features["mask"], return_attention_scores=True)[1]
                for layer in attention
            ]
            times.append(float(t))
            maps.append(tf.reduce_mean(scores, axis=0)[0, ..., : len(words)])  # [h, w, W]
            images.append(to_uint8(x0)[0])

        denoise = self.denoiser(token_ids, self.tokenize([""]), self.guidance_scale, steps)
        seeds, schedule = tf.constant([seed], tf.int64), schedules.get(self.schedule)
        x, noise = gaussian(seeds, self.image_shape), self._step_noise(seeds)
        samplers.SAMPLERS[self.sampler](denoise, x, self.sampling_times(steps), schedule, noise, callback=look)
        return AttentionMaps(words, np.array(times), np.stack(maps).transpose(0, 3, 1, 2), np.stack(images))

    def draw_noise(self, num_images, seed):
        """Random numbers of one training step.

        Returns:
            dict: `time` [B], from numbers spread evenly over [0, 1] at a common random offset (Kingma et al., 2021,
            arXiv:2107.00630, appendix I.1), then shifted; `eps` [B, H, W, C]; `empty` bool [B], captions to drop.
        """
        offset = tf.random.stateless_uniform([], seed)
        even = (tf.cast(tf.range(num_images), tf.float32) + offset) / tf.cast(num_images, tf.float32)
        return {
            "time": samplers.shifted(even, self.time_shift),
            "eps": tf.random.stateless_normal([num_images, *self.image_shape], seed + tf.constant([0, 1_000])),
            "empty": self.drop_captions(num_images, seed + tf.constant([0, 2_000])),
        }

    def batch_losses(self, batch, noise, text_encoder, network):
        """(weighted loss, mean squared error of x0), each the batch's mean."""
        t, eps, x0 = noise["time"], noise["eps"], batch["image"]
        alpha, sigma = (value[:, None, None, None] for value in schedules.get(self.schedule)(t))
        x0_estimate = self.estimate(alpha * x0 + sigma * eps, t, text_encoder.encode(batch, noise["empty"]), network)
        return self.errors(x0_estimate, x0, t)

    def errors(self, x0_estimate, x0, t):
        """(weighted loss, mean squared error) of denoised estimates [B, H, W, C] at times [B], means of the batch."""
        alpha, sigma = schedules.get(self.schedule)(t)
        error = tf.reduce_mean((x0_estimate - x0) ** 2, axis=[1, 2, 3])
        # A squared error of eps is one of x0 times alpha^2 / sigma^2; without alpha^2, times near 1 would outweigh all others.
        signal = alpha**2 if self.parameterisation == "eps" else 1.0
        weight = tf.minimum(signal / tf.maximum(sigma**4, 1e-6), self.max_loss_weight)
        return tf.reduce_mean(weight * error), tf.reduce_mean(error)

    def estimate(self, x, t, features, network):
        """The denoised estimate x0 of x [B, H, W, C], at one time for all or times [B], from what steers the network."""
        t = tf.broadcast_to(t, tf.shape(x)[:1])
        alpha, sigma = (value[:, None, None, None] for value in schedules.get(self.schedule)(t))
        return parameterisations.to_x0(self.parameterisation, network({"x": x, "t": t, **features}), x, alpha, sigma)

    def train_step(self, batch):
        return self.track(batch, **self.update(batch, self.step_noise(batch)))

    def update(self, batch, noise):
        """One step of each optimizer on a batch and the numbers of `draw_noise`; returns the metrics."""
        with tf.GradientTape() as tape:
            loss, x0_error = self.batch_losses(batch, noise, self.text_encoder, self.unet)
        self.minimize(tape, loss, "optimizer", "text_optimizer")
        self.average_weights(tf.shape(batch["image"])[0])
        return {"loss": loss, "x0_error": x0_error}

    def test_step(self, batch):
        """The same losses of the averaged weights, with the same noise at every call."""
        noise = self.draw_noise(tf.shape(batch["image"])[0], tf.constant([0, 0]))
        loss, x0_error = self.batch_losses(batch, noise, self.averaged_text_encoder, self.averaged_unet)
        return self.track(batch, loss=loss, x0_error=x0_error)

    def error_by_time(self, batch, times):
        """What the model knows of a picture at each noise level: the mean squared error of its estimate of x0, in [-1, 1].

        Args:
            batch: of `tfgen.data.prepare`, held out.
            times: floats in (0, 1]; at 1 there is only noise, and what the caption tells.

        Returns:
            float32 [len(times)].
        """
        num_images = tf.shape(batch["image"])[0]
        noise = {"eps": gaussian(picture_seeds(batch["image"]), self.image_shape), "empty": tf.zeros([num_images], tf.bool)}
        errors = []
        for time in times:
            noise["time"] = tf.fill([num_images], float(time))
            errors.append(self.batch_losses(batch, noise, self.averaged_text_encoder, self.averaged_unet)[1])
        return tf.stack(errors)

    def sampling_settings(self, steps, guidance_scale, sampler, negative_prompts):
        steps = self.steps if steps is None else steps
        guidance_scale = self.guidance_scale if guidance_scale is None else guidance_scale
        sampler = sampler or self.sampler
        if not isinstance(steps, int | np.integer) or not 1 <= steps <= MAX_STEPS:
            raise ValueError(f"steps is {steps!r}; give a whole number from 1 to {MAX_STEPS}")
        if not 0 <= guidance_scale <= 100:
            raise ValueError(f"guidance_scale is {guidance_scale!r}; give a number from 0 to 100, 1 being no guidance")
        if sampler not in samplers.SAMPLERS:
            raise ValueError(f"unknown sampler {sampler!r}; choose from {', '.join(samplers.SAMPLERS)}")
        return {"steps": steps, "guidance_scale": guidance_scale, "sampler": sampler}

    def sampling_times(self, steps):
        """When the network is asked: float32 [steps + 1] from 1 down to 0."""
        return samplers.TIME_GRIDS[self.time_grid](steps, schedules.get(self.schedule))

    def sample(self, seeds, token_ids, negative_token_ids, *, steps, guidance_scale, sampler):
        """Pictures float32 [B, H, W, C] from seeds int64 [B] and token ids [B, T]."""
        scale = tf.broadcast_to(tf.convert_to_tensor(guidance_scale, tf.float32), tf.shape(seeds))
        # Known when a graph is traced: so one graph is for any number of pictures, but for one number of steps.
        times = tuple(self.sampling_times(steps).tolist())
        x = gaussian(seeds, self.image_shape)
        by_xla = self.chosen_jit_compile is True and not tf.inside_function()  # a model server refuses XLA
        if by_xla and sampler == "ddpm":
            raise ValueError('by XLA the noise of ddpm would be other noise; compile with jit_compile="auto", or give ddim')
        return (self._from_noise_by_xla if by_xla else self._from_noise)(
            x, seeds, token_ids, negative_token_ids, scale, times=times, sampler=sampler
        )

    def _path(self, x, seeds, token_ids, negative_token_ids, guidance_scale, *, times, sampler):
        denoise = self.denoiser(token_ids, negative_token_ids, guidance_scale, len(times) - 1)
        times = np.array(times, np.float32)
        return samplers.SAMPLERS[sampler](denoise, x, times, schedules.get(self.schedule), self._step_noise(seeds))

    _from_noise, _from_noise_by_xla = one_graph(_path), one_graph(_path, jit_compile=True)

    def _step_noise(self, seeds):
        """A function from a step of the sampler to its noise [B, H, W, C]."""
        return lambda step: gaussian(seeds, self.image_shape, stream=step + 1)

    def conditioning(self, token_ids, guidance_scale, steps):
        """What steers the averaged U-Net, for prompts [B, T]: features of the text, and scale and steps if it reads those."""
        return self.averaged_text_encoder(token_ids, token_ids != 0)

    def network(self, t):
        """The averaged U-Net that is asked at a time."""
        return self.averaged_unet

    def features_at(self, t, features):
        """What of `conditioning` steers the U-Net at a time."""
        return features

    def denoiser(self, token_ids, negative_token_ids, guidance_scale, steps):
        """A function (x, t) -> guided estimate of x0, for prompts [B, T] and what they should not show [B, T]."""

        def denoise(x, t, features):
            return self.estimate(x, t, features, self.averaged_unet)

        positive, negative = (self.conditioning(one, guidance_scale, steps) for one in (token_ids, negative_token_ids))
        return classifier_free(denoise, positive, negative, guidance_scale, self.guidance_rescale, self.guidance_interval)
