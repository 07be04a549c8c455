"""From a source and settings to a model's folder."""

import dataclasses
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tomli_w
from PIL import Image

import tfgen
from tfgen import training
from tfgen.files import save_whole

TEXT = {"width": 16, "depth": 1, "num_heads": 2, "sequence_length": 24, "vocabulary_size": 500}
SMALL = {
    "dcgan": {"model": {"width": 8, "latent_size": 8}, "text": TEXT},
    "vae": {"model": {"width": 8, "latent_size": 8}},
    "diffusion": {"model": {"channels": (16,), "num_heads": 2, "steps": 4}, "text": TEXT},
    "judge": {"split": "judge"},
}


def settings(family, **changes):
    values = {"image_size": 16, "batch_size": 8, "steps": 6, "steps_per_epoch": 2, "options": {"num_scenes": 40}}
    return training.Settings(family=family, **{**values, **SMALL[family], **changes})


@pytest.mark.parametrize("family", list(SMALL))
def test_a_run_writes_a_whole_model_folder(family, tmp_path):
    model = training.train(settings(family), tmp_path / "model", verbose=0)
    written = {file.name for file in (tmp_path / "model").iterdir()}
    assert written == {"model.keras", "settings.toml", "README.md"} | ({"samples"} if family != "judge" else set())
    loaded = tfgen.load_model(tmp_path / "model")
    if family != "judge":
        assert len(list((tmp_path / "model" / "samples").iterdir())) == 3
        off = np.abs(
            loaded.generate(num_images=2).astype(int) - model.generate(num_images=2)
        )  # by the half precision of the file
        assert off.mean() < 0.3
        assert loaded.ema_half_life == 0
    chosen, again = settings(family), training.read_settings(tmp_path / "model" / "settings.toml")
    for name in ("family", "data", "split", "image_size", "options", "text", "batch_size", "steps", "steps_per_epoch", "seed"):
        assert getattr(again, name) == getattr(chosen, name)
    assert f"tfgen train {family}" in (tmp_path / "model" / "README.md").read_text()


def test_a_judge_of_scenes_sees_the_pairs_that_no_model_is_trained_on(tmp_path):
    settings = training.Settings("judge", steps=1, batch_size=2, image_size=16, options={"num_scenes": 8})
    training.train(settings, tmp_path, verbose=0)
    assert training.settings_of_run(tmp_path).split == "judge"


def test_half_precision_halves_the_file(tmp_path):
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(300), keras.layers.BatchNormalization()])
    save_whole(model, tmp_path / "whole.keras")
    save_whole(model, tmp_path / "half.keras", half_precision=True)
    assert (tmp_path / "half.keras").stat().st_size < 0.55 * (tmp_path / "whole.keras").stat().st_size
    for left, right in zip(keras.saving.load_model(tmp_path / "half.keras").get_weights(), model.get_weights(), strict=True):
        assert left.dtype == np.float32
        assert np.allclose(left, right, rtol=5e-4, atol=1e-7)


RUN = """
import sys
import tensorflow as tf
from tfgen import training
tf.config.experimental.enable_op_determinism()
folder, resume = sys.argv[1], len(sys.argv) > 3
training.train(None if resume else training.read_settings(sys.argv[2]), folder, resume=resume, verbose=0)
"""


@pytest.mark.parametrize(
    "family", ["vae", pytest.param("dcgan", marks=pytest.mark.long), pytest.param("diffusion", marks=pytest.mark.long)]
)
def test_a_run_killed_three_times_ends_as_if_it_had_not_been(family, tmp_path):
    chosen = dataclasses.asdict(settings(family, steps=60, steps_per_epoch=5))
    (tmp_path / "settings.toml").write_text(tomli_w.dumps(chosen))

    def start(folder, *resume):
        return subprocess.Popen([sys.executable, "-c", RUN, tmp_path / folder, tmp_path / "settings.toml", *resume])

    uninterrupted = start("whole")
    moments = random.Random(0)
    process, checkpoint = start("killed"), tmp_path / "killed" / "checkpoint.keras"
    for _ in range(3):
        last = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while process.poll() is None and (checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0) == last:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5))
        assert process.poll() is None, "the run ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process = start("killed", "resume")
    assert (process.wait(), uninterrupted.wait()) == (0, 0)
    assert {file.name for file in (tmp_path / "killed").iterdir()} == {"model.keras", "settings.toml", "README.md", "samples"}
    whole, killed = (keras.saving.load_model(tmp_path / folder / "model.keras") for folder in ("whole", "killed"))
    for left, right in zip(whole.get_weights(), killed.get_weights(), strict=True):
        assert np.array_equal(left, right)


