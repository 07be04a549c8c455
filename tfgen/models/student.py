"""A few-step student: learns to draw in one, two or four steps what a diffusion model, its teacher, draws in many.

A step leads from one time to another. Where the teacher's own path leads from there, in some short steps, can be seen, and the
student learns to come there in one (Salimans & Ho, 2022, arXiv:2202.00512, take half the steps in this way, and half of them
again). But far from the end the path turns on details of the noise that one look does not tell, and what is learned of a long
last step is blurred. So the last of one, of two and of four steps is learned otherwise too: the picture is noised, and two
networks are asked what they take it for, the teacher, which knows how pictures look, and one that learns as it goes how the
student's own look. Where they differ the student's pictures are not distributed as the teacher's; it moves from the one
estimate to the other (distribution matching: Yin et al., 2023, arXiv:2311.18828). By itself that would end in few kinds of
picture, all backgrounds that are left open red; so the picture also keeps the colors, on a coarse grid, of that of the
student's own short steps.

Both are trained where the student's own steps have led it, which is where it will stand when it draws. It keeps its teacher's
text encoder as it is. Guidance is an input of its network (Meng et al., 2023, arXiv:2210.03142): a step is one call.

To draw in one step asks the most of a network, and gets little of it while that learns longer paths too. So a student that
can draw in four may go on with a copy of its network that learns to draw in one step alone, by matching. That is then the
first step of every path, and the network as it was takes the others.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfgen.diffusion import samplers, schedules
from tfgen.diffusion.guidance import classifier_free
from tfgen.models.diffusion import TextToImageDiffusion

STEPS = (1, 2, 4)  # in which a student can draw
# Which steps, of how many, are learned from the teacher's path, and which from how its pictures are distributed; drawing in one
# is the hardest, and twice as often learned.
_FOLLOWED, _MATCHED = ((0, 4), (1, 4), (2, 4), (3, 4), (0, 2)), ((0, 1), (0, 1), (1, 2), (3, 4))
_ONE_STEP = ((0, 1),)
_SHORT_STEPS = 3  # of the teacher's for one of the student's
_OWN_SCALE_PART = 0.5
_EARLIEST, _LATEST = 0.05, 0.99  # times at which the two networks are asked
_LEAST_DISTANCE = 1e-2
_GRID = 4  # cells of a picture in a row and in a column whose mean colors are kept


@keras.saving.register_keras_serializable("tfgen")
class FewStepStudent(TextToImageDiffusion):
    """A diffusion model that draws in few steps.

    Of training batches it reads the captions alone. `FewStepStudent.of(teacher)` makes one that can be trained; an averaged or
    saved one without its teacher draws only.

    Args: those of `TextToImageDiffusion` that say what the network is, how long its averaged weights remember, and what
        `generate` does when not told otherwise: `steps`, 1, 2 or 4, and `guidance_scale`. Of its own it has `time_shift`:
        its steps are at even times shifted so (`tfgen.diffusion.samplers.shifted`), for what a picture shows is decided where
        there is much noise; `keeps_teacher`, whether it has the two networks that training asks; and `first_step_apart`,
        whether the first step has a network of its own, `unet`, the only one that is then trained, by drawing in one step,
        and `later_unet` takes the others: of four the last three, of two the last of four.
        `guidance_interval` is (earliest, latest) t at which `generate` guides; training guides everywhere.

    Metrics: `path_error`, the mean squared difference of the student's step from where the teacher's path leads, as
        pictures in [-1, 1], of a first step apart from where the four of `later_unet` lead; `distance`, the mean absolute one
        between its picture and the teacher's denoised estimate of that, noised; `fake_loss`, the weighted error of the network
        that learns the student's pictures. In training they are of the steps trained, in `evaluate` of the whole path.
    """

    settings = (
        "image_size", "image_channels", "patch_size", "channels", "num_blocks", "num_heads", "schedule", "parameterisation",
        "max_loss_weight", "time_shift", "caption_dropout", "ema_half_life", "keeps_teacher", "first_step_apart", "steps",
        "guidance_scale", "guidance_interval",
    )  # fmt: skip
    training_only = ("ema_half_life", "keeps_teacher")
    metric_names = ("path_error", "distance", "fake_loss")

    path_conditioned = True
    # Traced once for all their calls in a training step and in a SavedModel; one by one they would take longer.
    estimate = tf.function(TextToImageDiffusion.estimate, reduce_retracing=True, autograph=False)
    _traced_conditioning = tf.function(TextToImageDiffusion.conditioning, reduce_retracing=True, autograph=False)

    def __init__(
        self, text_encoder, image_size=32, image_channels=3, *, time_shift=2.0, keeps_teacher=False, first_step_apart=False,
        steps=4, **settings,
    ):  # fmt: skip
        for name in ("sampler", "time_grid", "guidance_rescale"):
            if name in settings:
                raise TypeError(f"a few-step student has learned one path of its own; leave out {name}")
        text_encoder.trainable = False
        super().__init__(text_encoder, image_size, image_channels, time_shift=time_shift, steps=steps, **settings)
        self.keeps_teacher, self.first_step_apart = keeps_teacher, first_step_apart
        if first_step_apart:
            self.later_unet = self.averaged_later_unet = self.make_unet(path_conditioned=True)
            self.later_unet.trainable = False
            self.averaged_names = [*self.averaged_names, "later_unet"]
        if keeps_teacher:
            self.teacher_unet, self.fake_unet = self.make_unet(path_conditioned=False), self.make_unet(path_conditioned=True)
            self.teacher_unet.trainable = False

    @classmethod
    def of(cls, teacher, begin_with=None, **settings):
        """A student that can be trained, and begins with the weights of its teacher, a `TextToImageDiffusion`, or with those of
        another student; with `first_step_apart` the other's network is kept for the steps after the first.

        Raises:
            ValueError: the other student's network is not like the teacher's, or there is none where the first step is learned
                apart; or the teacher guides in a way that no student learns.
            TypeError: a setting that would make another network than the teacher's.
        """
        cls.refuse_another_network(teacher, settings)
        if teacher.guidance_rescale or teacher.guidance_interval != (0.0, 1.0):
            raise ValueError(
                "a student learns plain guidance; its teacher needs guidance_rescale 0 and guidance_interval (0, 1)"
            )
        own = ("time_shift", "ema_half_life", "keeps_teacher", "first_step_apart", "steps")
        known = {name: getattr(teacher, name) for name in cls.settings if name not in own}
        student = cls(teacher.averaged_text_encoder.copy(), **{**known, "keeps_teacher": True, **settings})
        of_teacher = {layer.name: layer.get_weights() for layer in teacher.averaged_unet.layers}
        for network in (student.unet, student.averaged_unet, student.teacher_unet, student.fake_unet):
            for layer in network.layers:
                if layer.name in of_teacher:
                    layer.set_weights(of_teacher[layer.name])
        if begin_with:
            shapes = [[weight.shape for weight in one.unet.weights] for one in (student, begin_with)]
            if shapes[0] != shapes[1]:
                raise ValueError("the student to begin with has a network unlike its teacher's; begin with one that it taught")
            for network in (student.unet, student.averaged_unet):
                network.set_weights(begin_with.network(1.0 if student.first_step_apart else 0.0).get_weights())
            if student.first_step_apart:
                student.later_unet.set_weights(begin_with.network(0.0).get_weights())
        elif student.first_step_apart:
            raise ValueError("a first step is learned apart by a student that can draw in more; give one as begin_with")
        return student

    def network(self, t):
        return self.averaged_later_unet if self.first_step_apart and t < 1 else self.averaged_unet

    @property
    def optimized_variables(self):
        fake = {"fake_optimizer": self.fake_unet.trainable_variables} if self.keeps_teacher else {}
        return {"optimizer": self.unet.trainable_variables, **fake}

    @property
    def _matched(self):
        return _ONE_STEP if self.first_step_apart else _MATCHED

    def draw_noise(self, num_images, seed):
        """Random numbers of one training step.

        Returns:
            dict: `followed` and `matched`, indices of the steps that are trained; `start` [B, H, W, C], where the paths begin;
            `guidance_scale` [B], half of them the student's own, the others any from 1, which is no guidance, to twice that;
            `empty` bool [B], captions to drop; `time` [B], spread evenly, at which what is drawn is noised by `eps`
            [B, H, W, C].
        """
        uniform = tf.random.stateless_uniform([2, num_images], seed + tf.constant([0, 1_000]))
        scale = 1 + uniform[0] * (2 * self.guidance_scale - 1)
        offset = tf.random.stateless_uniform([], seed + tf.constant([0, 2_000]))
        even = (tf.range(num_images, dtype=tf.float32) + offset) / tf.cast(num_images, tf.float32)
        steps = tf.random.stateless_uniform([2], seed + tf.constant([0, 3_000]))
        return {
            "followed": tf.cast(steps[0] * len(_FOLLOWED), tf.int32),
            "matched": tf.cast(steps[1] * len(self._matched), tf.int32),
            "start": tf.random.stateless_normal([num_images, *self.image_shape], seed + tf.constant([0, 4_000])),
            "guidance_scale": tf.where(uniform[1] < _OWN_SCALE_PART, float(self.guidance_scale), scale),
            "empty": self.drop_captions(num_images, seed + tf.constant([0, 5_000])),
            "time": _EARLIEST + (_LATEST - _EARLIEST) * even,
            "eps": tf.random.stateless_normal([num_images, *self.image_shape], seed + tf.constant([0, 6_000])),
        }

    def update(self, batch, noise):
        """One step of each optimizer: for a step that should lead where the teacher's path does, unless the first is learned
        apart, and for a last step whose pictures should be distributed as the teacher's."""
        prompts, scale = self.text_encoder.encode(batch, noise["empty"]), noise["guidance_scale"]
        ask_teacher = self._guided_teacher(prompts, scale)

        def reached(tasks, task):
            """A step that is trained, of how many, when it begins, and where the student's own steps have led by then."""
            step, num_steps = (tf.gather(of_all, task) for of_all in zip(*tasks, strict=True))
            paths = [np.pad(self.sampling_times(count), (0, max(STEPS) - count)) for _, count in tasks]
            times = tf.gather(np.stack(paths), task)
            estimate = self._estimator(self.unet, prompts, scale, num_steps)
            return estimate, num_steps, times[step], self._walk(estimate, noise["start"], times, step)

        if not self.first_step_apart:
            follow, _, t, x = reached(_FOLLOWED, noise["followed"])
            short = tf.gather(np.stack([self._short_steps(*task) for task in _FOLLOWED]), noise["followed"])
            aim = self._leading_estimate(x, self._walk(ask_teacher, x, short, _SHORT_STEPS), short[0], short[-1])
        draw, num_steps, last, begin = reached(self._matched, noise["matched"])
        finest = tf.constant(self.sampling_times(max(STEPS)))
        passed = [max(STEPS) * step // count for step, count in self._matched]
        in_short_steps = self._estimator(self.later_unet if self.first_step_apart else self.unet, prompts, scale, max(STEPS))
        goal = self._walk(in_short_steps, begin, finest, max(STEPS), first=tf.gather(passed, noise["matched"]))
        ask_fake = self._estimator(self.fake_unet, prompts, scale, num_steps)
        with tf.GradientTape() as tape:
            drawn = draw(begin, last)
            path_error = tf.reduce_mean((drawn - goal if self.first_step_apart else follow(x, t) - aim) ** 2)
            with tape.stop_recording(), tf.GradientTape() as fake_tape:
                distance, fake_loss, direction = self._ask_both(drawn, noise, ask_teacher, ask_fake)
            # The gradient of the last is the direction.
            off_color = tf.nn.avg_pool2d(drawn - goal, self.image_size // _GRID, self.image_size // _GRID, "SAME")
            matching_loss = tf.reduce_mean(off_color**2) - tf.reduce_mean(direction * drawn)
            loss = matching_loss if self.first_step_apart else path_error + matching_loss
        self.minimize(tape, loss, "optimizer")
        self.minimize(fake_tape, fake_loss, "fake_optimizer")
        self.average_weights(tf.shape(drawn)[0])
        return {"path_error": path_error, "distance": distance, "fake_loss": fake_loss}

    def _estimator(self, network, prompts, guidance_scale, num_steps):
        """A function (x, t) -> estimate of x0, for paths of so many steps."""
        features = self._with_path(prompts, guidance_scale, num_steps)
        return lambda x, t: self.estimate(x, t, features, network)

    def _with_path(self, prompts, guidance_scale, num_steps):
        """All that steers a network: features of prompts [B], and scale and number of steps, each one for all or [B]."""
        num_images, path = tf.shape(prompts["pooled"])[:1], {"guidance_scale": guidance_scale, "num_steps": num_steps}
        return {**prompts, **{name: tf.broadcast_to(tf.cast(value, tf.float32), num_images) for name, value in path.items()}}

    def _guided_teacher(self, prompts, guidance_scale):
        """A function (x, t) -> the teacher's guided estimate of x0."""
        if not self.keeps_teacher:
            raise ValueError("this student has no teacher to learn from; make one with FewStepStudent.of(teacher)")
        num_images = tf.shape(guidance_scale)
        no_prompt = self.text_encoder.encode({"token_ids": self._empty_captions(1)})
        no_prompts = {name: tf.repeat(value, num_images[0], axis=0) for name, value in no_prompt.items()}

        def ask(x, t, condition):
            t = tf.broadcast_to(t, num_images)
            return self.estimate(x, tf.concat([t, t], axis=0), condition, self.teacher_unet)

        return classifier_free(ask, prompts, no_prompts, guidance_scale)

    def _empty_captions(self, num_images):
        return tf.repeat(self.text_encoder.tokenizer.empty_caption()[None], num_images, axis=0)

    def _walk(self, estimate, x, times, end, first=0):
        """DDIM's steps before the one with the index `end`."""
        alphas, sigmas = schedules.get(self.schedule)(times)

        def step(i, x):
            x0 = estimate(x, times[i])
            return i + 1, alphas[i + 1] * x0 + sigmas[i + 1] * (x - alphas[i] * x0) / sigmas[i]

        return tf.while_loop(lambda i, x: i < end, step, (first, x))[1]

    def _leading_estimate(self, x, goal, t, end):
        """The x0 with which a step of DDIM leads from x at time t to the goal at the end."""
        alphas, sigmas = schedules.get(self.schedule)(tf.stack([t, end]))
        kept = sigmas[1] / sigmas[0]
        return (goal - kept * x) / (alphas[1] - kept * alphas[0])

    def _ask_both(self, drawn, noise, ask_teacher, ask_fake):
        """What the teacher and the network of the student's own pictures take these for, when they are noised.

        Returns:
            Two metrics, and the direction [B, H, W, C] in which to move the pictures: the difference of the two estimates,
            over the teacher's distance from the picture (Yin et al., equations 7 and 8).
        """
        t = noise["time"]
        alpha, sigma = (value[:, None, None, None] for value in schedules.get(self.schedule)(t))
        x = alpha * drawn + sigma * noise["eps"]
        fake, real = ask_fake(x, t), tf.clip_by_value(ask_teacher(x, t), -1.0, 1.0)
        fake_loss, _ = self.errors(fake, drawn, t)
        distance = tf.reduce_mean(tf.abs(real - drawn), axis=[1, 2, 3], keepdims=True)
        return tf.reduce_mean(distance), fake_loss, (real - fake) / tf.maximum(distance, _LEAST_DISTANCE)

    def sampling_times(self, steps):
        if self.first_step_apart and steps == 2:
            return self.sampling_times(max(STEPS))[[0, -2, -1]]
        return samplers.shifted(samplers.uniform_times(steps), np.float32(self.time_shift))

    def _short_steps(self, step, num_steps):
        """The times of the teacher's path from one of the student's times to the next."""
        even = np.linspace(1 - step / num_steps, 1 - (step + 1) / num_steps, _SHORT_STEPS + 1, dtype=np.float32)
        return samplers.shifted(even, np.float32(self.time_shift))

    def test_step(self, batch):
        """The same of what `generate` would draw, beside the whole of the teacher's path, from the same noise at every call."""
        noise = self.draw_noise(tf.shape(batch["image"])[0], tf.constant([0, 0]))
        prompts, scale, schedule = self.text_encoder.encode(batch), noise["guidance_scale"], schedules.get(self.schedule)
        ask_teacher = self._guided_teacher(prompts, scale)
        ask_fake = self._estimator(self.fake_unet, prompts, scale, self.steps)
        features = self._with_path(prompts, scale, self.steps)

        def estimate(x, t):
            return self.averaged_estimate(x, t, self.features_at(t, features))

        drawn = samplers.ddim(estimate, noise["start"], self.sampling_times(self.steps), schedule)
        taught = samplers.ddim(ask_teacher, noise["start"], self.sampling_times(_SHORT_STEPS * max(STEPS)), schedule)
        distance, fake_loss, _ = self._ask_both(drawn, noise, ask_teacher, ask_fake)
        path_error = tf.reduce_mean((drawn - taught) ** 2)
        return self.track(batch, path_error=path_error, distance=distance, fake_loss=fake_loss)

    def sampling_settings(self, steps, guidance_scale, sampler, negative_prompts):
        if sampler not in (None, self.sampler):
            raise ValueError(f"sampler is {sampler!r}, but a few-step student has learned one path of its own; leave it out")
        settings = super().sampling_settings(steps, guidance_scale, sampler, negative_prompts)
        if settings["steps"] not in STEPS:
            raise ValueError(f"steps is {settings['steps']}; a few-step student has learned to draw in 1, 2 or 4")
        return settings

    def conditioning(self, token_ids, guidance_scale, steps):
        return self._with_path(self._traced_conditioning(token_ids, None, None), guidance_scale, steps)

    def features_at(self, t, features):
        earliest, latest = self.guidance_interval
        scale, num_steps = features["guidance_scale"], features["num_steps"]
        if self.first_step_apart:
            num_steps = tf.where(t < 1, float(max(STEPS)), 1.0) + tf.zeros_like(num_steps)
        guides = tf.logical_and(t >= earliest, t <= latest)
        return {**features, "guidance_scale": tf.where(guides, scale, 1.0), "num_steps": num_steps}

    def averaged_estimate(self, x, t, features):
        """The denoised estimate of the averaged network that is asked at a time t, scalar."""
        if not self.first_step_apart:
            return self.estimate(x, t, features, self.averaged_unet)

        def weights(network):
            return lambda: [tf.convert_to_tensor(weight.value) for weight in network.weights]

        # One graph for both, by either's weights; two would take more memory, and longer to load.
        chosen = tf.cond(t < 1, weights(self.averaged_later_unet), weights(self.averaged_unet))
        with keras.StatelessScope(state_mapping=zip(self.averaged_unet.weights, chosen, strict=True)):
            return super().estimate(x, t, features, self.averaged_unet)

    @functools.partial(tf.function, reduce_retracing=True, autograph=False)
    def _weighted_sum(self, x, t, features, weights, num_calls):
        """The sum of the first estimates by features [N, B, ...], times weights [N, B, 1, 1, 1]; the network, being in a loop,
        once in the graph."""

        def add(i, total):
            these = {name: value[i] for name, value in features.items()}
            return i + 1, total + weights[i] * self.averaged_estimate(x, t, these)

        return tf.while_loop(lambda i, total: i < num_calls, add, (0, tf.zeros_like(x)))[1]

    def denoiser(self, token_ids, negative_token_ids, guidance_scale, steps):
        """A function (x, t) -> estimate of x0. A negative prompt takes the place of the empty one in guidance,
        positive + (scale - 1) (empty - negative), for which the network is called twice more."""
        empty = self._empty_captions(tf.shape(token_ids)[0])
        turns = tf.reduce_any(negative_token_ids != empty)
        wanted = self.conditioning(token_ids, guidance_scale, steps)
        towards, away = tf.cond(
            turns, lambda: [self.conditioning(one, 1.0, steps) for one in (empty, negative_token_ids)], lambda: [wanted, wanted]
        )
        asked = {name: tf.stack([one[name] for one in (wanted, towards, away)]) for name in wanted}  # [3, B, ...]
        num_calls = tf.where(turns, 3, 1)

        def denoise(x, t):
            features = self.features_at(t, asked)
            more = features["guidance_scale"][0, :, None, None, None] - 1
            return self._weighted_sum(x, t, features, tf.stack([tf.ones_like(more), more, -more]), num_calls)

        return denoise
