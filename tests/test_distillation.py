"""From a teacher to its student."""

import numpy as np
import pytest

import tfgen
from tfgen import data, text, training
from tfgen.data import captions
from tfgen.distillation import Teaching, teach
from tfgen.files import save_whole
from tfgen.models import FewStepStudent, TextToImageDiffusion

SHAPES = {"image_size": 16, "num_scenes": 40, "num_objects": (1,)}


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory):
    """Of an untrained teacher, with its settings."""
    tokenizer = text.build_tokenizer(captions.vocabulary_corpus(), 500, 24)
    encoder = text.TransformerTextEncoder(tokenizer, width=16, depth=1, num_heads=2)
    folder = tmp_path_factory.mktemp("teacher")
    save_whole(
        TextToImageDiffusion(encoder, image_size=16, channels=(16,), num_heads=2, ema_half_life=0), folder / "model.keras"
    )
    (folder / "settings.toml").write_text(
        'family = "diffusion"\nimage_size = 16\n[options]\nnum_scenes = 40\nnum_objects = [1]\n'
    )
    return folder


def source():
    return data.load("shapes", **SHAPES)


def test_a_pair_is_what_the_teacher_draws_of_its_noise_caption_and_guidance(teacher_folder, tmp_path):
    teaching = Teaching(str(teacher_folder), steps=2)
    pairs = list(teach(teaching.load(), source(), tmp_path / "pairs", verbose=0).as_numpy_iterator())
    assert len(pairs) == 40
    scales = {float(pair["guidance_scale"]) for pair in pairs}
    assert 2.5 in scales
    assert min(scales) >= 1
    assert max(scales) <= 5
    assert any(pair["caption"] == b"" for pair in pairs)
    teacher = tfgen.load_model(teacher_folder)
    teacher.time_grid = "karras"
    for pair in pairs[:4]:
        drawn = teacher.generate(
            pair["caption"].decode(), seed=int(pair["noise_seed"]), steps=2,
            guidance_scale=float(pair["guidance_scale"]),
        )  # fmt: skip
        assert np.abs((pair["image"] + 1) * 127.5 - drawn[0]).max() <= 1.01


def test_pictures_that_are_there_are_not_drawn_again(teacher_folder, tmp_path, monkeypatch):
    teacher = Teaching(str(teacher_folder), steps=1).load()
    first = list(teach(teacher, source(), tmp_path / "pairs", verbose=0).as_numpy_iterator())
    monkeypatch.setattr(teacher, "sample", None)
    again = list(teach(teacher, source(), tmp_path / "pairs", verbose=0).as_numpy_iterator())
    assert all(np.array_equal(left["image"], right["image"]) for left, right in zip(first, again, strict=True))


def test_a_student_is_trained_from_its_teachers_settings_though_interrupted(teacher_folder, tmp_path, monkeypatch):
    chosen = training.settings_of_student(teacher_folder)
    assert (chosen.data, chosen.image_size, chosen.options["num_scenes"]) == ("shapes", 16, 40)
    chosen.teacher |= {"num_pictures": 30, "steps": 2}
    chosen.batch_size = 8

    def interrupted(*arguments, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(TextToImageDiffusion, "sample", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.train(chosen, tmp_path / "student", epochs=2, verbose=0)
    training.train(None, tmp_path / "student", resume=True, verbose=0)
    assert {file.name for file in (tmp_path / "student").iterdir()} == {"model.keras", "settings.toml", "README.md", "samples"}
    student = tfgen.load_model(tmp_path / "student")
    assert isinstance(student, FewStepStudent)
    assert (student.steps, student.guidance_scale, student.ema_half_life) == (4, 2.5, 0)
    again = training.read_settings(tmp_path / "student" / "settings.toml")
    assert (again.teacher["model"], again.steps) == (str(teacher_folder), 6)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ({"model": "fashion-vae"}, "cannot teach"),
        ({"model": "no-such-model"}, "no model"),
        ({"pictures": 3}, "make no teacher"),
        ({"num_pictures": 0}, "give a whole number from 1"),
        ({}, "set image_size to 32"),  # that which ships draws 32x32
    ],
)
def test_unusable_teachers_are_refused(teacher, message, tmp_path):
    chosen = training.Settings("student", image_size=16, options={"num_scenes": 8}, teacher=teacher)
    with pytest.raises(ValueError, match=message):
        training.train(chosen, tmp_path / "run", epochs=1, verbose=0)
    assert not (tmp_path / "run").exists()
