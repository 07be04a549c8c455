"""A few-step student beside its teacher, from the same noise.

    python benchmarks/student.py       # writes results/student.json and docs/pictures/student.png

shapes-diffusion in 50 steps and shapes-student in 4, 2 and 1 draw the same 10,000 scenes of "test", half of them of one object
and half of two, asked for in English or Chinese, with the same seeds. shapes-judge says of the first 4,096 how many show all
that their prompts state; the Fréchet distance of its features is that of all to 10,000 other scenes, and the floor that of the
scenes asked for, as they are drawn by rule. An interrupted benchmark goes on after its last complete run; delete its results
to begin anew. Aims: in 4 steps within 1 point of the teacher and within 10 % of its distance, in 1 step within 5 points.
"""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import report
from matplotlib.figure import Figure

import tfgen
from tfgen import data, metrics
from tfgen.files import write_whole
from tfgen.metrics import all_attributes_match
from tfgen.models.image_model import PromptWarning
from tfgen.models.judge import judge_attributes

RESULTS = report.RESULTS / "student.json"
NUM_JUDGED, NUM_PICTURES, SEED, NUM_SHOWN = 4096, 10_000, 31, 8
BLOCK, PICTURES = 500, Path(__file__).parents[1] / ".cache" / "student"
ARMS = [("shapes-diffusion", 50), ("shapes-student", 4), ("shapes-student", 2), ("shapes-student", 1)]


def scenes(seed):
    """Prompts, what they state and the scenes drawn by rule, one object and two by turns."""
    kinds = [data.shapes_prompts(NUM_PICTURES // 2, "test", "both", (count,), seed) for count in (1, 2)]
    prompts = [prompt for pair in zip(*(kind[0] for kind in kinds), strict=True) for prompt in pair]
    return prompts, *(
        np.stack([kind[index] for kind in kinds], axis=1).reshape(-1, *kinds[0][index].shape[1:]) for index in (1, 2)
    )


def drawn(name, steps):
    """The pictures of all prompts; kept block by block, for a teacher takes hours."""
    model, images = tfgen.load_model(name), []
    for start in range(0, NUM_PICTURES, BLOCK):
        file = PICTURES / f"{name}-{WEIGHTS[name]}-{steps}-{start}.npy"
        if not file.exists():
            content = io.BytesIO()
            np.save(content, model.generate(prompts[start : start + BLOCK], seed=SEED + start, steps=steps, verbose=1))
            write_whole(file, content.getvalue())
        images.append(np.load(file))
    return np.concatenate(images)


def features(pictures):
    return metrics.predict_images(extractor, pictures)


def frechet_distance(generated, real):
    metric = metrics.FrechetDistance(extractor)
    metric.add_real(real)
    metric.add_generated(generated)
    return float(metric.result())


def measured(pictures):
    right, found = all_attributes_match(stated[:NUM_JUDGED], judge_attributes(judge, pictures[:NUM_JUDGED])), features(pictures)
    return {
        "prompt_accuracy": float(right.mean()),
        "prompt_accuracy_one_object": float(right[::2].mean()),
        "prompt_accuracy_two_objects": float(right[1::2].mean()),
        "frechet_distance": frechet_distance(found, of_others),
        "frechet_distance_of_fifths": [frechet_distance(found[part::5], of_others[part::5]) for part in range(5)],
        "right": "".join(str(int(one)) for one in right),
    }


def known_runs():
    runs = json.loads(RESULTS.read_text())["figures"]["runs"] if RESULTS.exists() else {}
    return {key: run for key, run in runs.items() if run["weights"] == WEIGHTS[key.split(",")[0]]}


warnings.simplefilter("ignore", PromptWarning)
judge = tfgen.load_model("shapes-judge")
extractor = metrics.feature_extractor(judge, name="shapes-judge")
WEIGHTS = {name: report.weights(name) for name, _ in ARMS}
(prompts, stated, real), (_, _, others) = scenes(SEED), scenes(SEED + 1)
of_others = features(others)
for name, steps in ARMS:
    key = f"{name}, {steps} steps"
    if key not in known_runs():
        found = {"weights": WEIGHTS[name], **measured(drawn(name, steps))}
        report.write("student", {"runs": {**known_runs(), key: found}})
runs = known_runs()
rights = {key: np.array(list(run["right"]), float) for key, run in runs.items()}
teacher, *students = (f"{name}, {steps} steps" for name, steps in ARMS)
beside = {}
for key in students:
    difference = rights[key] - rights[teacher]
    fifths = np.divide(*(runs[one]["frechet_distance_of_fifths"] for one in (key, teacher)))
    beside[key] = {
        "prompt_accuracy_less_teachers": float(difference.mean()),
        "standard_error": float(difference.std(ddof=1) / len(difference) ** 0.5),
        "frechet_distance_of_teachers": runs[key]["frechet_distance"] / runs[teacher]["frechet_distance"],
        "standard_error_of_it": float(fifths.std(ddof=1) / 5**0.5),
    }
figure = Figure(figsize=(1.5 * NUM_SHOWN, 1.5 * len(ARMS) + 0.3), layout="constrained")
rows = figure.subfigures(len(ARMS), 1)
for row, (name, steps) in zip(rows, ARMS, strict=True):
    row.supylabel(f"{steps} step{'s' if steps > 1 else ''}")
    panels = row.subplots(1, NUM_SHOWN)
    for panel, picture in zip(
        panels, tfgen.load_model(name).generate(prompts[:NUM_SHOWN], seed=SEED, steps=steps), strict=True
    ):
        panel.imshow(picture, interpolation="nearest")
        panel.axis("off")
floor = {name: value for name, value in measured(real).items() if name != "right"}
report.write("student", {"runs": runs, "beside_the_teacher": beside, "floor": floor})
report.draw("student", figure)