def test_a_resumed_run_ends_where_it_would_have_ended_whatever_minutes_it_is_given(tmp_path):
    (tmp_path / "settings.toml").write_text(tomli_w.dumps(dataclasses.asdict(settings("vae", steps=60, steps_per_epoch=20))))
    process = subprocess.Popen([sys.executable, "-c", RUN, tmp_path / "run", tmp_path / "settings.toml"])
    while not (tmp_path / "run" / "checkpoint.keras").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.kill()
    process.wait()
    training.train(None, tmp_path / "run", resume=True, minutes=1, verbose=0)
    assert max(file.name for file in (tmp_path / "run" / "samples").iterdir()) == "epoch_0003.png"


WORKER = """
import sys
from tfgen import training
training.train(training.read_settings(sys.argv[1]), sys.argv[2], verbose=0)
"""


def test_two_workers_train_as_one(tmp_path):
    """The same losses of the same batches, and one folder, written by the first."""
    chosen = dataclasses.asdict(settings("vae"))
    (tmp_path / "settings.toml").write_text(tomli_w.dumps(chosen))
    with socket.socket() as first, socket.socket() as second:  # ports that are free
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{one.getsockname()[1]}" for one in (first, second)]

    def start(folder, **environment):
        command = [sys.executable, "-c", WORKER, tmp_path / "settings.toml", tmp_path / folder]
        return subprocess.Popen(command, env={**os.environ, **environment})

    def place(index):
        return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})

    processes = [start("alone"), *(start("together", TF_CONFIG=place(index)) for index in (0, 1))]
    assert [process.wait() for process in processes] == [0, 0, 0]
    alone, together = (tfgen.load_model(tmp_path / folder) for folder in ("alone", "together"))
    for left, right in zip(alone.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-3)
    cards = [(tmp_path / folder / "README.md").read_text().splitlines() for folder in ("alone", "together")]
    losses = [float(line.split("|")[2]) for card in cards for line in card if line.startswith("| loss |")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_captions_are_matched_with_pictures_first():
    """After a short while a caption finds its picture among 128 far more often than by chance."""
    chosen = settings("diffusion", steps=1200, options={"num_scenes": 2000, "num_objects": (1,)})
    source = tfgen.data.load("shapes", "train", 16, **chosen.options)
    model = training.build(chosen, source)
    training.compile_for(model, chosen)
    before = model.text_encoder.get_weights()
    history = training.match_captions(model, chosen, source, verbose=0).history
    assert history["matching_accuracy"][-1] > 0.1
    assert not np.array_equal(before[0], model.text_encoder.get_weights()[0])


def test_attributes_alone_teach_reading_where_captions_are_not_matched():
    """After a short while a caption tells most of its scene's attributes; by chance about a fifth."""
    chosen = settings("diffusion", steps=1200, options={"num_scenes": 2000, "num_objects": (1,)}, matches_captions=False)
    source = tfgen.data.load("shapes", "train", 16, **chosen.options)
    model = training.build(chosen, source)
    training.compile_for(model, chosen)
    history = training.match_captions(model, chosen, source, verbose=0).history
    assert list(history) == ["attribute_loss"]
    assert history["attribute_loss"][-1] < 1.0


def test_pictures_without_attributes_teach_no_reading_by_them(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "pictures" / "0.png")
    (tmp_path / "pictures" / "metadata.csv").write_text("file_name,text\n0.png,black\n")
    chosen = settings("diffusion", data=f"folder:{tmp_path / 'pictures'}", options={}, matches_captions=False)
    with pytest.raises(ValueError, match="has no attributes to learn reading from; leave out matches_captions"):
        training.train(chosen, tmp_path / "model", verbose=0)
    assert not (tmp_path / "model").exists()


@pytest.mark.long
def test_captions_are_matched_under_xla():
    chosen = settings("diffusion", steps=12)
    source = tfgen.data.load("shapes", "train", 16, **chosen.options)
    model = training.build(chosen, source)
    model.compile(jit_compile=True)
    history = training.match_captions(model, chosen, source, verbose=0).history
    assert np.isfinite([history["matching_loss"], history["attribute_loss"]]).all()


def test_what_a_killed_run_left_half_written_is_in_nobodys_way(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / ".settings.7.partial.toml").touch()
    training.train(settings("vae"), tmp_path / "model", verbose=0)
    assert not list((tmp_path / "model").rglob("*.partial.*"))


def test_a_folder_of_ones_own_trains_whatever_its_captions(tmp_path):
    """Grey pictures; more Chinese characters than a learner of vocabularies keeps; a caption longer than any prompt."""
    (tmp_path / "pictures").mkdir()
    characters = "".join(chr(0x4E00 + index) for index in range(1200))
    rows = ["file_name,text"]
    for index in range(40):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
        rows.append(f"{index}.png,{characters[30 * index : 30 * index + 30] if index else 'red ' * 6000}")
    (tmp_path / "pictures" / "metadata.csv").write_text("\n".join(rows), "utf-8")
    chosen = settings("vae", data=f"folder:{tmp_path / 'pictures'}", options={}, text={**TEXT, "vocabulary_size": 2000})
    model = training.train(chosen, tmp_path / "model", verbose=0)
    captions = [example["caption"].decode() for example in tfgen.data.load(chosen.data, "train", 16).as_numpy_iterator()]
    seen, tokenizer = "".join(caption for caption in captions if len(caption) < 100), model.text_encoder.tokenizer
    assert len(seen) > 1000
    assert model.generate(seen[:5]).shape[1:3] == (16, 16)
    assert tokenizer.token_to_id("[UNK]") not in tokenizer(list(seen)).numpy()


def test_scenes_of_three_textured_objects_train(tmp_path):
    options = {"num_scenes": 40, "num_objects": (1, 2, 3), "textures": ("solid", "striped")}
    model = training.train(settings("vae", options=options, text=TEXT), tmp_path / "model", verbose=0)
    assert model.generate("a red star").shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    "family", ["vae", pytest.param("dcgan", marks=pytest.mark.long), pytest.param("diffusion", marks=pytest.mark.long)]
)
def test_a_run_may_begin_with_a_model(family, tmp_path):
    """Where it begins it draws as that does, and at a rate of nearly nothing stays there."""
    begun = training.train(settings(family), tmp_path / "first", verbose=0)
    weights = [one.copy() for one in begun.averaged_model().get_weights()]
    further = settings(family, begin_with=str(tmp_path / "first"), learning_rate=1e-12, text_learning_rate=1e-12, text={})
    model = training.train(dataclasses.replace(further, model={}), tmp_path / "second", verbose=0)
    trained = [variable.path for variable in begun.averaged_model().trainable_variables]
    for variable, old, new in zip(begun.averaged_model().weights, weights, model.averaged_model().get_weights(), strict=True):
        if variable.path in trained:
            np.testing.assert_allclose(old, new, rtol=2e-3, atol=1e-5)  # by the half precision of the file
    assert training.read_settings(tmp_path / "second" / "settings.toml").begin_with == str(tmp_path / "first")


