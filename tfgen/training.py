"""From a source and settings to a trained model's folder."""

import dataclasses
import functools
import os
import shutil
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import keras
import tensorflow as tf
import tomli_w

import tfgen
from tfgen import data, text
from tfgen.callbacks import Checkpoint, SampleGrid
from tfgen.data import captions
from tfgen.files import remove_partial, save_whole, write_whole
from tfgen.models.contrastive import CaptionMatcher
from tfgen.models.dcgan import DCGAN
from tfgen.models.diffusion import TextToImageDiffusion
from tfgen.models.image_model import MAX_PROMPT_CHARACTERS
from tfgen.models.judge import build_judge, judge_batch, judge_losses
from tfgen.models.optimizers import ConvolutionalMuon
from tfgen.models.registry import absolute_name_or_path, find_model, find_preset, load_model
from tfgen.models.student import FewStepStudent
from tfgen.models.vae import VAE

FAMILIES = {"dcgan": DCGAN, "vae": VAE, "diffusion": TextToImageDiffusion, "student": FewStepStudent}
_LEARNING_RATES = {"dcgan": 2e-4, "vae": 1e-3, "diffusion": 4e-3, "student": 1e-3, "judge": 2e-3}
_TEXT_ENCODERS = ("transformer", "word_vectors", "preset")
_MATCHING_BATCH, _MATCHING_STEPS, _MATCHING_PART = 128, 2500, 1 / 6
_LEAST_STEPS_BETWEEN_SAMPLES = 500
_DEFAULT_SIZES = {"mnist": 28, "fashion_mnist": 28, "shapes": 32}


@dataclass
class Settings:
    """What trains a model; `settings.toml` in a model's folder, in the same words.

    Attributes:
        family: "dcgan", "vae", "diffusion", "student" or "judge".
        data, split, language, image_size: as in `tfgen.data.load`; image_size 0 is the source's usual one.
        options: further arguments of `tfgen.data.load`.
        augmentation: arguments of `tfgen.data.Augmentation`.
        text: empty for a model without text. `encoder` says of which kind: "transformer", if it says nothing, with the
            arguments of `tfgen.text.TransformerTextEncoder` (width, depth, num_heads) and of its tokenizer (vocabulary_size,
            sequence_length); "word_vectors", with those of `tfgen.text.build_word_vector_encoder`; "preset", with those of
            `tfgen.text.load_preset_encoder`.
        model: arguments of the family's class.
        begin_with: a model of the same family, by name or path, whose weights, text encoder and, where [model] gives no others,
            settings the training begins with, those in its settings.toml that only training knows included; empty for random
            weights. A student has its weights alone.
        teacher: of a student, the diffusion model that it learns from, by name or path; empty becomes "shapes-diffusion".
        batch_size, steps, steps_per_epoch: of training; steps is the sum over all epochs.
        learning_rate: falls to zero along a cosine; a DCGAN's is constant. 0 becomes the family's usual one.
        text_learning_rate: of the text encoder of a diffusion model, falling likewise; 0 becomes the usual one, 2e-4.
        weight_decay: of the U-Net of a diffusion model or a student, a part of each weight at each step that the learning rate
            multiplies; 0 becomes the usual one, 0.01.
        matches_captions: what a text encoder that knows nothing yet learns first: true for which caption belongs to which
            picture, and the attributes of scenes too; false for the attributes alone.
        seed: of weights, data order and the noise of training.
    """

    family: str
    data: str = "shapes"
    split: str = "train"
    language: str = "en"
    image_size: int = 0
    options: dict = field(default_factory=dict)
    augmentation: dict = field(default_factory=dict)
    text: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    begin_with: str = ""
    teacher: str = ""
    batch_size: int = 32
    steps: int = 0
    steps_per_epoch: int = 0
    learning_rate: float = 0.0
    text_learning_rate: float = 0.0
    weight_decay: float = 0.0
    matches_captions: bool = True
    seed: int = 0

    def __post_init__(self):
        if self.family not in _LEARNING_RATES:
            raise ValueError(f"unknown family {self.family!r}; choose from {', '.join(_LEARNING_RATES)}")
        for item in dataclasses.fields(self):
            value, kinds = getattr(self, item.name), (int, float) if item.type is float else item.type
            if not isinstance(value, kinds):
                raise ValueError(f"{item.name} is {value!r}; give a value of type {item.type.__name__}")
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{item.name} is {value!r}; give a number that is not negative")
        self.learning_rate = self.learning_rate or _LEARNING_RATES[self.family]
        if self.family == "diffusion":
            self.text_learning_rate = self.text_learning_rate or 2e-4
        if self.family in ("diffusion", "student"):
            self.weight_decay = self.weight_decay or 0.01
        elif self.weight_decay:
            raise ValueError(f"weight_decay is of a diffusion model or a student, and this is a {self.family}; leave it out")
        if self.family == "student":
            self.teacher = self.teacher or "shapes-diffusion"
        elif self.teacher:
            raise ValueError(f"teacher is of a student, and this is a {self.family}; leave it out")
        if self.text and self.family in ("judge", "student"):
            raise ValueError(f"a {self.family} has no text encoder of its own to choose; leave out [text]")
        has_encoder = self.text or self.family == "diffusion"
        if not self.matches_captions and (self.begin_with or not has_encoder):
            raise ValueError("matches_captions is of a model whose text encoder knows nothing yet; leave it out")
        if self.model and self.family == "judge":
            raise ValueError("a judge has no settings of its own; leave out [model]")
        if self.begin_with and (self.text or self.family == "judge"):
            raise ValueError("begin_with is for a model that draws, which keeps its text encoder; leave out [text] or it")
        if not self.batch_size:
            raise ValueError("batch_size is 0; give at least 1")
        changes = [item.name for item in dataclasses.fields(data.Augmentation)]
        for name in self.augmentation:
            if name not in changes:
                raise ValueError(f"unknown augmentation {name!r}; choose from {', '.join(changes)}")
        data.Augmentation(**self.augmentation)  # refuses unusable numbers before anything is made


