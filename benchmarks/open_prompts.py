"""What comes of prompts that name a shape and leave all else open?

    python benchmarks/open_prompts.py       # writes results/open_prompts.json

shapes-diffusion and shapes-student, in 4 steps and in 1, draw each of the six shapes ("a star", "一个五角星") 64 times in
either language. A picture shows an object if at least 4 of its pixels have a color, to within 40 of 255, that is one of the
eight and not the background's: a faint object does not count. shapes-judge, which names a shape in an empty picture too, says
whether it is the right one, and alone. How evenly what is open is drawn is the total variation between its colors, places and
sizes and those of scenes drawn by rule: 0 where all are equally frequent, 1 where none is shared. The floor is other scenes by
rule, as many.
"""

import numpy as np
import report

import tfgen
from tfgen.data import shapes
from tfgen.models.judge import judge_attributes

NAMES = {
    "en": [f"a {name}" for name in shapes.SHAPES],
    "zh": ["一个圆", "一个正方形", "一个三角形", "一个五角星", "一个圆环", "一个十字"],
}
NUM_PICTURES, SEED, LEAST_PIXELS, LARGEST_DISTANCE = 64, 19, 4, 40
ARMS = [("shapes-diffusion", 24), ("shapes-student", 4), ("shapes-student", 1)]
OPEN = {"background": shapes.COLORS, "color_1": shapes.COLORS, "place_1": shapes.PLACES, "size_1": shapes.SIZES}
COLUMN = {name: index for index, name in enumerate(shapes.ATTRIBUTES)}


def scenes(seed):
    """As many scenes by rule as are drawn, shape by shape."""
    found = shapes.sample_scenes(20 * NUM_PICTURES, [SEED, seed], "test", num_objects=(1,))
    rows = [np.flatnonzero(found.shape[:, 0] == shape)[: 2 * NUM_PICTURES] for shape in range(len(shapes.SHAPES))]
    rows = np.reshape(rows, (-1, 2, NUM_PICTURES)).swapaxes(0, 1).ravel()  # language by language
    chosen = shapes.Scenes(**{name: values[rows] for name, values in vars(found).items()})
    return np.round((shapes.render(chosen).numpy() + 1) * 127.5).astype(np.uint8)


def shows_an_object(images):
    palette = np.round(255 * shapes.RGB)
    background = np.linalg.norm(np.median(images, axis=(1, 2))[:, None] - palette, axis=-1).argmin(axis=-1)
    is_near = np.linalg.norm(images[:, :, :, None] - palette, axis=-1) < LARGEST_DISTANCE  # [N, H, W, colors]
    num_pixels = is_near.sum(axis=(1, 2))
    num_pixels[np.arange(len(images)), background] = 0
    return num_pixels.max(axis=-1) >= LEAST_PIXELS


def measured(images):
    shown, seen = shows_an_object(images), judge_attributes(judge, images)
    wanted = np.tile(np.repeat(np.arange(len(shapes.SHAPES)), NUM_PICTURES), len(NAMES))
    right = shown & (seen[:, COLUMN["shape_1"]] == wanted)
    found = {"shown": float(shown.mean()), "right_shape": float(right.mean())}
    alone = right & (seen[:, COLUMN["num_objects"]] == 1)
    found["right_shape_alone"] = float(alone.mean())
    for language, part in zip(NAMES, np.split(shown, len(NAMES)), strict=True):
        found[f"shown_{language}"] = float(part.mean())
    return found | {f"unevenness_{name}": uneven(name, seen[alone], seen_by_rule) for name in OPEN}


def uneven(name, *seen):
    parts = [np.bincount(rows[:, COLUMN[name]], minlength=len(OPEN[name])) / len(rows) for rows in seen]
    return float(np.abs(parts[0] - parts[1]).sum() / 2)


judge = tfgen.load_model("shapes-judge")
seen_by_rule = judge_attributes(judge, scenes(0))
figures = {"by rule": measured(scenes(1))}
for name, steps in ARMS:
    prompts = [prompt for of_language in NAMES.values() for prompt in of_language]
    images = tfgen.load_model(name).generate(prompts, num_images=NUM_PICTURES, seed=SEED, steps=steps)
    figures[f"{name}, {steps} step{'s' if steps > 1 else ''}"] = {"weights": report.weights(name), **measured(images)}
report.write("open_prompts", figures)
