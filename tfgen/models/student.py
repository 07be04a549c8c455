"""A few-step student: learns to draw in one, two or four steps what a diffusion model, its teacher, draws in many.

The teacher's path from noise to a picture is deterministic, so noise, prompt and guidance scale say which picture it is. The
student learns to name that picture from the noise (Luhman & Luhman, 2021, arXiv:2101.02388). One look does not tell it all,
so it may walk as far as its first guess leads and look again; it learns from where its own steps have led it, which is where it
will stand when it draws. It keeps its teacher's text encoder as it is. Guidance is an input of its network (Meng et al., 2023,
arXiv:2210.03142): a step is one call.
"""

import keras
import numpy as np
import tensorflow as tf

from tfgen.diffusion import samplers, schedules
from tfgen.models.diffusion import TextToImageDiffusion

STEPS = (1, 2, 4)  # in which a student can draw
# What one training step is about: (which step, of how many), and how often. All paths begin with the same step.
_TASKS = ((0, 1), (1, 2), (1, 4), (2, 4), (3, 4))
_OFTEN = (0.4, 0.15, 0.15, 0.15, 0.15)


@keras.saving.register_keras_serializable("tfgen")
class FewStepStudent(TextToImageDiffusion):
    """A diffusion model that has learned a teacher's pictures from the noise they came from.

    Training batches hold, besides captions, the teacher's pictures as `image`, and as `noise` [B, H, W, C] and `guidance_scale`
    [B] what they came from; see `tfgen.distillation`.

    Args: those of `TextToImageDiffusion` that say what the network is, how long its averaged weights remember, and what
        `generate` does when not told otherwise: `steps`, 1, 2 or 4, and `guidance_scale`. Of its own it has `time_shift`:
        its steps are at even times shifted so (`tfgen.diffusion.samplers.shifted`), for what a picture shows is decided where
        there is much noise.

    Metrics: `loss` and `x0_error`, the mean absolute and the mean squared error of the estimated picture in [-1, 1]: in
        training of the one step trained, in `evaluate` of the whole path.
    """

    settings = (
        "image_size", "image_channels", "patch_size", "channels", "num_blocks", "num_heads", "schedule", "parameterisation",
        "time_shift", "ema_half_life", "steps", "guidance_scale",
    )  # fmt: skip

    reads_guidance = True

    def __init__(self, text_encoder, image_size=32, image_channels=3, *, time_shift=3.0, steps=4, **settings):
        super().__init__(text_encoder, image_size, image_channels, time_shift=time_shift, steps=steps, **settings)

    @classmethod
    def of(cls, teacher, **settings):
        """A student that begins with the weights of its teacher, a `TextToImageDiffusion`."""
        known = {name: getattr(teacher, name) for name in cls.settings if name not in ("time_shift", "ema_half_life", "steps")}
        student = cls(teacher.averaged_text_encoder.copy(), **{**known, **settings})
        of_teacher = {layer.name: layer for layer in teacher.averaged_unet.layers}
        for network in (student.unet, student.averaged_unet):
            for layer in network.layers:
                if layer.name in of_teacher:
                    layer.set_weights(of_teacher[layer.name].get_weights())
        return student

    @property
    def optimized_variables(self):
        return {"optimizer": self.unet.trainable_variables}

    def draw_noise(self, num_images, seed):
        """Random numbers of one training step: `task`, the index of which step of how many is trained."""
        return {"task": tf.random.stateless_categorical(tf.math.log([_OFTEN]), 1, seed, tf.int32)[0, 0]}

    def update(self, batch, noise):
        """Walk to the step that is trained, then learn to name the teacher's picture from there."""
        paths = np.array([np.pad(self.sampling_times(steps), (0, max(STEPS) - steps)) for _, steps in _TASKS])
        step, times = (tf.gather(of_all, noise["task"]) for of_all in ([step for step, _ in _TASKS], paths))
        features = {**self.text_encoder.encode(batch), "guidance_scale": batch["guidance_scale"]}

        def estimate(x, t):
            return self.estimate(x, t, features, self.unet)

        x = self._walk(estimate, batch["noise"], times, step)
        with tf.GradientTape() as tape:
            loss, x0_error = self._errors(estimate(x, times[step]), batch)
        self.descend(tape, loss, "optimizer")
        self.average_weights(tf.shape(batch["image"])[0])
        return {"loss": loss, "x0_error": x0_error}

    def _walk(self, estimate, x, times, num_steps):
        """DDIM's first steps."""
        alphas, sigmas = schedules.get(self.schedule)(times)

        def step(i, x):
            x0 = estimate(x, times[i])
            return i + 1, alphas[i + 1] * x0 + sigmas[i + 1] * (x - alphas[i] * x0) / sigmas[i]

        return tf.while_loop(lambda i, x: i < num_steps, step, (0, x))[1]

    @staticmethod
    def _errors(x0, batch):
        difference = x0 - batch["image"]
        return tf.reduce_mean(tf.abs(difference)), tf.reduce_mean(difference**2)

    def sampling_times(self, steps):
        return samplers.shifted(samplers.uniform_times(steps), np.float32(self.time_shift))

    def test_step(self, batch):
        """How far the pictures that `generate` would draw are from the teacher's."""
        features = {**self.averaged_text_encoder.encode(batch), "guidance_scale": batch["guidance_scale"]}

        def estimate(x, t):
            return self.estimate(x, t, features, self.averaged_unet)

        x0 = samplers.ddim(estimate, batch["noise"], self.sampling_times(self.steps), schedules.get(self.schedule))
        loss, x0_error = self._errors(x0, batch)
        return self.track(batch, loss=loss, x0_error=x0_error)

    def sampling_settings(self, steps, guidance_scale, sampler, negative_prompts):
        if sampler not in (None, self.sampler):
            raise ValueError(f"sampler is {sampler!r}, but a few-step student has learned one path of its own; leave it out")
        settings = super().sampling_settings(steps, guidance_scale, sampler, negative_prompts)
        if settings["steps"] not in STEPS:
            raise ValueError(f"steps is {settings['steps']}; a few-step student has learned to draw in 1, 2 or 4")
        return settings

    def steering(self, token_ids, guidance_scale):
        return {
            **super().steering(token_ids, guidance_scale),
            "guidance_scale": tf.broadcast_to(guidance_scale, tf.shape(token_ids)[:1]),
        }

    def denoiser(self, token_ids, negative_token_ids, guidance_scale):
        """A function (x, t) -> estimate of x0. A negative prompt takes the place of the empty one in guidance,
        positive + (scale - 1) (empty - negative), for which the network is called twice more."""
        empty = tf.repeat(self.text_encoder.tokenizer.empty_caption()[None], tf.shape(token_ids)[0], axis=0)
        wanted, scale = self.steering(token_ids, guidance_scale), tf.reshape(guidance_scale, [-1, 1, 1, 1])
        turns = tf.reduce_any(negative_token_ids != empty)

        def denoise(x, t):
            x0 = self.estimate(x, t, wanted, self.averaged_unet)

            def turned():
                towards, away = (
                    self.estimate(x, t, self.steering(one, 1.0), self.averaged_unet) for one in (empty, negative_token_ids)
                )
                return x0 + (scale - 1) * (towards - away)

            return tf.cond(turns, turned, lambda: x0)

        return denoise
