"""What the families share: the contract of `generate`, averaged weights, and the choice of XLA."""

import difflib
import functools
import warnings

import keras
import numpy as np
import tensorflow as tf

MAX_BATCH = 64  # pictures sampled at once; bounds memory
MAX_PROMPT_CHARACTERS = 20_000
_MOST_SHOWN = 20  # words or prompts of a warning
_STREAMS = 100_000  # more than the streams of random numbers that one training step draws


class PromptWarning(UserWarning):
    """A part of a prompt was passed over."""


def one_graph(method, jit_compile=False):
    """Trace a model's method once for batches of any size, and again only for other settings; compile it by XLA if told to.

    Its positional arguments are batches or None, its keyword arguments settings. A `tf.function` would be traced anew for the
    second size of batch that it meets, and would warn of that where several models, or settings, are tried one after another.
    """

    @functools.wraps(method)
    def call(self, *batches, **settings):
        if tf.inside_function():
            return method(self, *batches, **settings)
        graphs = vars(self).setdefault("_graphs", {})  # out of sight of Keras, which would save them
        key = (method.__name__, jit_compile, *settings.items(), *(str(getattr(self, name)) for name in self.settings))
        if key not in graphs:
            function = tf.function(functools.partial(method, self, **settings), autograph=False, jit_compile=jit_compile)
            graphs[key] = function.get_concrete_function(*tf.nest.map_structure(_of_any_size, batches))
        return graphs[key](*batches)

    return call


def _of_any_size(batch):
    return None if batch is None else tf.TensorSpec([None, *batch.shape[1:]], batch.dtype)


