"""What a few-step student learns from: a teacher's pictures, and the noise, the captions and the guidance they came from."""

import io
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfgen.diffusion.noise import gaussian
from tfgen.files import write_whole
from tfgen.models.diffusion import TextToImageDiffusion
from tfgen.models.image_model import MAX_BATCH, to_uint8
from tfgen.models.registry import load_model
from tfgen.models.student import FewStepStudent

_BLOCK = 8 * MAX_BATCH  # pictures of one file
_FIRST_SEED = 2**40  # beyond those that anybody asks for: what a student is asked to draw, it has not learned by heart
_EMPTY_PART, _OWN_SCALE_PART = 0.1, 0.5


@dataclass(frozen=True)
class Teaching:
    """How a teacher draws what its student learns; the `[teacher]` table of a student's settings.

    Attributes:
        model: name or path, as in `tfgen.load_model`.
        num_pictures: how many.
        steps, sampler, time_grid: as of `TextToImageDiffusion`. Closer together where there is little noise, 20 steps lose
            little beside the 50 even ones of `generate`; benchmarks/samplers.py compares them.
    """

    model: str = "shapes-diffusion"
    num_pictures: int = 20_000
    steps: int = 20
    sampler: str = "ddim"
    time_grid: str = "karras"

    def __post_init__(self):
        if not isinstance(self.num_pictures, int) or self.num_pictures < 1:
            raise ValueError(f"num_pictures is {self.num_pictures!r}; give a whole number from 1")

    def load(self):
        """The teacher, a `TextToImageDiffusion`, that draws by these settings.

        Raises:
            ValueError: there is no such model, or it cannot teach.
        """
        loaded = load_model(self.model)
        if not isinstance(loaded, TextToImageDiffusion) or isinstance(loaded, FewStepStudent):
            raise ValueError(f"{self.model} cannot teach; give a diffusion model, such as shapes-diffusion")
        chosen = {"steps": self.steps, "sampler": self.sampler, "time_grid": self.time_grid}
        return TextToImageDiffusion.beginning_with(loaded, ema_half_life=0, **chosen)


def teach(teacher, source, folder, seed=0, verbose="auto"):
    """Have a teacher draw captions of a source, and keep its pictures in a folder; what is there already is not drawn again.

    One caption in ten is emptied, so that the student, too, draws without a prompt. Half of the pictures are drawn at the
    teacher's own guidance scale, the others at any from 1, which is no guidance, to twice its own.

    Args:
        teacher: of `Teaching.load`.
        source: as of `tfgen.data.load`, with as many captions as the teacher should draw.
        folder: where to keep them, some hundreds to a file.
        seed: of scales, and of which captions are emptied.
        verbose: as in `keras.Model.fit`.

    Returns:
        A `tf.data.Dataset` of examples like the source's: `image` is the teacher's, `noise_seed` int64 that of the noise it
        came from, `guidance_scale` float32.
    """
    captions = list(source.map(lambda example: example["caption"]).as_numpy_iterator())
    rng, num_pictures = np.random.default_rng(seed), len(captions)
    examples = {
        "caption": np.array(captions, object),
        "noise_seed": _FIRST_SEED + num_pictures * seed + np.arange(num_pictures),
        "guidance_scale": rng.uniform(1, 2 * teacher.guidance_scale, num_pictures).astype(np.float32),
    }
    examples["caption"][rng.random(num_pictures) < _EMPTY_PART] = b""
    examples["guidance_scale"][rng.random(num_pictures) < _OWN_SCALE_PART] = teacher.guidance_scale
    progress = keras.utils.Progbar(num_pictures, verbose=int(bool(verbose)), unit_name="picture of the teacher's")
    images = []
    for start in range(0, num_pictures, _BLOCK):
        part = slice(start, min(start + _BLOCK, num_pictures))
        file = Path(folder) / f"{part.start}-{part.stop}.npy"
        if not file.exists():
            content = io.BytesIO()
            np.save(content, _drawn(teacher, **{name: values[part] for name, values in examples.items()}))
            write_whole(file, content.getvalue())
        images.append(np.load(file))
        progress.add(len(images[-1]))
    pairs = tf.data.Dataset.from_tensor_slices({"image": np.concatenate(images), **examples})
    return pairs.map(lambda pair: {**pair, "image": tf.cast(pair["image"], tf.float32) / 127.5 - 1})


def _drawn(teacher, caption, noise_seed, guidance_scale):
    """Pictures uint8 [N, H, W, C]."""
    images = []
    for start in range(0, len(caption), MAX_BATCH):
        part = slice(start, start + MAX_BATCH)
        token_ids = teacher.tokenize(tf.constant(caption[part]))
        empty = teacher.tokenize(tf.zeros_like(caption[part], tf.string))
        pictures = teacher.sample(
            tf.constant(noise_seed[part]), token_ids, empty, steps=teacher.steps, guidance_scale=guidance_scale[part],
            sampler=teacher.sampler,
        )  # fmt: skip
        images.append(to_uint8(pictures).numpy())
    return np.concatenate(images)


def with_noise(batch):
    """A batch of what `teach` gave, with the noise of its seeds: drawn outside XLA, where it would be other noise."""
    return {**batch, "noise": gaussian(batch["noise_seed"], batch["image"].shape[1:])}
