"""The judge that ships, on real renderings, and what it measures of the model that ships."""

import numpy as np
import pytest

import tfgen
from tfgen import data, evaluation
from tfgen.data import shapes
from tfgen.metrics.prompt_accuracy import all_right
from tfgen.models.judge import judge_attributes
from tfgen.models.registry import find_model, shipped_models

pytestmark = pytest.mark.skipif("shapes-judge" not in shipped_models(), reason="the judge is not shipped yet")

COLUMN = {name: index for index, name in enumerate(shapes.ATTRIBUTES)}


def judged(judge, num_objects, split="test"):
    """The part of 4,000 held-out renderings of which the judge reads every attribute right."""
    scenes = shapes.sample_scenes(4000, 12345, split, num_objects=(num_objects,))
    truth = scenes.attributes()
    for name, column in COLUMN.items():
        if num_objects == 2 and name.startswith("place"):
            truth[:, column] = -1  # not judged
    images = np.round((shapes.render(scenes).numpy() + 1) * 127.5).astype(np.uint8)
    return all_right(truth, judge_attributes(judge, images)).mean()


def test_the_shipped_judge_reads_real_renderings():
    judge = tfgen.load_model("shapes-judge")
    assert (find_model("shapes-judge") / "model.keras").stat().st_size < 2_000_000
    assert judged(judge, 1) >= 0.995
    assert judged(judge, 2) >= 0.99
    assert judged(judge, 1, "unseen") >= 0.99


def test_the_judge_sees_a_wrong_attribute():
    judge = tfgen.load_model("shapes-judge")
    _, stated, images = data.shapes_prompts(300, seed=1)
    assert all_right(stated, judge_attributes(judge, images)).mean() > 0.98
    assert all_right(stated, judge_attributes(judge, images[::-1])).mean() < 0.1


def test_evaluation_reports_means_and_spreads():
    report = evaluation.evaluate("shapes-diffusion", num_images=8, num_seeds=2)
    assert report["seeds"] == [0, 1]
    assert report["judge"] == "shapes-judge"
    for value in report["metrics"].values():
        assert 0 <= value["mean"] <= 1
        assert value["standard_deviation"] >= 0
        assert value["judge_on_real"] > 0.9
    with pytest.raises(ValueError, match="use --data shapes"):
        evaluation.evaluate("shapes-diffusion", "mnist")


def test_the_shipped_model_draws_what_it_is_told_in_both_languages():
    model, judge = tfgen.load_model("shapes-diffusion"), tfgen.load_model("shapes-judge")
    for prompt in ("a large red circle on a blue background", "蓝色背景上的一个大红圆"):
        seen = judge_attributes(judge, model.generate(prompt, num_images=4, seed=7))
        for name, value in (("shape_1", "circle"), ("color_1", "red"), ("size_1", "large"), ("background", "blue")):
            names = {"shape_1": shapes.SHAPES, "size_1": shapes.SIZES}.get(name, shapes.COLORS)
            assert {names[index] for index in seen[:, COLUMN[name]]} == {value}, prompt
    for language, num_objects, least in (("en", 1, 0.9), ("zh", 1, 0.9), ("en", 2, 0.75)):
        prompts, stated, _ = data.shapes_prompts(48, "test", language, (num_objects,), seed=5)
        assert all_right(stated, judge_attributes(judge, model.generate(prompts, seed=5))).mean() >= least