def read_settings(file):
    """`Settings` of a TOML file.

    Raises:
        ValueError: the file is missing, is no TOML, or has a name that `Settings` does not.
    """
    try:
        values = tomllib.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise ValueError(
            f"{file}: {error.strerror}; give a settings file, such as saved_models/shapes-diffusion/settings.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a TOML file: {error}") from None
    known = [item.name for item in dataclasses.fields(Settings)]
    for name in values:
        if name not in known:
            raise ValueError(f"{file}: unknown setting {name!r}; choose from {', '.join(known)}")
    if "family" not in values:
        raise ValueError(f'{file}: no family; add a line such as family = "diffusion"')
    return Settings(**values)


def settings_beside(name):
    """`Settings` in the folder of a model, by name or path; None where there are none."""
    path = find_model(name)
    file = (path if path.is_dir() else path.parent) / "settings.toml"
    return read_settings(file) if file.is_file() else None


def settings_of_student(teacher):
    """`Settings` of a student that learns from a teacher, a name or path, what captions it was trained with."""
    known = settings_beside(teacher)
    if known is None:
        raise ValueError(f"{teacher} has no settings.toml beside it that names its data; give settings by --config")
    shared = {name: getattr(known, name) for name in ("data", "split", "language", "image_size", "options")}
    return Settings("student", teacher=absolute_name_or_path(teacher), **shared)


def with_absolute_paths(settings):
    """`Settings` whose paths, of data, models, word vectors and presets, mean the same from any folder, as a run may be
    resumed, or repeated, from another."""
    changes = {
        name: absolute_name_or_path(getattr(settings, name)) for name in ("begin_with", "teacher") if getattr(settings, name)
    }
    if settings.data.startswith("folder:") and settings.data != "folder:":
        changes["data"] = "folder:" + _absolute(settings.data.removeprefix("folder:"))
    for table, names in (("options", ["data_dir"]), ("text", ["vectors", "preset"])):
        values = getattr(settings, table)
        changes[table] = values | {name: _absolute(values[name]) for name in names if _is_local(name, values.get(name))}
    return dataclasses.replace(settings, **changes)


def _is_local(name, path):
    # A folder of TFDS may be elsewhere than on this disk; a preset too, or ship, under a name that a folder here may also have.
    if not isinstance(path, str) or "://" in path:
        return False
    return name != "preset" or (find_preset(path) == path and os.path.isdir(os.path.expanduser(path)))


def _absolute(path):
    return os.path.abspath(os.path.expanduser(path))


def settings_of_run(folder):
    """`Settings` of the run that `train` began in a folder."""
    file = Path(folder) / "settings.toml"
    if not file.exists():
        raise ValueError(f"there is no run in {folder}; leave out --resume to begin one")
    return read_settings(file)


