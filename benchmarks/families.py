"""Models of one data set beside each other: what their pictures are worth, what a picture costs, how large they are.

    python benchmarks/families.py        # writes results/families.json, docs/families.md and docs/pictures/families-*.png

Quality comes from the models' reports (`tfgen evaluate`, the same prompts for all), training time and size from their folders;
the time of a picture is measured here, one model after the other.
"""

import json
import re
import time
from pathlib import Path

import numpy as np
import report

import tfgen
from tfgen import plotting
from tfgen.files import write_whole

ROOT = Path(__file__).parents[1]
RUNS, SEED = 7, 5
# data -> its models, and what each is asked to draw for the picture
FAMILIES = {
    "Fashion-MNIST": (
        ["fashion-text-dcgan", "fashion-text-vae", "fashion-diffusion"],
        ["an ankle boot", "连衣裙", "a picture of a bag", "画凉鞋", "a coat", "一张T恤的图片"],
    ),
    "shapes": (
        ["shapes-dcgan", "shapes-vae", "shapes-diffusion"],
        [
            "a large red circle on a blue background", "黄色背景，中间有一个绿色的三角形", "a big orange ring on black",
            "a white star in the top left on purple", "白色背景上有一个黑色的大十字",
            "a small green square above a large yellow star on a white background",
        ],
    ),
}  # fmt: skip
WITHOUT_TEXT = ["fashion-dcgan", "fashion-vae"]  # what the recall of those with text is compared with
ATTRIBUTES = ("num_objects", "background", "color_1", "size_1", "place_1", "shape_1")
METRICS = {  # of the report -> heading
    "prompt_accuracy": "class right",
    "prompt_accuracy_one_object_en": "one object, English",
    "prompt_accuracy_one_object_zh": "one object, Chinese",
    **{f"{name}_accuracy_one_object_en": f"one object, English: {name.removesuffix('_1')}" for name in ATTRIBUTES},
    "prompt_accuracy_two_objects_en": "two objects, English",
    "prompt_accuracy_two_objects_zh": "two objects, Chinese",
    "frechet_distance": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "coverage": "coverage",
}


def seconds(model, prompts):
    """Of one call of `generate`, over RUNS calls after one that traces."""
    model.generate(prompts, seed=SEED)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        model.generate(prompts, seed=SEED)
        times.append(time.perf_counter() - start)
    return times


def measured(name, prompts):
    folder = ROOT / "saved_models" / name
    metrics = json.loads((folder / "report.json").read_text())["metrics"]
    model = tfgen.load_model(name)
    one, sixteen = ([prompts[0]], (3 * prompts)[:16]) if model.text_encoder else (None, None)
    figures = {
        **{metric: metrics[metric] for metric in METRICS if metric in metrics},
        "milliseconds_alone": report.summary([1000 * value for value in seconds(model, one)]),
        "parameters": model.count_params(),
        "megabytes": (folder / "model.keras").stat().st_size / 1e6,
        "training_minutes": float(re.search(r"training time \| ([\d.]+) minutes", (folder / "README.md").read_text())[1]),
    }
    if sixteen:
        figures["milliseconds_each_of_16"] = report.summary([1000 * value / 16 for value in seconds(model, sixteen)])
    return model, figures


def cell(name, value):
    if "mean" not in value:
        return f"{value['median']:.3g}"
    scale, digits = (100, 1) if "accuracy" in name else (1, 3 if value["mean"] < 2 else 1)
    return f"{scale * value['mean']:.{digits}f} ± {scale * value['standard_deviation']:.{digits}f}"


def table(models):
    """One row a metric, one column a model."""
    first = next(iter(models.values()))
    named = [metric for metric in METRICS if any(metric in figures for figures in models.values())]
    rows = [
        "| | real pictures | " + " | ".join(models) + " |",
        "| --- |" + " ---: |" * (len(models) + 1),
    ]
    for metric in named:
        floor = first[metric]["floor"]
        scale, digits = (100, 1) if "accuracy" in metric else (1, 3 if floor < 1 else 1)
        cells = [cell(metric, figures[metric]) if metric in figures else "" for figures in models.values()]
        percent = ", %" if "accuracy" in metric else ""
        rows.append(f"| {METRICS[metric]}{percent} | {scale * floor:.{digits}f} | {' | '.join(cells)} |")
    for key, heading in (
        ("milliseconds_alone", "a picture alone, ms"),
        ("milliseconds_each_of_16", "each of 16 at once, ms"),
    ):
        cells = [cell(key, figures[key]) if key in figures else "" for figures in models.values()]
        rows.append(f"| {heading} | | {' | '.join(cells)} |")
    for key, heading, form in (
        ("training_minutes", "training, minutes", "{:.1f}"),
        ("parameters", "parameters", "{:,}"),
        ("megabytes", "model.keras, MB", "{:.1f}"),
    ):
        rows.append(f"| {heading} | | {' | '.join(form.format(figures[key]) for figures in models.values())} |")
    return "\n".join(rows)


figures, sections = {}, []
for data, (names, prompts) in FAMILIES.items():
    drawn, models = [], {}
    for name in names:
        model, models[name] = measured(name, prompts)
        drawn.append(model.generate(prompts, seed=[SEED] * len(prompts)))
    if data == "Fashion-MNIST":
        models |= {name: measured(name, prompts)[1] for name in WITHOUT_TEXT}
    figures[data] = models
    sections.append(f"## {data}\n\n{table(models)}\n")
    picture = ROOT / "docs" / "pictures" / f"families-{data.split('-')[0].lower()}.png"
    plotting.save_png(plotting.grid(np.concatenate(drawn), columns=len(prompts)), picture, scale=3)
    asked = "; ".join(prompts)
    sections.append(f"![](pictures/{picture.name})\n\nRow by row: {', '.join(names)}. Asked for: {asked}.\n")
report.write("families", figures)
head = f"""# Models beside each other, asked for the same

Means over three seeds and their standard deviations, by `tfgen evaluate`; beside them what real pictures have in place of the
drawn ones. The time of a picture is the median of {RUNS}, on two cores of {report.cpu()}. Made by
`python benchmarks/families.py`.

The temperature of each VAE of clothing was chosen by its coverage (`python benchmarks/temperature.py`). Pixels and latents of
fashion-vae are not those of fashion-text-vae, with which a VAE without text draws worse. shapes-dcgan and shapes-vae have only
learned scenes of one object; prompts are for one object or two, and the distance and what follows it are of both.
"""
write_whole(ROOT / "docs" / "families.md", "\n".join([head, *sections]).encode())