@pytest.mark.parametrize("encoder", ["transformer", "preset", "word_vectors"])
def test_a_model_that_is_trained_further_knows_the_new_words(encoder, tmp_path):
    """But for one of word vectors, which has none for them."""
    begun = settings("vae", text={"encoder": encoder})
    model = training.build(begun, tfgen.data.load("shapes", "train", 16, **begun.options))
    save_whole(model, tmp_path / "model.keras")
    further = dataclasses.replace(
        begun, begin_with=str(tmp_path / "model.keras"), text={}, model={}, options={"num_scenes": 20, "loosened": 1.0}
    )
    after = training.build(further, tfgen.data.load("shapes", "train", 16, **further.options))
    before, after = (one.text_encoder.tokenizer.unknown_words(["red □ circle"]) for one in (model, after))
    assert before == ["□"]
    assert after == (["□"] if encoder == "word_vectors" else [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "vae", "begin_with": "fashion-dcgan"}, "a model of the same family"),
        ({"family": "vae", "begin_with": "mnist-vae", "image_size": 28}, "give data of 1 channels"),
        ({"family": "vae", "begin_with": "mnist-vae", "text": TEXT}, "keeps its text encoder"),
        (
            {"family": "diffusion", "begin_with": "shapes-diffusion", "image_size": 32, "model": {"num_heads": 8}},
            "num_heads is 4 in the model whose weights are taken; leave it out",
        ),
        (
            {"family": "student", "image_size": 32, "model": {"num_blocks": 2}},
            "num_blocks is 1 in the model whose weights are taken; leave it out",
        ),
        ({"family": "student", "begin_with": "shapes-diffusion", "image_size": 32}, "a model of the same family"),
        ({"family": "judge", "begin_with": "shapes-judge"}, "for a model that draws"),
    ],
)
def test_what_a_run_cannot_begin_with_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        training.train(training.Settings(**{"image_size": 16, "options": {"num_scenes": 8}, **changes}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("begin_with", ["", "shapes-vae"])
def test_captions_that_name_nothing_are_refused(begin_with, tmp_path):
    (tmp_path / "pictures").mkdir()
    rows = ["file_name,text"]
    for index, caption in enumerate(["a photo", "…"]):
        Image.new("RGB", (32, 32), (30 * index, 0, 0)).save(tmp_path / "pictures" / f"{index}.png")
        rows.append(f"{index}.png,{caption}")
    (tmp_path / "pictures" / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    kind = {"family": "vae", "begin_with": begin_with, "image_size": 32} if begin_with else {"family": "diffusion"}
    with pytest.raises(ValueError, match=r"'(a photo|…)' name nothing that a picture shows"):
        training.train(training.Settings(data=f"folder:{tmp_path / 'pictures'}", **kind), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_minutes_are_refused_where_several_workers_would_count_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(ValueError, match="leave out --minutes and give --epochs"):
        training.train(settings("vae"), tmp_path / "model", minutes=1)


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory):
    """An untrained diffusion model as `train` would write it."""
    folder, chosen = tmp_path_factory.mktemp("teacher"), settings("diffusion")
    model = training.build(chosen, training.data.load("shapes", image_size=16, **chosen.options))
    save_whole(model.averaged_model(), folder / "model.keras")
    (folder / "settings.toml").write_text(tomli_w.dumps(dataclasses.asdict(chosen)))
    return folder


def test_a_student_is_trained_by_its_teachers_settings_though_interrupted(teacher_folder, tmp_path, monkeypatch):
    chosen = dataclasses.replace(training.settings_of_student(teacher_folder), batch_size=8, steps=6, steps_per_epoch=3)
    assert (chosen.data, chosen.image_size, chosen.options["num_scenes"]) == ("shapes", 16, 40)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    def train(chosen, folder):
        with monkeypatch.context() as changed:
            changed.setattr(training.SampleGrid, "on_epoch_end", interrupted)  # after the checkpoint of the first epoch
            with pytest.raises(KeyboardInterrupt):
                training.train(chosen, folder, verbose=0)
        training.train(None, folder, resume=True, verbose=0)

    train(chosen, tmp_path / "student")
    assert {file.name for file in (tmp_path / "student").iterdir()} == {"model.keras", "settings.toml", "README.md", "samples"}
    student = tfgen.load_model(tmp_path / "student")
    assert isinstance(student, tfgen.FewStepStudent)
    assert (student.steps, student.guidance_scale, student.ema_half_life, student.keeps_teacher) == (4, 2.5, 0, False)
    teacher = tfgen.load_model(teacher_folder)
    assert student.count_params() < 1.2 * teacher.count_params()
    again = training.read_settings(tmp_path / "student" / "settings.toml")
    assert (again.teacher, again.steps) == (str(teacher_folder), 6)
    train(
        dataclasses.replace(again, begin_with=str(tmp_path / "student"), model={"first_step_apart": True}), tmp_path / "apart"
    )
    apart = tfgen.load_model(tmp_path / "apart")
    first, later, before = (one.get_weights() for one in (apart.averaged_unet, apart.later_unet, student.averaged_unet))
    assert all(map(np.array_equal, later, before))
    assert not all(map(np.array_equal, first, before))


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("fashion-vae", "cannot teach"),
        ("no-such-model", "no model"),
        ("", "set image_size to 32"),  # that which ships draws 32x32
    ],
)
def test_unusable_teachers_are_refused(teacher, message, tmp_path):
    chosen = training.Settings("student", image_size=16, options={"num_scenes": 8}, teacher=teacher)
    with pytest.raises(ValueError, match=message):
        training.train(chosen, tmp_path / "run", epochs=1, verbose=0)
    assert not (tmp_path / "run").exists()


def test_paths_of_settings_mean_the_same_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "preset").mkdir()
    chosen = training.Settings("vae", data="folder:pictures", text={"encoder": "preset", "preset": "preset"})
    found = training.with_absolute_paths(chosen)
    assert (found.data, found.text["preset"]) == (f"folder:{tmp_path / 'pictures'}", str(tmp_path / "preset"))
    chosen = training.Settings("diffusion", data="mnist", begin_with="mine", options={"data_dir": "sets"})
    found = training.with_absolute_paths(chosen)
    assert (found.begin_with, found.options["data_dir"]) == (str(tmp_path / "mine"), str(tmp_path / "sets"))
    chosen = training.Settings("vae", begin_with="shapes-vae", options={"data_dir": "gs://sets"}, text={})
    assert training.with_absolute_paths(chosen) == chosen
    chosen = training.Settings("vae", text={"encoder": "preset", "preset": "bert_tiny_en_uncased"})
    assert training.with_absolute_paths(chosen) == chosen