def train(settings, folder, *, epochs=None, minutes=None, resume=False, verbose="auto"):
    """Train a model, epoch by epoch, and write its folder.

    The folder holds `model.keras` (averaged weights), `settings.toml`, `README.md` and `samples/`, and until the run ends
    also `checkpoint.keras`, rewritten after every epoch, from which `resume` goes on: at the end the weights are those of
    an uninterrupted run (under `tf.config.experimental.enable_op_determinism`, to the bit; a judge draws other noise).

    Several GPUs share each batch; so do several machines, or processes, that $TF_CONFIG names to each other
    (`tf.distribute.MultiWorkerMirroredStrategy`): start the same command on each, with the same folder, which the first writes.

    Args:
        settings: `Settings`. Without `steps` there, `epochs` or `minutes` say how long.
        folder: where to write; must be new or empty, unless `resume`.
        epochs: passes over the data.
        minutes: about how long; the pace of a few steps, tried first, sets their number.
        resume: go on from the folder's checkpoint, with the settings there.
        verbose: as in `keras.Model.fit`.

    Returns:
        The trained model.

    Raises:
        ValueError: unusable settings, source or folder.
    """
    if minutes and "TF_CONFIG" in os.environ:
        raise ValueError("several workers would each find another pace; leave out --minutes and give --epochs")
    strategy = _strategy()  # before TensorFlow computes anything
    is_first = _is_first(strategy)
    folder = Path(folder)
    checkpoint = folder / "checkpoint.keras"
    if resume:
        settings = settings_of_run(folder)
        if not checkpoint.exists() and (folder / "model.keras").exists():
            raise ValueError(f"the run in {folder} is complete; nothing is left to resume")
    elif is_first and folder.exists() and any(".partial." not in file.name for file in folder.iterdir()):
        raise ValueError(f"{folder} is not empty; give another folder, or add --resume to go on with the run in it")
    if is_first:
        remove_partial(folder)
    settings = _with_image_size(with_absolute_paths(settings))
    if settings.family == "judge" and settings.data == "shapes" and settings.split == "train":
        settings = dataclasses.replace(settings, split="judge")  # which has the pairs that no training scene shows
    if not resume:
        settings = _with_inherited(settings)
    try:
        source = data.load(settings.data, settings.split, settings.image_size, settings.language, **settings.options)
    except TypeError as error:
        raise ValueError(f"[options] settings make no {settings.data}: {error}") from None
    if settings.family == "judge" and settings.augmentation and "attributes" in source.element_spec:
        raise ValueError("a judge of scenes learns where things stand, which augmentation changes; leave out [augmentation]")
    if not settings.matches_captions and "attributes" not in source.element_spec:
        raise ValueError(f"{settings.data} has no attributes to learn reading from; leave out matches_captions")
    with strategy.scope():
        if settings.batch_size % strategy.num_replicas_in_sync:
            raise ValueError(
                f"batch_size is {settings.batch_size}; give a multiple of the {strategy.num_replicas_in_sync} devices"
            )
        if not resume:
            settings = _with_steps(settings, source, epochs, minutes)  # by the pace of all devices together
        keras.utils.set_random_seed(settings.seed)
        model = load_model(checkpoint) if resume and checkpoint.exists() else build(settings, source)
        is_new = not model.compiled
        if is_new:
            compile_for(model, settings)
    if not is_first:  # reading weights may take all workers: the others write too, where nobody looks
        folder = Path(tempfile.mkdtemp())
    progress = Checkpoint(folder / checkpoint.name)
    if is_new:
        chosen = {name: value for name, value in dataclasses.asdict(settings).items() if value != {}}
        write_whole(folder / "settings.toml", tomli_w.dumps(chosen).encode())
        if _learns_to_read(settings, model):
            start = time.perf_counter()
            match_captions(model, settings, source, verbose)
            progress.seconds += time.perf_counter() - start
    callbacks = [progress]
    if settings.family != "judge":
        model.noise_seed = settings.seed
        prompts = None
        if model.text_encoder:
            texts = [example["caption"].numpy().decode() for example in source.take(8)]
            prompts = [caption[:MAX_PROMPT_CHARACTERS] for caption in texts]
        callbacks.append(SampleGrid(folder / "samples", prompts))
    done = int(model.optimizer.iterations.numpy())
    model.fit(
        batches_for(model, settings, source, done),
        steps_per_epoch=settings.steps_per_epoch,
        initial_epoch=done // settings.steps_per_epoch,
        epochs=settings.steps // settings.steps_per_epoch,
        shuffle=False,
        verbose=verbose,
        callbacks=callbacks,
    )
    _write_model(model, settings, folder, progress.seconds, progress.metrics)
    progress.remove()
    if not is_first:
        shutil.rmtree(folder)
    return model


