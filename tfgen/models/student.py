"""A few-step student: learns to draw in one, two or four steps what a diffusion model, its teacher, draws in many.

Nobody shows it pictures. It draws, noises what it drew, and asks two networks what they take that for: its teacher, which knows
how pictures look, and one that learns as it goes how the student's own look. Where the two differ, the student's pictures are
not distributed as the teacher's; it moves from the one estimate to the other (distribution matching: Yin et al., 2023,
arXiv:2311.18828). One look does not tell a picture's all, so it may walk as far as its first guess leads and look again, and
is trained where its own steps have led it (Yin et al., 2024, arXiv:2405.14867, section 4.5). It keeps its teacher's text
encoder as it is. Guidance is an input of its network (Meng et al., 2023, arXiv:2210.03142): a step is one call.
"""

import keras
import numpy as np
import tensorflow as tf

from tfgen.diffusion import samplers, schedules
from tfgen.diffusion.guidance import classifier_free
from tfgen.models.diffusion import TextToImageDiffusion

STEPS = (1, 2, 4)  # in which a student can draw
# What one training step is about: (which step, of how many), and how often. All paths begin with the same step.
_TASKS = ((0, 1), (1, 2), (1, 4), (2, 4), (3, 4))
_OFTEN = (0.4, 0.15, 0.15, 0.15, 0.15)
_OWN_SCALE_PART = 0.5
_EARLIEST, _LATEST = 0.1, 0.95  # times at which the two networks are asked
_LEAST_DISTANCE = 1e-2


