"""The command line as a user types it."""

import os
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tfgen import cli, text
from tfgen.data import captions
from tfgen.models import DCGAN, TextToImageDiffusion
from tfgen.models.judge import build_judge

TFGEN = Path(sys.executable).with_name("tfgen")


def run(*arguments, **settings):
    return subprocess.run([TFGEN, *map(str, arguments)], capture_output=True, text=True, check=False, **settings)


@pytest.fixture
def call(monkeypatch, capsys):
    """A function from arguments to (exit code, standard output, standard error); in this process, as starting one is slow."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tfgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        captured = capsys.readouterr()
        return exit_info.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of small untrained models: "tiny", text to image, "blind", a GAN without text, and "judge"."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = text.build_tokenizer(captions.vocabulary_corpus(), 500, 24)
    encoder = text.TransformerTextEncoder(tokenizer, width=16, depth=1, num_heads=2)
    tiny = TextToImageDiffusion(encoder, image_size=16, channels=(16,), num_heads=2, steps=2, ema_half_life=0)
    blind = DCGAN(16, 1, width=8, ema_half_life=0)
    for name, model in (("tiny", tiny), ("blind", blind), ("judge", build_judge(16))):
        (folder / name).mkdir()
        model.save(folder / name / "model.keras")
    return folder


# Where the tests run in the background, a shell has told them to ignore Ctrl-C, and what they start inherits that.
LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from tfgen.cli import main
main()
"""