def _strategy():
    """How the training is spread over devices."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.get_visible_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _is_first(strategy):
    """Whether this process writes what several train: TensorFlow's chief, or else the first worker."""
    if "TF_CONFIG" not in os.environ:
        return True
    cluster = strategy.cluster_resolver
    return cluster.task_type == "chief" or ("chief" not in cluster.cluster_spec().jobs and cluster.task_id == 0)


def build(settings, source):
    """An untrained model as `Settings` describe it, for the pictures and the captions of a source."""
    shape = source.element_spec["image"].shape
    if settings.family == "judge":
        return build_judge(shape[0], shape[-1], _num_classes(settings, source))
    beginning = _beginning(settings, shape)
    if beginning is not None:
        if settings.begin_with and getattr(beginning, "text_encoder", None):
            tokenizer, corpus = beginning.text_encoder.tokenizer, _corpus(settings, source)
            tokenizer.add_words(corpus)
            _check_captions(tokenizer, corpus)
        return beginning
    arguments = {"image_size": shape[0], "image_channels": shape[-1], **settings.model}
    if settings.family == "diffusion" or settings.text:
        arguments["text_encoder"] = _text_encoder(settings, source)
    try:
        return FAMILIES[settings.family](**arguments)
    except TypeError as error:
        raise ValueError(f"[model] settings make no {settings.family}: {error}") from None


def _beginning(settings, shape):
    """A model with another's weights, for pictures of a shape, where the settings name one; else None."""
    if settings.begin_with:
        known, begin = load_model(settings.begin_with), FAMILIES[settings.family].beginning_with
        if type(known) is not FAMILIES[settings.family]:
            raise ValueError(f"{settings.begin_with} is no {settings.family}; begin with a model of the same family")
    elif not settings.teacher:
        return None
    if settings.teacher:
        begin = functools.partial(FewStepStudent.of, begin_with=known if settings.begin_with else None)
        known = load_model(settings.teacher)
        if type(known) is not TextToImageDiffusion:
            raise ValueError(f"{settings.teacher} cannot teach; give a diffusion model, such as shapes-diffusion")
    if known.image_shape != shape:
        is_size = known.image_channels == shape[-1]
        advice = f"set image_size to {known.image_size}" if is_size else f"give data of {known.image_channels} channels"
        raise ValueError(f"the model to begin with draws pictures {known.image_shape}; {advice}")
    try:
        return begin(known, **settings.model)
    except TypeError as error:
        raise ValueError(f"[model] settings make no {settings.family}: {error}") from None


def _text_encoder(settings, source):
    """An untrained text encoder for the captions of a source; `encoder` of the [text] settings says of which kind."""
    chosen = {"encoder": "transformer", **settings.text}
    kind = chosen.pop("encoder")
    if kind not in _TEXT_ENCODERS:
        raise ValueError(f"unknown [text] encoder {kind!r}; choose from {', '.join(_TEXT_ENCODERS)}")
    corpus = _corpus(settings, source)
    try:
        if kind == "word_vectors":
            encoder = text.build_word_vector_encoder(corpus, **chosen)
        elif kind == "preset":
            encoder = text.load_preset_encoder(find_preset(chosen.pop("preset", "bilingual-bert")), corpus, **chosen)
        else:
            names = [name for name in ("vocabulary_size", "sequence_length") if name in chosen]
            tokenizer = text.build_tokenizer(corpus, **{name: chosen.pop(name) for name in names})
            encoder = text.TransformerTextEncoder(tokenizer, **chosen)
    except TypeError as error:
        raise ValueError(f"[text] settings make no text encoder: {error}") from None
    _check_captions(encoder.tokenizer, corpus)
    return encoder


def _check_captions(tokenizer, corpus):
    """Refuse captions of which none says what a picture shows."""
    batches = (tokenizer(corpus[start : start + 1000]) for start in range(0, len(corpus), 1000))
    if all((token_ids == tokenizer.empty_caption()).numpy().all() for token_ids in batches):
        raise ValueError(f"captions such as {corpus[0]!r} name nothing that a picture shows; give some as 'a photo of a cat'")