def test_a_run_goes_on_with_what_only_training_knows(tmp_path):
    first = settings("vae", text=TEXT, model={**SMALL["vae"]["model"], "matching_weight": 3.0, "ema_half_life": 77})
    training.train(first, tmp_path / "first", verbose=0)
    further = training.Settings("vae", image_size=16, begin_with=str(tmp_path / "first"), model={"ema_half_life": 5})
    further = dataclasses.replace(further, options={"num_scenes": 8}, batch_size=8, steps=1)
    model = training.train(further, tmp_path / "second", verbose=0)
    assert (model.matching_weight, model.ema_half_life) == (3.0, 5)
    again = dataclasses.replace(further, begin_with=str(tmp_path / "second"), model={})
    model = training.train(again, tmp_path / "third", verbose=0)
    assert (model.matching_weight, model.ema_half_life) == (3.0, 5)


def test_a_model_whose_folder_is_called_as_a_file_loads(tmp_path):
    training.train(settings("judge"), tmp_path / "my.keras", verbose=0)
    assert tfgen.load_model(tmp_path / "my.keras").output


def test_minutes_set_the_number_of_steps(tmp_path):
    training.train(settings("vae", steps=0, steps_per_epoch=0), tmp_path / "model", minutes=0.02, verbose=0)
    used = training.read_settings(tmp_path / "model" / "settings.toml")
    assert used.steps > 10
    assert used.steps >= 4 * used.steps_per_epoch


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="--resume"):
        training.train(settings("vae"), tmp_path, verbose=0)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("family = 'diffusion'\nspeed = 9", "unknown setting 'speed'; choose from family"),
        ("data = 'shapes'", "no family"),
        ("family = 'transformer'", "choose from dcgan, vae, diffusion"),
        ("family = diffusion", "not a TOML file"),
        ("family = 'vae'\nbatch_size = 0", "at least 1"),
        ("family = 'vae'\nsteps = -3", "not negative"),
        ("family = 'vae'\n[model]\ndepth = 3", "Unrecognized keyword arguments"),
        ("family = 'diffusion'\n[model]\nchannels = 64", "make no diffusion"),
        ("family = 'diffusion'\n[model]\nchannels = []", "give the width of each level"),
        ("family = 'diffusion'\n[model]\npatch_size = 0", "patch_size is 0; give a number of at least 1"),
        ("family = 'diffusion'\n[model]\nnum_heads = 3", r"channels are \[64, 128\] and num_heads 3; give multiples of 8"),
        ("family = 'diffusion'\n[model]\nchannels = [12]", r"channels are \[12\] and num_heads 4; give multiples of 8"),
        ("family = 'diffusion'\n[model]\ncaption_dropout = 10", "caption_dropout is 10; give a fraction from 0 to 1"),
        ("family = 'diffusion'\n[text]\nnum_heads = 0", "num_heads is 0; give a number that divides the width, 128"),
        ("family = 'vae'\n[model]\nwidth = 12\nnum_blocks = 1", "width is 12; blocks need a multiple of 8"),
        ("family = 'student'\n[model]\nsampler = 'heun'", "one path of its own; leave out sampler"),
        ("family = 'student'\n[text]\nwidth = 64", "leave out .text."),
        ("family = 'judge'\n[model]\nwidth = 64", "leave out .model."),
        ("family = 'judge'\n[options]\nnum_scenes = 8\n[augmentation]\nflip = true", "leave out .augmentation."),
        ("family = 'diffusion'\n[model]\nsampler = 'magic'", "unknown sampler 'magic'"),
        ("family = 'diffusion'\n[model]\nschedule = 'quadratic'", "unknown schedule 'quadratic'"),
        ("family = 'diffusion'\n[model]\ntime_shift = 0", "time_shift is 0; give a number of at least"),
        ("family = 'diffusion'\n[text]\ndepth = '2'", "make no text encoder"),
        ("family = 'vae'\n[options]\nnum_objects = 1", "num_objects is 1"),
        ("family = 'vae'\n[options]\nnum_scenes = 0", "num_scenes is 0"),
        ("family = 'vae'\n[options]\nnum_scenes = 'many'", "num_scenes is 'many'"),
        ("family = 'vae'\n[options]\nnum_objects = 'two'", "settings make no shapes|num_objects"),
        ("family = 'vae'\nlearning_rate = 'fast'", "of type float"),
        ("family = 'vae'\nteacher = 'shapes-diffusion'", "of a student, and this is a vae"),
        ("family = 'vae'\nmatches_captions = false", "matches_captions is of a model whose text encoder knows nothing yet"),
        ("family = 'vae'\nweight_decay = 0.1", "weight_decay is of a diffusion model or a student, and this is a vae"),
        ("family = 'vae'\noptions = 3", "of type dict"),
        ("family = 'vae'\n[options]\nspeed = 1", "no option 'speed'; it takes num_scenes"),
        ("family = 'vae'\n[augmentation]\nflop = true", "choose from flip, rotation"),
        ("family = 'vae'\n[augmentation]\nflip = 0.5", "flip is 0.5; give true or false"),
        ("family = 'vae'\n[augmentation]\nzoom = 2", "zoom is 2; give a number from 0 to 0.9"),
        ("family = 'vae'\ndata = 'folder:x'\n[options]\nseed = 1", "no option 'seed'; it takes none"),
    ],
)
def test_unusable_settings_are_refused_with_the_way_out(content, message, tmp_path):
    (tmp_path / "settings.toml").write_text(content)

    def of_few_scenes(chosen):
        """So that what is wrong is found soon."""
        few = {"num_scenes": 8} if chosen.data == "shapes" else {}
        return dataclasses.replace(chosen, options={**few, **chosen.options})

    with pytest.raises(ValueError, match=message):
        training.train(of_few_scenes(training.read_settings(tmp_path / "settings.toml")), tmp_path / "model", verbose=0)
    assert not (tmp_path / "model").exists()