class ImageModel(keras.Model):
    """Base of the model families.

    A family implements `train_step`, `update` (one optimizer step on a batch and its random numbers), `draw_noise`,
    `test_step` and `sample`; its networks are ordinary Keras models in its attributes.

    Args:
        image_size, image_channels: of the pictures.
        text_encoder: see `tfgen.text`, or None for a model without prompts.
        caption_dropout: fraction of the training captions to empty, so that a prompt that says nothing is drawn at random, and
            for classifier-free guidance (Ho & Salimans, 2022, arXiv:2207.12598).
        ema_half_life: number of training images after which the averaged weights have forgotten half; 0 for no average.
            Counted in images, it keeps its meaning when the batch size changes (as in Karras et al., 2022, arXiv:2206.00364).
        metric_names: what `train_step` and `test_step` report.

    Class attributes: `settings` names the constructor's arguments but text_encoder, all kept as attributes. Of those,
    `training_only` are 0 in a finished model, and `of_network` say to which network its weights belong.
    """

    settings = ()
    training_only = ("ema_half_life",)
    of_network = ()

    def __init__(self, image_size, image_channels, text_encoder, caption_dropout, ema_half_life, metric_names, **kwargs):
        super().__init__(**kwargs)
        check_at_least(0, caption_dropout=caption_dropout, ema_half_life=ema_half_life)
        if caption_dropout > 1:
            raise ValueError(f"caption_dropout is {caption_dropout!r}; give a fraction from 0 to 1")
        self.image_size, self.image_channels = image_size, image_channels
        self.text_encoder = text_encoder
        self.caption_dropout = caption_dropout
        self.ema_half_life = ema_half_life
        self.chosen_jit_compile = "auto"
        self.noise_seed = 0
        self.trackers = [keras.metrics.Mean(name) for name in metric_names]

    @property
    def image_shape(self):
        return (self.image_size, self.image_size, self.image_channels)

    def add_averages(self, *names):
        """Give each named network a copy for its averaged weights, `averaged_NAME`; itself where no average is kept, or
        where it is not trained."""
        self.averaged_names = [name for name in names if getattr(self, name) is not None]
        for name in names:
            network = getattr(self, name)
            if self.ema_half_life and network is not None and network.trainable_variables:
                copy = network.copy() if hasattr(network, "copy") else keras.models.clone_model(network)
                copy.set_weights(network.get_weights())
                copy.trainable = False
                network = copy
            setattr(self, f"averaged_{name}", network)

    def minimize(self, tape, loss, *names):
        """One step of the named optimizers down a loss, this replica's mean."""
        variables = {name: self.optimized_variables[name] for name in names}
        # Gradients are added up over the replicas, so each gives its share of the mean over all of them.
        share = tf.constant(1 / num_replicas())
        gradients = tape.gradient(loss, variables, output_gradients=share)
        for name in names:
            take_step(getattr(self, name), gradients[name], variables[name])

    def average_weights(self, num_images):
        """Move the averaged networks towards the trained ones by a replica's batch; faster in the first steps."""
        if not self.ema_half_life:
            return
        step = tf.cast(self.optimizer.iterations, tf.float32)
        half_lives = tf.cast(num_replicas() * num_images, tf.float32) / self.ema_half_life
        decay = tf.minimum(0.5**half_lives, (1 + step) / (10 + step))
        for name in self.averaged_names:
            averaged, trained = getattr(self, f"averaged_{name}"), getattr(self, name)
            for target, source in zip(averaged.weights, trained.weights, strict=True):
                if target is not source:  # a frozen network is shared
                    target.assign(target + (1 - decay) * (source - target))

    def averaged_model(self):
        """A model of the averaged weights alone, without optimizer: what is shipped and exported."""
        settings = {name: 0 if name in self.training_only else getattr(self, name) for name in self.settings}
        model = type(self)(text_encoder=self.text_encoder and self.averaged_text_encoder.copy(), name=self.name, **settings)
        for name in self.averaged_names:
            getattr(model, name).set_weights(getattr(self, f"averaged_{name}").get_weights())
        return model

    @classmethod
    def beginning_with(cls, other, **settings):
        """A model to be trained further, with the averaged weights of another of its family, and its settings where none are
        given.

        Raises:
            TypeError: a setting that would make another network.
        """
        cls.refuse_another_network(other, settings)
        known = {name: getattr(other, name) for name in cls.settings if name not in cls.training_only}
        model = cls(text_encoder=other.text_encoder and other.averaged_text_encoder.copy(), **{**known, **settings})
        for name in other.averaged_names:
            for network in (getattr(model, name), getattr(model, f"averaged_{name}")):
                network.set_weights(getattr(other, f"averaged_{name}").get_weights())
        return model

    @classmethod
    def refuse_another_network(cls, other, settings):
        """Raise a TypeError where settings would take the weights of another model for those of a different network."""
        for name in cls.of_network:
            known = getattr(other, name)
            given = settings.get(name, known)
            if (tuple(given) if isinstance(given, list) else given) != known:
                raise TypeError(f"{name} is {known!r} in the model whose weights are taken; leave it out")

    def compile(self, optimizer="adam", jit_compile="auto", **kwargs):
        """As `keras.Model.compile`, with each further optimizer of `optimized_variables` under its name, "adam" by default.

        `jit_compile="auto"` trains by XLA on accelerators; on a CPU training was measured to be slower with it. With True a
        diffusion model draws by XLA too; families that draw in one pass do not.

        Raises:
            ValueError: `jit_compile=True` where Keras would go on without XLA; losses or metrics, which would not be used.
        """
        unused = [name for name in ("loss", "loss_weights", "metrics", "weighted_metrics") if kwargs.get(name) is not None]
        if unused:
            raise ValueError(
                f"a model that draws has losses of its own; leave out {unused[0]}, and see `tfgen.callbacks.Measure`"
            )
        self.chosen_jit_compile = jit_compile
        if jit_compile == "auto":
            accelerators = [*tf.config.get_visible_devices("GPU"), *tf.config.get_visible_devices("TPU")]
            jit_compile = bool(accelerators) and not kwargs.get("run_eagerly")
        _, *others = self.optimized_variables
        optimizers = {name: keras.optimizers.get(kwargs.pop(name, "adam")) for name in others}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Model doesn't support `jit_compile=True`")
            super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        if self.chosen_jit_compile is True and not self.jit_compile:
            raise ValueError('no XLA on this device, or with operation determinism; give jit_compile="auto" or False')
        for name, other in optimizers.items():
            setattr(self, name, other)
        # Keras builds and restores `self.optimizer` alone; built here, the others are saved and restored like it.
        for name, variables in self.optimized_variables.items():
            getattr(self, name).build(variables)

    @property
    def optimized_variables(self):
        """The variables of each optimizer, by the optimizer's name; `optimizer` comes first."""
        return {"optimizer": self.trainable_variables}

    def get_compile_config(self):
        if not self.compiled:
            return {}
        optimizers = {name: keras.optimizers.serialize(getattr(self, name)) for name in self.optimized_variables}
        return {**optimizers, "jit_compile": self.chosen_jit_compile}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Networks, metrics and optimizers are built already. On several devices Keras would still take the mean of a first
        # batch over them, which fails on a boolean padding mask.
        pass

    @property
    def metrics(self):
        return self.trackers

    def track(self, batch, **values):
        """Update the running mean over pictures of each named value, a batch's mean; returns all means."""
        for tracker in self.trackers:
            tracker.update_state(values[tracker.name], sample_weight=tf.shape(batch["image"])[0])
        return results_of(self.trackers)

    def step_noise(self, batch):
        """This device's part of the random numbers of a training step, which are those of one device for the whole batch; an
        interrupted run goes on with those it would have drawn, and a run with another `noise_seed` has others."""
        replica, num_images = tf.distribute.get_replica_context().replica_id_in_sync_group, tf.shape(batch["image"])[0]
        seed = tf.stack([tf.cast(self.optimizer.iterations, tf.int32), self.noise_seed % 20_000 * _STREAMS])
        noise = self.draw_noise(num_replicas() * num_images, seed)
        part = slice(replica * num_images, (replica + 1) * num_images)
        return {name: value[part] if value.shape.rank else value for name, value in noise.items()}

    def drop_captions(self, num_images, seed):
        """Which of the captions of a training step to empty, bool [B]."""
        return tf.random.stateless_uniform([num_images], seed) < self.caption_dropout

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "text_encoder": keras.saving.deserialize_keras_object(config["text_encoder"])})

    def get_config(self):
        text_encoder = self.text_encoder and keras.saving.serialize_keras_object(self.text_encoder)
        return {**super().get_config(), "text_encoder": text_encoder, **{name: getattr(self, name) for name in self.settings}}

    def generate(
        self, prompts=None, *, num_images=1, seed=0, steps=None, guidance_scale=None, negative_prompts=None, sampler=None,
        verbose=0,
    ):  # fmt: skip
        """Make pictures.

        The same prompt, seed and settings give the same picture alone or in any batch, to within 1/255.

        Args:
            prompts: a string or a list of strings, English or Chinese; None for pictures without a prompt.
            num_images: pictures for each prompt.
            seed: an int, counted up from picture to picture, or one int for each picture.
            steps, guidance_scale, negative_prompts, sampler: for families with a sampler; None for the model's own.
            verbose: 1 for a progress bar, as in `keras.Model.predict`.

        Returns:
            uint8 array [N, H, W, C], `num_images` for each prompt, in the order of the prompts.

        Raises:
            ValueError: a setting that is out of range or that this family does not have.

        Warns:
            PromptWarning: words that the model never saw, with the nearest ones it knows; a prompt that names nothing, whose
                picture is drawn as without a prompt; a prompt that is cut.
        """
        settings = self.sampling_settings(steps, guidance_scale, sampler, negative_prompts)
        prompts, negative_prompts = self._check_prompts(prompts, negative_prompts)
        if not isinstance(num_images, int | np.integer) or num_images < 1:
            raise ValueError(f"num_images is {num_images!r}; give a whole number from 1")
        total = num_images * len(prompts)
        if not all(isinstance(one, int | np.integer) for one in np.ravel(np.asarray(seed, object))):
            raise ValueError(f"seed is {seed!r}; give a whole number, or one for each picture")
        try:
            numbers = np.ravel(np.asarray(seed, object)) if np.ndim(seed) else range(int(seed), int(seed) + total)
            seeds = np.array([int(number) for number in numbers], np.int64)
        except OverflowError:
            raise ValueError("a seed is beyond 64 bits; give whole numbers from -2**63 to 2**63 - 1") from None
        if seeds.shape != (total,):
            raise ValueError(f"{seeds.size} seeds for {total} pictures; give one int, or one for each picture")
        texts = list(dict.fromkeys([*prompts, *negative_prompts]))
        token_ids = self.tokenize(texts)
        for note in self._passed_over(prompts, negative_prompts, texts, token_ids):
            warnings.warn(note, PromptWarning, stacklevel=2)
        places = {one: place for place, one in enumerate(texts)}
        rows = [np.repeat([places[one] for one in asked], num_images) for asked in (prompts, negative_prompts)]
        progress = keras.utils.Progbar(total, verbose=verbose, unit_name="picture")
        images = []
        for start in range(0, total, MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            read = [None if token_ids is None else tf.gather(token_ids, each[part]) for each in rows]
            images.append(to_uint8(self.sample(tf.constant(seeds[part]), *read, **settings)).numpy())
            progress.add(len(images[-1]))
        return np.concatenate(images)

    def tokenize(self, prompts):
        """Token ids [B, T] of prompts [B]; None for a model without text."""
        return None if self.text_encoder is None else self.text_encoder.tokenizer(prompts)

    def pooled_text(self, token_ids):
        """The averaged encoder's pooled vectors, {"pooled": [B, D]}, of token ids [B, T]; {} for a model without text."""
        if self.text_encoder is None:
            return {}
        return {"pooled": self.averaged_text_encoder(token_ids, token_ids != 0)["pooled"]}

    @staticmethod
    def pooled_captions(text_encoder, batch, empty=None):
        """The same of a training batch, by the given encoder or None; where `empty`, bool [B], of the empty caption."""
        return {"pooled": text_encoder.encode(batch, empty)["pooled"]} if text_encoder else {}

    def _check_prompts(self, prompts, negative_prompts):
        if self.text_encoder is None:
            if prompts is not None or negative_prompts is not None:
                raise ValueError(f"this {type(self).__name__} was trained without text; leave out the prompts")
            return [""], [""]
        prompts = [prompts or ""] if isinstance(prompts, str | None) else list(prompts)
        if not prompts:
            raise ValueError('the list of prompts is empty; give at least one, or "" for a picture without a prompt')
        if isinstance(negative_prompts, str | None):
            negative_prompts = [negative_prompts or ""] * len(prompts)
        if len(negative_prompts) == 1:
            negative_prompts = list(negative_prompts) * len(prompts)
        if len(negative_prompts) != len(prompts):
            raise ValueError(f"{len(negative_prompts)} negative prompts for {len(prompts)} prompts; give one, or one for each")
        for prompt in (*prompts, *negative_prompts):
            if not isinstance(prompt, str) or len(prompt) > MAX_PROMPT_CHARACTERS:
                raise ValueError(f"a prompt must be a string of at most {MAX_PROMPT_CHARACTERS:,} characters")
        return prompts, list(negative_prompts)

    def _passed_over(self, wanted, unwanted, prompts, token_ids):
        """One line for each kind of thing in prompts that does not reach the picture."""
        if not any(prompts):
            return
        tokenizer = self.text_encoder.tokenizer
        words = tokenizer.unknown_words(prompts)[:_MOST_SHOWN]
        if words:
            nearest = {word: difflib.get_close_matches(word, tokenizer.words or (), 1, 0.7) for word in words}
            shown = [_short(word) + (f" (nearest: {near[0]})" if near else "") for word, near in nearest.items()]
            yield f"words this model never saw: {', '.join(shown)}"
        token_ids = token_ids.numpy()
        says_nothing = (token_ids == tokenizer.empty_caption()).all(axis=1)
        silent = [prompt for prompt, nothing in zip(prompts, says_nothing, strict=True) if nothing and prompt]
        for among, outcome in ((wanted, "drawn at random"), (unwanted, "of no effect as a negative prompt")):
            shown = [_short(prompt) for prompt in silent if prompt in among][:_MOST_SHOWN]
            if shown:
                yield f"nothing that this model draws is named in: {', '.join(shown)}; {outcome}"
        if token_ids[:, -1].any() and tokenizer.is_cut(prompts).numpy().any():  # the former is known already
            yield f"the prompt is longer than {tokenizer.caption_length} tokens; the rest was cut"

    def sampling_settings(self, steps, guidance_scale, sampler, negative_prompts):
        """Checked keyword arguments of `sample`; a family without a sampler refuses them all."""
        given = {"steps": steps, "guidance_scale": guidance_scale, "sampler": sampler, "negative_prompts": negative_prompts}
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{type(self).__name__} makes a picture in one pass and has no {name}; leave it out")
        return {}


def _short(text):
    """The beginning of a text, fit for a terminal."""
    text = "".join(letter if letter.isprintable() else " " for letter in text[:41])
    return text if len(text) <= 40 else f"{text[:40]}…"


def check_at_least(least, **settings):
    """Refuse settings under a bound."""
    for name, value in settings.items():
        if not value >= least:
            raise ValueError(f"{name} is {value!r}; give a number of at least {least:g}")


def results_of(trackers):
    """The results of metrics by their names, as `train_step` returns them."""
    results = {tracker.name: tracker.result() for tracker in trackers}
    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        # Keras 3.15 takes the mean over the workers along the first dimension, which a number does not have.
        return {name: result[None] for name, result in results.items()}
    return results


def num_replicas():
    """Number of devices that train together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def take_step(optimizer, gradients, variables):
    """One step of an optimizer by gradients of which each device has its share, their sum being the whole; None where a loss
    does not depend on a variable."""
    used = [index for index, gradient in enumerate(gradients) if gradient is not None]
    gradients, variables = [gradients[index] for index in used], [variables[index] for index in used]
    if optimizer.global_clipnorm:
        # An embedding's gradient comes token by token; its norm is that of their sum.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if num_replicas() > 1:  # Keras would clip each share, and add up then
            gradients = tf.distribute.get_replica_context().all_reduce("sum", gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, optimizer.global_clipnorm)
            gradients = [gradient / num_replicas() for gradient in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def picture_seeds(images):
    """A seed of each picture's own, int64 [B], from its pixels: measured with it, a figure depends on no batch or order."""
    levels = tf.cast(tf.reshape(to_uint8(images), [tf.shape(images)[0], -1]), tf.int64)
    return tf.reduce_sum(levels * tf.range(1, tf.shape(levels, tf.int64)[1] + 1), axis=1)


def to_uint8(images):
    """Pictures in [-1, 1] as 8-bit numbers."""
    return tf.cast(tf.round((tf.clip_by_value(images, -1.0, 1.0) + 1) * 127.5), tf.uint8)