def _corpus(settings, source):
    """Captions with all words of a source."""
    if settings.data == "shapes":
        kind = {"num_objects": (1, 2), "textures": ("solid",), "loosened": 0.0, **settings.options}
        kind = {name: kind[name] for name in ("num_objects", "textures", "loosened")}
        return captions.vocabulary_corpus(language=settings.language, **kind)
    return [caption.decode() for caption in source.map(lambda example: example["caption"]).as_numpy_iterator()]


def _num_classes(settings, source):
    """How many classes a judge tells apart; None where it reads the attributes of scenes."""
    if settings.data == "shapes":
        return None
    if "label" not in source.element_spec:
        raise ValueError(
            f"a judge learns the attributes of shapes, or the classes of a set such as mnist; {settings.data!r} has neither"
        )
    return 1 + int(source.map(lambda example: example["label"]).reduce(tf.int64.min, tf.maximum))


def _with_image_size(settings):
    """The usual size of a source where none is given; a patch size for the U-Net that leaves a grid of 16 or little more."""
    size = settings.image_size or _DEFAULT_SIZES.get(settings.data, 64 if settings.data.startswith("folder:") else 32)
    model = settings.model
    if settings.family == "diffusion" and not settings.begin_with:
        patch_size = next((patch for patch in range(size // 16, 1, -1) if size % (2 * patch) == 0), 2)
        model = {"patch_size": patch_size, **model}
    return dataclasses.replace(settings, image_size=size, model=model)


def _with_inherited(settings):
    """With what the run that made the model to begin with was given for training alone: no saved model has it."""
    beside = settings_beside(settings.begin_with) if settings.begin_with else None
    if beside is None:
        return settings
    names = FAMILIES[settings.family].training_only
    inherited = {name: value for name, value in beside.model.items() if name in names}
    return dataclasses.replace(settings, model=inherited | settings.model)


def _with_steps(settings, source, epochs, minutes):
    """Whole epochs, of the length asked for or a little off: as many as the settings' steps, `epochs` or `minutes` make."""
    one_pass = max(1, int(source.cardinality()) // settings.batch_size)
    steps, per_epoch = settings.steps, settings.steps_per_epoch or one_pass
    if not steps and minutes:
        steps = max(20, int(_steps_in(60 * minutes, settings, source)))
        per_epoch = max(per_epoch, _LEAST_STEPS_BETWEEN_SAMPLES)  # a small set would else spend the minutes on samples
    steps = steps or per_epoch * (epochs or 10)
    num_epochs = max(min(4, steps) if minutes else 1, round(steps / per_epoch))  # four looks at the samples
    return dataclasses.replace(settings, steps=steps // num_epochs * num_epochs, steps_per_epoch=steps // num_epochs)


def _learns_to_read(settings, model):
    """Whether a model has a text encoder that knows nothing yet."""
    return bool(getattr(model, "text_encoder", None)) and not settings.begin_with and not settings.teacher


def _steps_in(seconds, settings, source):
    """How many steps so many seconds hold, beside the matching of captions, by the pace of a model that is thrown away."""
    settings = dataclasses.replace(settings, steps=1000)
    model = build(settings, source)
    compile_for(model, settings)
    source = source.take(4 * _MATCHING_BATCH)
    step = _seconds_per_step(model, batches_for(model, settings, source, 0))
    if not _learns_to_read(settings, model):
        return seconds / step
    matching = _seconds_per_step(*_caption_matching(model, settings, source, 1000))
    return max(seconds / (step + matching * _MATCHING_PART), (seconds - _MATCHING_STEPS * matching) / step)


def _seconds_per_step(model, batches):
    def seconds(steps):
        start = time.perf_counter()
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
        return time.perf_counter() - start

    seconds(5)  # traces
    few = seconds(10)
    more = int(min(400, max(20, 30 / few)))  # some three seconds, if steps are short: the beginning of `fit` does not count
    return max(1e-4, seconds(10 + more) - few) / more


def match_captions(model, settings, source, verbose):
    """Have a model's text encoder learn first what captions say (`CaptionMatcher`); a run of 15,000 steps or more has 2,500
    steps of it, a shorter one a sixth of its own. Returns Keras's history."""
    steps = max(1, min(_MATCHING_STEPS, int(settings.steps * _MATCHING_PART)))
    matcher, batches = _caption_matching(model, settings, source, steps)
    return matcher.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=verbose)


def _caption_matching(model, settings, source, steps):
    """A compiled `CaptionMatcher` of a model's text encoder, and its batches."""
    with model.distribute_strategy.scope():
        size, knows_attributes = (model.image_size, model.image_channels), "attributes" in source.element_spec
        matcher = CaptionMatcher(model.text_encoder, *size, settings.matches_captions, knows_attributes)
        matcher.compile(_muon(2e-3, steps), jit_compile=model.jit_compile)
        matcher.optimizer.build(matcher.trainable_variables)
    num_devices = model.distribute_strategy.num_replicas_in_sync
    batch_size = _MATCHING_BATCH // num_devices * num_devices
    return matcher, batches_for(model, dataclasses.replace(settings, batch_size=batch_size), source, 0)


def compile_for(model, settings):
    """Give a model the optimizers of its family, for so many steps as `Settings` say."""
    rate = settings.learning_rate
    decay = keras.optimizers.schedules.CosineDecay(rate, settings.steps)
    if settings.family == "judge":
        model.compile(keras.optimizers.Adam(decay), loss=judge_losses(model.output_names))
    elif settings.family == "vae":
        model.compile(keras.optimizers.Adam(decay))
    elif settings.family == "dcgan":
        # Falling, it leaves off where the two networks could still learn from each other: on clothing at twice the Fréchet
        # distance. What a constant rate leaves restless, the average of the generator's weights calms.
        adam = {"learning_rate": rate, "beta_1": 0.5}
        model.compile(keras.optimizers.Adam(**adam), discriminator_optimizer=keras.optimizers.Adam(**adam))
    else:
        others = {}
        if settings.family == "diffusion":
            text_rate = _warmed_up(settings.text_learning_rate, settings.steps)
            others["text_optimizer"] = keras.optimizers.AdamW(text_rate, weight_decay=0.01, global_clipnorm=1.0)
        if settings.family == "student":
            others["fake_optimizer"] = _unet_optimizer(settings)
        model.compile(_unet_optimizer(settings), **others)


def _unet_optimizer(settings):
    return _muon(settings.learning_rate, settings.steps, settings.weight_decay, ("^stem", "^position", "^output"))


def _muon(rate, steps, weight_decay=0.01, exclude_layers=()):
    """Muon with the rate for matrices and two-dimensional convolutions; all else and excluded layers half of it, by AdamW."""
    return ConvolutionalMuon(
        _warmed_up(rate, steps), weight_decay=weight_decay, adam_weight_decay=weight_decay, adam_lr_ratio=0.5,
        global_clipnorm=1.0, exclude_layers=exclude_layers,
    )  # fmt: skip


def _warmed_up(rate, steps):
    """A learning rate that rises over the first steps, 200 at most, and falls along a cosine."""
    warmup_steps = min(200, steps // 10)
    return keras.optimizers.schedules.CosineDecay(0.0, steps - warmup_steps, warmup_target=rate, warmup_steps=warmup_steps)


def batches_for(model, settings, source, start_step):
    """The endless training batches of a source from a step on."""
    text_encoder = getattr(model, "text_encoder", None)
    batches = data.prepare(
        source, text_encoder and text_encoder.tokenizer, settings.batch_size, training=True,
        augmentation=settings.augmentation and data.Augmentation(**settings.augmentation), seed=settings.seed,
        start_step=start_step, text_features=text_encoder and text_encoder.frozen_features,
    )  # fmt: skip
    return batches.map(judge_batch) if settings.family == "judge" else batches


def _write_model(model, settings, folder, seconds, metrics):
    """model.keras and its card."""
    if settings.family == "judge":
        shipped = keras.Model.from_config(model.get_config())  # `clone_model` would keep the optimizer
        shipped.set_weights(model.get_weights())
    else:
        shipped = model.averaged_model()
    save_whole(shipped, folder / "model.keras", half_precision=True)
    captioned = f", captions: {settings.language}" if getattr(shipped, "text_encoder", None) else ""
    devices = f"{os.cpu_count()} CPU cores, {len(tf.config.list_physical_devices('GPU'))} GPUs"
    last = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    card = f"""# {folder.name}

A {settings.family} model made by tfgen {tfgen.__version__}.

| | |
| --- | --- |
| data | `{settings.data}`, split {settings.split}, {settings.image_size}x{settings.image_size}{captioned} |
| settings | `settings.toml` beside this file |
| trained again by | `tfgen train {settings.family} --config settings.toml --out DIR`, in this folder |
| training time | {seconds / 60:.1f} minutes on {devices} |
| steps | {settings.steps:,} of {settings.batch_size} pictures |
| parameters | {shipped.count_params():,} |

Means over the last epoch of training:

| metric | value |
| --- | ---: |
{last}
"""
    write_whole(folder / "README.md", card.encode())
