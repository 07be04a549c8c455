"""Measuring a model: honest figures are means over seeds, beside a floor, by a named extractor."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tfgen import data, metrics
from tfgen.data import shapes
from tfgen.models.diffusion import TextToImageDiffusion
from tfgen.models.image_model import ImageModel, to_uint8
from tfgen.models.judge import judge_attributes
from tfgen.models.registry import load_image_model, load_model
from tfgen.models.student import FewStepStudent
from tfgen.models.vae import VAE
from tfgen.training import settings_beside

_EXTRACTORS = {"shapes": "shapes-judge", "mnist": "mnist-judge", "fashion_mnist": "fashion-judge"}
_NUM_PROMPTS, _NUM_IMAGES = 512, 5000
_NUM_NEIGHBOURS, _NUM_SHOWN = 500, 8  # pictures of a seed whose nearest training pictures are looked for, and shown
_LEAST_IMAGES = 8  # more than the neighbours that precision and recall count
_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of diffusion, from a clean picture to noise
# name -> what to ask for: split, language, number of objects
_PROMPTS = {
    "one_object_en": ("test", "en", 1),
    "one_object_zh": ("test", "zh", 1),
    "two_objects_en": ("test", "en", 2),
    "two_objects_zh": ("test", "zh", 2),
    "unseen_one_object_en": ("unseen", "en", 1),
    "unseen_two_objects_en": ("unseen", "en", 2),
}


@dataclass
class Evaluation:
    """What `evaluate` found.

    Attributes:
        report: ready for JSON. What was measured and by which extractor; for each metric the mean and standard deviation over
            the seeds and the floor, the mean of the same metric with other real pictures in place of the generated ones.
        generated, real: pictures uint8 [N, H, W, C] of the first seed.
        nearest: for the first generated pictures the nearest training pictures, uint8 [M, H, W, C].
        generated_features, real_features: float32 [N, D] of the first seed.
    """

    report: dict
    generated: np.ndarray
    real: np.ndarray
    nearest: np.ndarray
    generated_features: np.ndarray
    real_features: np.ndarray


def evaluate(name, source=None, num_images=None, num_seeds=3, extractor=None):
    """Measure a model's pictures against held-out real ones.

    A text-to-image model of scenes draws prompts of six kinds, and shapes-judge says on which fraction of its pictures every
    attribute that the prompt states is right. Any other model is compared with the test split, and asked for its captions if it
    takes prompts. Both are compared by Fréchet and kernel distance, precision, recall, density and coverage, and by the
    distance to the nearest training picture; by the Inception Score and the classes where the extractor tells classes
    apart. A VAE has its ELBO measured besides, a diffusion model its error at five noise levels.

    Args:
        name: model, as in `load_model`.
        source: as in `tfgen.data.load`; what the model was trained on by default.
        num_images: for each seed: prompts of each kind, 512 by default, or pictures, 5,000 by default.
        num_seeds: seeds 0, 1, …: of the pictures, and of the choice of real ones.
        extractor: a judge, as in `load_model`, "inception_v3", or a file of weights for that; by default the judge that ships
            for the source.

    Returns:
        `Evaluation`.

    Raises:
        ValueError: no such model, data or extractor, or none that go together; too few pictures.
    """
    model = load_image_model(name)
    source, split, language, options = _training_data(name, source)
    extractor = extractor or _EXTRACTORS.get(source)
    if extractor is None:
        raise ValueError(f"no extractor ships for {source}; give --extractor, such as inception_v3")
    read, scores = _Reader(extractor), _Scores()
    _check_size(model, read.extractor)
    # Of the same kind of scenes, or from the same place, as what the model learned from.
    kept = {name: options[name] for name in ("num_objects", "textures", "data_dir") if name in options}
    test_split = data.load(source, "test", model.image_size, language, **kept)
    if source == "shapes" and model.text_encoder is not None and read.reads_scenes:
        rounds = _scene_rounds(model, read.judge, num_images or _NUM_PROMPTS, num_seeds, scores)
    else:
        examples = _examples(model, test_split, source)
        rounds = _test_split_rounds(model, read, examples, num_images or _NUM_IMAGES, num_seeds, scores)
    progress = keras.utils.Progbar(num_seeds, unit_name="seed")
    progress.update(0)  # the first takes minutes
    drawn = []
    for pictures in rounds:
        _compare(read, pictures, scores)
        drawn.append(pictures)
        progress.add(1)
    training = data.load(source, split, model.image_size, language, **options)
    nearest = _nearest_training_pictures(read, training, drawn, scores)
    batches = data.prepare(test_split, model.text_encoder and model.text_encoder.tokenizer, 256)
    if isinstance(model, VAE):
        _held_out_elbo(model, batches, scores)
    if isinstance(model, TextToImageDiffusion) and not isinstance(model, FewStepStudent):  # which knows no pictures half-noised
        _errors_by_time(model, batches, scores)
    first = drawn[0]
    report = {
        "model": str(name),
        "data": source,
        "num_images": len(first.generated),
        "seeds": list(range(num_seeds)),
        "extractor": read.name,
        "metrics": scores.summary(),
    }
    return Evaluation(report, first.generated, first.real, nearest, read.features(first.generated), read.features(first.real))


@dataclass
class _Pictures:
    """Of one seed: what the model drew, and as many real ones twice, uint8 [N, H, W, C]."""

    generated: np.ndarray
    real: np.ndarray
    held_out: np.ndarray


class _Scores:
    """Figures by metric, one a seed, and their floors."""

    def __init__(self):
        self.values, self.floors = defaultdict(list), defaultdict(list)

    def add(self, name, value, floor=None):
        self.values[name].append(float(value))
        if floor is not None:
            self.floors[name].append(float(floor))

    def summary(self):
        """Mean, standard deviation where there is more than one seed, and floor where there is one, by metric."""
        report = {}
        for name, values in self.values.items():
            report[name] = {"mean": float(np.mean(values))}
            if len(values) > 1:
                report[name]["standard_deviation"] = float(np.std(values, ddof=1))
            if name in self.floors:
                report[name]["floor"] = float(np.mean(self.floors[name]))
        return report


class _Reader:
    """Features of pictures, and the classes that a judge reads in them."""

    def __init__(self, name):
        self.name = Path(name).name  # figures of two files of weights do not compare
        if name == "inception_v3" or str(name).endswith(".h5"):
            self.judge = None
            self.extractor = metrics.inception_v3("imagenet" if name == "inception_v3" else name)
        else:
            self.judge = load_model(name)
            if isinstance(self.judge, ImageModel):
                raise ValueError(f"{name} is no judge; give one such as mnist-judge, inception_v3, or a file of its weights")
            self.extractor = metrics.feature_extractor(self.judge, name=self.name)

    @property
    def reads_scenes(self):
        return self._tells("background")

    @property
    def reads_labels(self):
        return self._tells("label")

    def _tells(self, name):
        return self.judge is not None and isinstance(self.judge.output, dict) and name in self.judge.output

    def features(self, pictures):
        return metrics.predict_images(self.extractor, pictures)

    def logits(self, pictures):
        return metrics.predict_images(self.judge, pictures)["label"]


def _training_data(name, source):
    """Source, split, language and options of what a model learned from: by the settings beside it, or of another source."""
    settings = settings_beside(name)
    if settings is None:
        if source is None:
            raise ValueError(f"{name} has no settings.toml beside it that names its data; give them by --data")
        return source, "train", "en", {}
    if source in (None, settings.data):
        return settings.data, settings.split, settings.language, settings.options
    return source, "train", settings.language, {}


def _check_size(model, reader):
    """Said before an hour of drawing, not after."""
    shape = reader.input_shape[1:]
    if any(wanted not in (None, size) for wanted, size in zip(shape, model.image_shape, strict=True)):
        raise ValueError(
            f"the model draws pictures {model.image_shape} and {reader.name} reads {shape}; give another extractor, such as "
            "inception_v3"
        )


def _scene_rounds(model, judge, num_prompts, num_seeds, scores):
    """`_Pictures` of English prompts for one and two objects, seed by seed; all kinds of prompts are judged on the way."""
    for seed in range(num_seeds):
        drawn, others = [], ([], [])
        for kind, (split, language, num_objects) in _PROMPTS.items():
            prompts, stated, pictures = data.shapes_prompts(
                num_prompts, split, language, (num_objects,), seed, model.image_size
            )
            generated = model.generate(prompts, seed=1_000_000 * seed + 100_000 * num_objects)
            seen, seen_real = judge_attributes(judge, generated), judge_attributes(judge, pictures)
            right = [metrics.all_attributes_match(stated, found).mean() for found in (seen, seen_real)]
            scores.add(f"prompt_accuracy_{kind}", *right)
            if (split, language) != ("test", "en"):
                continue
            for column, attribute in enumerate(shapes.ATTRIBUTES):
                asked = stated[:, column] >= 0
                if asked.any():
                    right = [(found[:, column] == stated[:, column])[asked].mean() for found in (seen, seen_real)]
                    scores.add(f"{attribute}_accuracy_{kind}", *right)
            drawn.append(generated)
            for half, pile in enumerate(others):  # scenes of the same kind, but others
                other = data.shapes_prompts(
                    num_prompts, split, language, (num_objects,), 1_000 + 2 * seed + half, model.image_size
                )
                pile.append(other[2])
        mixed = np.random.default_rng(seed).permutation(2 * num_prompts)
        yield _Pictures(*(np.concatenate(pile)[mixed] for pile in (drawn, *others)))


def _test_split_rounds(model, read, examples, num_images, num_seeds, scores):
    """`_Pictures` beside two halves of the test split, seed by seed; of captions from there if the model takes prompts."""
    num_images = min(num_images, len(examples["image"]) // 2)
    for seed in range(num_seeds):
        chosen = np.random.default_rng(seed).permutation(len(examples["image"]))
        first, second = chosen[:num_images], chosen[num_images : 2 * num_images]
        if model.text_encoder is None:
            generated = model.generate(num_images=num_images, seed=1_000_000 * seed)
        else:
            generated = model.generate(examples["caption"][second].tolist(), seed=1_000_000 * seed)
        held_out = examples["image"][second]
        if read.reads_labels:
            logits = [read.logits(pictures) for pictures in (generated, held_out)]
            scores.add("inception_score", *(metrics.inception_score(_softmax(values)) for values in logits))
            seen = [values.argmax(axis=1) for values in logits]
            for label in range(logits[0].shape[1]):
                scores.add(f"class_{label}_part", *((labels == label).mean() for labels in seen))
            if model.text_encoder is not None and "label" in examples:
                asked = examples["label"][second]
                scores.add("prompt_accuracy", *((labels == asked).mean() for labels in seen))
        yield _Pictures(generated, examples["image"][first], held_out)


def _softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _examples(model, test_split, source):
    """All of the test split as arrays: image uint8 [N, H, W, C], caption str [N], and what else there is."""
    batches = []
    for batch in test_split.batch(256).as_numpy_iterator():
        batches.append({**batch, "image": to_uint8(batch["image"]).numpy()})
    whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    if whole["image"].shape[1:] != model.image_shape:
        shape = whole["image"].shape[1:]
        raise ValueError(f"{source} has pictures {shape}, the model draws {model.image_shape}; give the data of its training")
    if len(whole["image"]) < 2 * _LEAST_IMAGES:
        raise ValueError(f"the test split of {source} has {len(whole['image'])} pictures; {2 * _LEAST_IMAGES} are needed")
    return {**whole, "caption": np.array([caption.decode() for caption in whole["caption"]])}


def _compare(read, pictures, scores):
    """Everything that compares generated with real pictures by their features."""
    reference = read.features(pictures.real)
    found, floor = (
        _compared(read.extractor, reference, read.features(images)) for images in (pictures.generated, pictures.held_out)
    )
    for name in found:
        scores.add(name, found[name], floor[name])


def _compared(extractor, real_features, features):
    distance = metrics.FrechetDistance(extractor)
    distance.add_real(real_features)
    distance.add_generated(features)
    kernel_distance, standard_error = metrics.kernel_distance(real_features, features)
    return {
        "frechet_distance": distance.result(),
        "kernel_distance": kernel_distance,
        "kernel_distance_standard_error": standard_error,
        **metrics.precision_recall(real_features, features)._asdict(),
    }


def _nearest_training_pictures(read, training, drawn, scores):
    """Mean distance to the nearest training picture, of each seed; returns those nearest to the first seed's first pictures."""
    of_seeds = [images[:_NUM_NEIGHBOURS] for pictures in drawn for images in (pictures.generated, pictures.held_out)]
    metric = metrics.NearestTrainingPictures(read.extractor, np.concatenate(of_seeds))
    nearest, seen = np.zeros_like(drawn[0].generated[:_NUM_SHOWN]), 0
    for batch in training.batch(256).as_numpy_iterator():
        metric.update_state(batch["image"])
        indices = metric.indices[: len(nearest), 0] - seen
        new = indices >= 0
        nearest[new] = to_uint8(batch["image"][indices[new]])
        seen += len(batch["image"])
    for generated, held_out in metric.distances[:, 0].reshape(len(drawn), 2, -1).mean(axis=2):
        scores.add(metric.name, generated, held_out)
    return nearest


def _errors_by_time(model, batches, scores):
    """Over the first 2,048 pictures of the test split."""
    batches = list(batches.take(8))
    errors = [model.error_by_time(batch, _TIMES) for batch in batches]
    for time, error in zip(_TIMES, np.average(errors, axis=0, weights=[len(batch["image"]) for batch in batches]), strict=True):
        scores.add(f"x0_error_at_{time}", error)


def _held_out_elbo(model, batches, scores):
    metric = metrics.HeldOutELBO(model)
    for batch in batches:
        metric.update_state(batch)
    for name, value in metric.result().items():
        scores.add(name, value)
