"""Measuring a model."""

import keras
import numpy as np

from tfgen import data
from tfgen.metrics.prompt_accuracy import all_right
from tfgen.models.judge import judge_attributes
from tfgen.models.registry import load_model

_JUDGE = "shapes-judge"
# name -> what to ask for: split, language, number of objects
_PROMPTS = {
    "one_object_en": ("test", "en", 1),
    "one_object_zh": ("test", "zh", 1),
    "two_objects_en": ("test", "en", 2),
    "two_objects_zh": ("test", "zh", 2),
    "unseen_one_object_en": ("unseen", "en", 1),
    "unseen_two_objects_en": ("unseen", "en", 2),
}


def evaluate(name, source="shapes", num_images=512, num_seeds=3):
    """Prompt accuracy of a text-to-image model on rendered scenes: the part of the pictures on which the frozen judge sees
    every attribute that the prompt states.

    Args:
        name: model, as in `load_model`.
        source: "shapes".
        num_images: prompts for each seed and kind of prompt, one picture each.
        num_seeds: seeds 0, 1, …: of the prompts and of the pictures.

    Returns:
        The report, ready for JSON: each metric's mean and standard deviation over the seeds, and the most it can be, the
        judge's own accuracy on renderings of the same scenes.
    """
    model = load_model(name)
    if source != "shapes":
        raise ValueError(f"prompt accuracy is measured on shapes, not on {source!r}; use --data shapes")
    if getattr(model, "text_encoder", None) is None:
        raise ValueError(f"{name} takes no prompts, so it has no prompt accuracy")
    if model.image_shape != (32, 32, 3):
        raise ValueError(f"the judge reads pictures of 32x32 in colour, {name} draws {model.image_shape}; nothing to measure")
    judge = load_model(_JUDGE)
    progress = keras.utils.Progbar(len(_PROMPTS) * num_seeds, unit_name="seed")
    metrics = {}
    for kind, (split, language, num_objects) in _PROMPTS.items():
        generated, real = [], []
        for seed in range(num_seeds):
            prompts, stated, pictures = data.shapes_prompts(num_images, split, language, (num_objects,), seed, model.image_size)
            drawn = model.generate(prompts, seed=1_000_000 * seed)
            generated.append(np.mean(all_right(stated, judge_attributes(judge, drawn))))
            real.append(np.mean(all_right(stated, judge_attributes(judge, pictures))))
            progress.add(1)
        metrics[f"prompt_accuracy_{kind}"] = {
            "mean": float(np.mean(generated)),
            "standard_deviation": float(np.std(generated)),
            "judge_on_real": float(np.mean(real)),
        }
    return {
        "model": str(name),
        "data": source,
        "num_images": num_images,
        "seeds": list(range(num_seeds)),
        "judge": _JUDGE,
        "metrics": metrics,
    }
