"""`tfgen evaluate`, on models that ship."""

import json
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfgen import cli, evaluation, text
from tfgen.data import captions
from tfgen.files import save_whole
from tfgen.models import TextToImageDiffusion
from tfgen.models.registry import shipped_models

pytestmark = pytest.mark.skipif("shapes-judge" not in shipped_models(), reason="the judge is not shipped yet")


def test_a_scene_model_is_judged_and_compared(tmp_path, monkeypatch, capsys):
    encoder = text.TransformerTextEncoder(text.build_tokenizer(captions.vocabulary_corpus(), 1000, 36), width=16, depth=1)
    save_whole(
        TextToImageDiffusion(
            encoder, patch_size=4, channels=(16,), schedule="cosine", parameterisation="eps", steps=2, ema_half_life=0
        ),
        tmp_path / "model.keras",
    )
    (tmp_path / "settings.toml").write_text('family = "diffusion"\n[options]\nnum_scenes = 1000\n')
    file = tmp_path / "report.json"
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back after the command has changed it
    monkeypatch.setattr(sys, "argv", ["tfgen", "evaluate", str(tmp_path), *f"--num-images 8 --seeds 2 --json {file}".split()])
    with pytest.warns(UserWarning, match="16 pictures for 192 features"), pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    report = json.loads(file.read_text())
    assert report["data"] == "shapes"
    assert report["extractor"] == "shapes-judge"
    assert report["seeds"] == [0, 1]
    for name in ("prompt_accuracy_one_object_en", "shape_1_accuracy_one_object_en", "precision"):
        value = report["metrics"][name]
        assert 0 <= value["mean"] <= 1
        assert value["standard_deviation"] >= 0
    assert report["metrics"]["prompt_accuracy_one_object_en"]["floor"] > 0.9
    assert report["metrics"]["frechet_distance"]["floor"] < report["metrics"]["frechet_distance"]["mean"]
    assert report["metrics"]["x0_error_at_0.9"]["mean"] > report["metrics"]["x0_error_at_0.1"]["mean"]
    with Image.open(file.with_suffix(".png")) as page:
        assert min(page.size) > 500
    lines = capsys.readouterr().out.splitlines()
    assert f"{tmp_path}: {report['num_images']} pictures for each of 2 seeds, features of shapes-judge, data shapes" in lines
    recall = report["metrics"]["recall"]
    shown = [f"{recall[name]:.4f}" for name in ("mean", "standard_deviation", "floor")]
    assert "recall: {} ± {} (floor {})".format(*shown) in lines


@pytest.mark.parametrize(
    ("name", "data"), [("fashion-dcgan", "fashion_mnist"), pytest.param("mnist-vae", "mnist", marks=pytest.mark.long)]
)
def test_a_model_without_text_is_compared_with_the_test_split(name, data, tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_dir)
    metrics = evaluation.evaluate(name, num_images=256, num_seeds=1).report["metrics"]
    assert metrics["frechet_distance"]["mean"] > metrics["frechet_distance"]["floor"]
    assert 1 < metrics["inception_score"]["mean"] <= 10
    assert np.isclose(sum(metrics[f"class_{label}_part"]["mean"] for label in range(10)), 1)
    assert ("negative_elbo" in metrics) == (name == "mnist-vae")


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="makes no pictures"):
        evaluation.evaluate("shapes-judge")
    with pytest.raises(ValueError, match="no extractor ships"):
        evaluation.evaluate("mnist-vae", "cifar10")
    with pytest.raises(ValueError, match="fashion-vae is no judge"):
        evaluation.evaluate("mnist-vae", extractor="fashion-vae")


def test_cards_say_what_was_measured():
    root = Path(__file__).parents[1]
    card = runpy.run_path(root / "docs" / "cards.py")["card"]
    reports = sorted(root.glob("saved_models/*/report.json"))
    assert reports
    for report in reports:
        assert (report.parent / "README.md").read_text() == card(report.parent), f"run docs/cards.py after {report}"