@keras.saving.register_keras_serializable("tfgen")
class FewStepStudent(TextToImageDiffusion):
    """A diffusion model that draws in few steps, for its pictures have become distributed as a teacher's.

    Of training batches it reads the captions alone. `FewStepStudent.of(teacher)` makes one that can be trained; an averaged or
    saved one without its teacher draws only.

    Args: those of `TextToImageDiffusion` that say what the network is, how long its averaged weights remember, and what
        `generate` does when not told otherwise: `steps`, 1, 2 or 4, and `guidance_scale`. Of its own it has `time_shift`:
        its steps are at even times shifted so (`tfgen.diffusion.samplers.shifted`), for what a picture shows is decided where
        there is much noise; and `keeps_teacher`, whether it has the two networks that training asks.

    Metrics: `distance`, the mean absolute difference between what the student drew and what its teacher takes it for when
        it is noised, in [-1, 1]; `fake_loss`, the weighted error of the network that learns the student's pictures. In training
        they are of the one step trained, in `evaluate` of the whole path. Neither says how good the pictures are.
    """

    settings = (
        "image_size", "image_channels", "patch_size", "channels", "num_blocks", "num_heads", "schedule", "parameterisation",
        "time_shift", "caption_dropout", "ema_half_life", "keeps_teacher", "steps", "guidance_scale",
    )  # fmt: skip
    of_training_alone = ("ema_half_life", "keeps_teacher")
    metric_names = ("distance", "fake_loss")

    reads_guidance = True

    def __init__(
        self, text_encoder, image_size=32, image_channels=3, *, time_shift=3.0, keeps_teacher=False, steps=4, **settings
    ):  # fmt: skip
        text_encoder.trainable = False
        super().__init__(text_encoder, image_size, image_channels, time_shift=time_shift, steps=steps, **settings)
        self.keeps_teacher = keeps_teacher
        if keeps_teacher:
            self.teacher_unet, self.fake_unet = self.make_unet(reads_guidance=False), self.make_unet(reads_guidance=True)
            self.teacher_unet.trainable = False

    @classmethod
    def of(cls, teacher, **settings):
        """A student that can be trained, and begins with the weights of its teacher, a `TextToImageDiffusion`."""
        of_training = ("time_shift", "ema_half_life", "keeps_teacher", "steps")
        known = {name: getattr(teacher, name) for name in cls.settings if name not in of_training}
        student = cls(teacher.averaged_text_encoder.copy(), **{**known, "keeps_teacher": True, **settings})
        of_teacher = {layer.name: layer.get_weights() for layer in teacher.averaged_unet.layers}
        for network in (student.unet, student.averaged_unet, student.teacher_unet, student.fake_unet):
            for layer in network.layers:
                if layer.name in of_teacher:
                    layer.set_weights(of_teacher[layer.name])
        return student

    @property
    def optimized_variables(self):
        fake = {"fake_optimizer": self.fake_unet.trainable_variables} if self.keeps_teacher else {}
        return {"optimizer": self.unet.trainable_variables, **fake}

    def draw_noise(self, num_images, seed):
        """Random numbers of one training step.

        Returns:
            dict: `task`, the index of which step of how many is trained; `start` [B, H, W, C], where the path begins;
            `guidance_scale` [B], half of them the student's own, the others any from 1, which is no guidance, to twice that;
            `empty` bool [B], captions to drop; `time` [B], spread evenly, at which what is drawn is noised by `eps`
            [B, H, W, C].
        """
        own = tf.random.stateless_uniform([num_images], seed + tf.constant([0, 4_000])) < _OWN_SCALE_PART
        scale = tf.random.stateless_uniform([num_images], seed + tf.constant([0, 5_000]), 1.0, 2.0 * self.guidance_scale)
        even = (tf.range(num_images, dtype=tf.float32) + tf.random.stateless_uniform([], seed)) / tf.cast(
            num_images, tf.float32
        )
        return {
            "task": tf.random.stateless_categorical(tf.math.log([_OFTEN]), 1, seed, tf.int32)[0, 0],
            "start": tf.random.stateless_normal([num_images, *self.image_shape], seed + tf.constant([0, 1_000])),
            "eps": tf.random.stateless_normal([num_images, *self.image_shape], seed + tf.constant([0, 2_000])),
            "empty": self.drop_captions(num_images, seed + tf.constant([0, 3_000])),
            "guidance_scale": tf.where(own, float(self.guidance_scale), scale),
            "time": _EARLIEST + (_LATEST - _EARLIEST) * even,
        }

    def update(self, batch, noise):
        """Walk to the step that is trained, draw from there, and move what is drawn towards what the teacher would draw."""
        paths = np.array([np.pad(self.sampling_times(steps), (0, max(STEPS) - steps)) for _, steps in _TASKS])
        step, times = (tf.gather(of_all, noise["task"]) for of_all in ([step for step, _ in _TASKS], paths))
        features = {**self.text_encoder.encode(batch, noise["empty"]), "guidance_scale": noise["guidance_scale"]}

        def estimate(x, t):
            return self.estimate(x, t, features, self.unet)

        x = self._walk(estimate, noise["start"], times, step)
        with tf.GradientTape() as tape:
            drawn = estimate(x, times[step])
            with tape.stop_recording(), tf.GradientTape() as fake_tape:
                distance, fake_loss, direction = self._ask_both(drawn, features, noise)
            loss = -tf.reduce_mean(direction * drawn)  # its gradient
        self.descend(tape, loss, "optimizer")
        self.descend(fake_tape, fake_loss, "fake_optimizer")
        self.average_weights(tf.shape(drawn)[0])
        return {"distance": distance, "fake_loss": fake_loss}

    def _walk(self, estimate, x, times, num_steps):
        """DDIM's first steps."""
        alphas, sigmas = schedules.get(self.schedule)(times)

        def step(i, x):
            x0 = estimate(x, times[i])
            return i + 1, alphas[i + 1] * x0 + sigmas[i + 1] * (x - alphas[i] * x0) / sigmas[i]

        return tf.while_loop(lambda i, x: i < num_steps, step, (0, x))[1]

    def _ask_both(self, drawn, features, noise):
        """What the teacher and the network of the student's own pictures take these for, when they are noised.

        Returns:
            The two metrics, and the direction [B, H, W, C] in which to move the pictures: the difference of the two estimates,
            over the teacher's distance from the picture (equations 7 and 8).
        """
        if not self.keeps_teacher:
            raise ValueError("this student has no teacher to learn from; make one with FewStepStudent.of(teacher)")
        t, num_images = noise["time"], tf.shape(drawn)[0]
        alpha, sigma = (value[:, None, None, None] for value in schedules.get(self.schedule)(t))
        x = alpha * drawn + sigma * noise["eps"]
        fake = self.estimate(x, t, features, self.fake_unet)
        fake_loss, _ = self.errors(fake, drawn, t)

        def ask_teacher(x, t, condition):
            return self.estimate(x, tf.concat([t, t], axis=0), condition, self.teacher_unet)

        prompts = {name: value for name, value in features.items() if name != "guidance_scale"}
        no_prompts = self.text_encoder.encode({"token_ids": self._empty_captions(num_images)})
        real = classifier_free(ask_teacher, prompts, no_prompts, features["guidance_scale"])(x, t)
        real = tf.clip_by_value(real, -1.0, 1.0)
        distance = tf.reduce_mean(tf.abs(real - drawn), axis=[1, 2, 3], keepdims=True)
        return tf.reduce_mean(distance), fake_loss, (real - fake) / tf.maximum(distance, _LEAST_DISTANCE)

    def _empty_captions(self, num_images):
        return tf.repeat(self.text_encoder.tokenizer.empty_caption()[None], num_images, axis=0)

    def sampling_times(self, steps):
        return samplers.shifted(samplers.uniform_times(steps), np.float32(self.time_shift))

    def test_step(self, batch):
        """The same of what `generate` would draw, from the same noise at every call."""
        noise = self.draw_noise(tf.shape(batch["image"])[0], tf.constant([0, 0]))
        features = {**self.text_encoder.encode(batch), "guidance_scale": noise["guidance_scale"]}

        def estimate(x, t):
            return self.estimate(x, t, features, self.averaged_unet)

        drawn = samplers.ddim(estimate, noise["start"], self.sampling_times(self.steps), schedules.get(self.schedule))
        distance, fake_loss, _ = self._ask_both(drawn, features, noise)
        return self.track(batch, distance=distance, fake_loss=fake_loss)

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
        empty = self._empty_captions(tf.shape(token_ids)[0])
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