def test_a_damaged_or_foreign_model_says_so(tmp_path):
    with pytest.raises(ValueError, match="no model 'nothing'"):
        tfgen.load_model("nothing")
    with pytest.raises(ValueError, match=r"holds no model\.keras"):
        tfgen.load_model(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="damaged or incomplete"):
        tfgen.load_model(tmp_path)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    whole = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(whole.replace(b"config.json", b"confug.json"))
    with pytest.raises(ValueError, match="does not load with this version"):
        tfgen.load_model(tmp_path)


@pytest.mark.parametrize(("family", "last"), [("dcgan", 1e-3), ("vae", 0)])
def test_a_learning_rate_falls_to_zero_but_in_a_gan(family, last):
    model = training.FAMILIES[family](16, 3, width=8)
    training.compile_for(model, training.Settings(family, steps=10, learning_rate=1e-3))
    for name in model.optimized_variables:
        optimizer = getattr(model, name)
        assert float(optimizer.learning_rate) == pytest.approx(1e-3)
        optimizer.iterations.assign(10)
        assert float(optimizer.learning_rate) == pytest.approx(last, abs=1e-9)


def test_weight_decay_shrinks_what_no_gradient_holds_up():
    source = tfgen.data.load("shapes", image_size=16, num_scenes=8)

    def left(weight_decay):
        chosen = settings("diffusion", steps=10, learning_rate=0.1, weight_decay=weight_decay)
        model = training.build(chosen, source)
        training.compile_for(model, chosen)
        kernel = model.unet.get_layer("time").kernel
        before = keras.ops.norm(kernel)
        for _ in range(4):
            gradients = [keras.ops.zeros_like(one) for one in model.unet.trainable_variables]
            model.optimizer.apply_gradients(zip(gradients, model.unet.trainable_variables, strict=True))
        return float(keras.ops.norm(kernel) / before)

    # The four rates are 0, 0.1 and a little less: 0.29 in all.
    assert left(0.0) == pytest.approx(1 - 0.29 * 0.01, abs=5e-4)
    assert left(0.5) == pytest.approx(1 - 0.29 * 0.5, abs=2e-2)