def test_a_training_that_ctrl_c_ends_says_how_it_goes_on(tmp_path):
    command = [sys.executable, "-c", LISTENING, "train", "vae", "--image-size", "16", "--out", tmp_path / "run"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (tmp_path / "run" / "settings.toml").exists():
                assert process.poll() is None, "it ended before it began"
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "tfgen: interrupted; the same command with --resume goes on from the last epoch"
    assert "Traceback" not in error


def test_a_prompt_becomes_the_same_picture_in_every_process(models, tmp_path):
    for name, seed in (("a.png", 7), ("b.png", 7), ("c.png", 8)):
        result = run("generate", "a red circle", "--model", models / "tiny", "--seed", seed, "-o", tmp_path / name)
        assert result.returncode == 0, result.stderr
    pictures = [(tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png")]
    assert pictures[0] == pictures[1]
    assert pictures[0] != pictures[2]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (16, 16)


def test_several_pictures_are_numbered_by_their_seeds_and_shown_as_a_grid(models, tmp_path, call):
    call("generate", "a red circle", "一个蓝环", "--model", models / "tiny", "--seed", 5, "-n", 2, "-o", tmp_path / "p.png")
    assert {file.name for file in tmp_path.iterdir()} == {"p.png", "p-5.png", "p-6.png", "p-7.png", "p-8.png"}
    grid, third = np.array(Image.open(tmp_path / "p.png")), np.array(Image.open(tmp_path / "p-7.png"))
    assert grid.shape == (34, 34, 3)
    assert np.array_equal(grid[18:, :16], third)


def test_pictures_of_one_prompt_are_shown_in_a_square(models, tmp_path, call):
    call("generate", "--model", models / "blind", "-n", 4, "-o", tmp_path / "p.png")
    assert np.array(Image.open(tmp_path / "p.png")).shape == (34, 34)


def test_many_pictures_show_their_progress(models, tmp_path, call):
    _, out, _ = call("generate", "--model", models / "blind", "-n", 70, "-o", tmp_path / "p.png")
    assert "64/70" in out
    assert "70/70" in out


def test_unknown_words_are_named_in_one_line(models, tmp_path, call):
    code, _, error = call("generate", "a purple giraffe 长颈鹿", "--model", models / "tiny", "-o", tmp_path / "p.png")
    assert (tmp_path / "p.png").exists()
    assert code == 0
    notes = [line for line in error.splitlines() if line.startswith("note")]
    assert len(notes) == 1
    assert "giraffe" in notes[0]
    assert "颈" in notes[0]
    assert "purple" not in notes[0]


@pytest.mark.parametrize("prompt", ["red " * 2500, "x" * 10_000, "🎈🎈", "a\x01\x1b[2Jb", "red \x9b31m"])
def test_odd_prompts_still_give_a_picture(prompt, models, tmp_path, call):
    code, _, error = call("generate", prompt, "--model", models / "tiny", "-o", tmp_path / "p.png")
    assert code == 0
    assert (tmp_path / "p.png").exists()
    assert ("cut" in error) == prompt.startswith("red red")
    assert len(error) < 200
    assert not any(unicodedata.category(character) == "Cc" for character in error.replace("\n", ""))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "a", "--model", "nothing", "-o", "p.png"], "no model 'nothing'"),
        (["generate", "a", "--model", "tiny", "-o", "p.jpg"], "does not end in .png"),
        (["generate", "a", "--model", "tiny", "--steps", "-1", "-o", "p.png"], "from 1 to 1000"),
        (["generate", "a", "--model", "tiny", "--steps", "1000000", "-o", "p.png"], "from 1 to 1000"),
        (["generate", "a", "--model", "tiny", "--guidance", "nan", "-o", "p.png"], "from 0 to 100"),
        (["generate", "a", "--model", "tiny", "--seed", str(2**63 - 1), "-n", "2", "-o", "p.png"], "64 bits"),
        (["generate", "--model", "tiny", "-o", "p.png"], "no prompt"),
        (["generate", "a", "--model", "blind", "-o", "p.png"], "trained without text"),
        (["generate", "--model", "blind", "--steps", "4", "-o", "p.png"], "in one pass"),
        (["generate", "a", "--model", "tiny", "--color", "red", "-o", "p.png"], "No such option"),
        (["generate", "\udcff\udcfe", "--model", "tiny", "-o", "p.png"], "not valid UTF-8"),
        (["generate", "a", "--model", "broken", "-o", "p.png"], "damaged or incomplete"),
        (["train", "vae", "--data", "folder:nowhere", "--out", "run"], "nowhere"),
        (["train", "vae", "--data", "shapes", "--image-size", "200", "--out", "run"], "from 16 to 128"),
        (["train", "vae", "--data", "mnist", "--image-size", "8", "--out", "run"], "greater than or equal to 16"),
        (["train", "vae", "--data", "no_such_set", "--out", "run"], "no_such_set"),
        (["train", "vae", "--data", "mnist:9.9.9", "--out", "run"], "mnist:9.9.9"),
        (["train", "vae", "--epochs", "2", "--minutes", "1", "--out", "run"], "give one of them"),
        (["train", "vae", "--resume", "--out", "run"], "no run in run"),
        (["train", "painter", "--out", "run"], "painter"),
        (["train", "vae", "--config", "missing.toml", "--out", "run"], "missing.toml"),
        (["train", "vae", "--teacher", "tiny", "--out", "run"], "--teacher is for a student"),
        (["train", "student", "--teacher", "shapes-vae", "--out", "run"], "cannot teach"),
        (["train", "student", "--teacher", "tiny", "--out", "run"], "no settings.toml beside it"),
        (["evaluate", "blind"], "no settings.toml beside it"),
        (["evaluate", "judge"], "makes no pictures"),
        (["evaluate", "tiny", "--data", "cifar10"], "no extractor ships for cifar10"),
        (["evaluate", "tiny", "--data", "shapes"], "draws pictures (16, 16, 3) and shapes-judge reads (32, 32, 3)"),
        (["evaluate", "tiny", "--data", "shapes", "--json", "report.txt"], "does not end in .json"),
        (["export", "nothing", "served"], "no model 'nothing'"),
        (["generate", "a", "--model", "judge", "-o", "p.png"], "makes no pictures"),
        (["export", "judge", "served"], "makes no pictures"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, message, models, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFGEN_MODELS", str(models))
    (models / "broken").mkdir(exist_ok=True)
    (models / "broken" / "model.keras").write_bytes((models / "tiny" / "model.keras").read_bytes()[:5000])
    code, output, error = call(*arguments)
    assert code == 2, error
    assert message in error
    assert "Traceback" not in error
    assert not output
    assert len(error.strip().splitlines()) == 1, error
    assert list(tmp_path.iterdir()) == []


def test_where_a_message_comes_from_can_be_seen(call, monkeypatch):
    monkeypatch.setenv("TFGEN_TRACEBACK", "1")
    with pytest.raises(ValueError, match=r"does not end in .png"):
        call("generate", "a", "-o", "p.jpg")


def test_no_permission_is_said_plainly(models, tmp_path, call):
    if os.geteuid() == 0:
        target = Path("/proc/tfgen.png")  # where not even root may write
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        target = tmp_path / "locked" / "p.png"
    code, _, error = call("generate", "a star", "--model", models / "tiny", "-o", target)
    assert code == 2
    assert len(error.strip().splitlines()) == 1


VAE = 'family = "vae"\nimage_size = 16\nbatch_size = 8\nsteps = 2\nsteps_per_epoch = 1\n[options]\nnum_scenes = 20\n'


@pytest.mark.parametrize(
    ("arguments", "most_bytes", "left"),
    [
        (["generate", "a", "--model", "tiny", "-o", "p.png"], 50, set()),
        (["export", "tiny", "served"], 500_000, {"served"}),  # enough to load the model
        (["train", "vae", "--config", "vae.toml", "--out", "run"], 50, {"run"}),
        (["train", "vae", "--config", "vae.toml", "--out", "run"], 5_000, {"run", "run/settings.toml"}),
    ],
)
def test_a_full_disk_is_said_plainly_and_holds_nothing_half_written(arguments, most_bytes, left, models, tmp_path):
    (tmp_path / "vae.toml").write_text(VAE)

    def limit_file_size():
        """Writing more to a file fails, as on a full disk."""
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    full = run(*arguments, cwd=tmp_path, env={**os.environ, "TFGEN_MODELS": str(models)}, preexec_fn=limit_file_size)
    assert full.returncode == 2, full.stderr
    assert "File too large" in full.stderr or "cannot write" in full.stderr
    assert "Traceback" not in full.stderr
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")} == left | {"vae.toml"}


def test_train_export_and_info(models, tmp_path, call, monkeypatch):
    config = tmp_path / "settings.toml"
    config.write_text(
        'family = "dcgan"\nimage_size = 16\nbatch_size = 8\nsteps = 2\nsteps_per_epoch = 1\n'
        "[options]\nnum_scenes = 20\n[model]\nwidth = 8\n"
    )
    code, output, error = call("train", "dcgan", "--config", config, "--out", tmp_path / "run", "--seed", 3)
    assert code == 0, error
    assert "trained" in output
    code, _, error = call("train", "vae", "--out", tmp_path / "run", "--resume")
    assert (code, "trains a dcgan" in error) == (2, True)
    code, _, error = call("train", "dcgan", "--out", tmp_path / "run", "--resume", "--seed", 4, "--epochs", 2)
    assert (code, "leave out a different seed" in error) == (2, True)
    code, _, error = call("train", "dcgan", "--config", config, "--out", tmp_path / "run", "--resume", "--seed", 3)
    assert (code, "nothing is left to resume" in error) == (2, True)  # so the same command was taken
    code, output, _ = call("generate", "--model", tmp_path / "run", "-o", tmp_path / "p.png")
    assert (code, (tmp_path / "p.png").exists()) == (0, True)
    code, output, _ = call("export", tmp_path / "run", tmp_path / "served")
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()
    code, output, _ = call("info", tmp_path / "run")
    assert "tfgen train dcgan" in output
    monkeypatch.setenv("TFGEN_MODELS", str(models))
    code, output, _ = call("info")
    assert "tensorflow" in output
    assert "tiny" in output
    assert "bilingual-bert" in output


@pytest.mark.parametrize(
    ("family", "source", "model"),
    [
        ("dcgan", "fashion_mnist", "width = 8"),
        ("vae", "mnist", "width = 8"),
        ("diffusion", "emoji64", "channels = [16]\nnum_heads = 2\nsteps = 2\n[text]\nwidth = 16\ndepth = 1\nnum_heads = 2"),
    ],
)
def test_real_pictures_train_a_model_that_draws(family, source, model, shared_data, tfds_dir, tmp_path, call, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_dir)
    config, out = tmp_path / "settings.toml", tmp_path / "run"
    config.write_text(f'family = "{family}"\nsteps = 2\nsteps_per_epoch = 2\n[model]\n{model}\n')
    prompts = ["a red heart"] if family == "diffusion" else []
    if family == "diffusion":
        source = f"folder:{os.path.relpath(shared_data / 'emoji64' / 'emoji64.zip')}"
    language = ["--language", "both"] if prompts else []
    code, _, error = call("train", family, "--data", source, *language, "--config", config, "--out", out)
    assert code == 0, error
    code, _, error = call("generate", *prompts, "--model", out, "-o", tmp_path / "p.png")
    assert code == 0, error
    assert np.array(Image.open(tmp_path / "p.png")).shape == ((64, 64, 3) if prompts else (28, 28))
    if prompts:
        assert f'data = "folder:{shared_data}' in (out / "settings.toml").read_text()


def test_help_is_complete_and_does_not_wait_for_tensorflow():
    script = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('loaded' if 'tensorflow' in sys.modules else 'quick'))\n"
        "sys.argv = ['tfgen', '--help']\n"
        "from tfgen import cli\n"
        "cli.main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("quick\n")
    for command in ("generate", "train", "evaluate", "export", "info"):
        assert command in result.stdout
    options = {
        "generate": "--model --seed --steps --guidance --negative -n -o",
        "train": "--data --out --config --teacher --begin-with --epochs --minutes --text --language --image-size "
        "--batch-size --seed --resume",
        "evaluate": "--data --num-images --seeds --json",
        "export": "DIR",
        "info": "model",
    }
    runner = CliRunner()
    for command, names in options.items():
        help_text = runner.invoke(cli.app, [command, "--help"]).stdout
        for name in names.split():
            assert name in help_text, (command, name)
