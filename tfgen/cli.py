"""The command line: `tfgen --help`."""

import dataclasses
import errno
import json
import os
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
_INTERRUPTED = 130  # exit code of a command that Ctrl-C ended


class _CanGoOn(Exception):
    """Ctrl-C has ended a run that --resume goes on with."""


app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Pictures from words: DCGAN, VAE and diffusion in TensorFlow/Keras.",
    epilog="Should a message be no help: TFGEN_TRACEBACK=1 before the command shows where in the code it comes from.",
)


class Family(StrEnum):
    dcgan = "dcgan"
    vae = "vae"
    diffusion = "diffusion"
    student = "student"
    judge = "judge"


class Language(StrEnum):
    en = "en"
    zh = "zh"
    both = "both"


ModelName = Annotated[
    str, typer.Option("--model", help="A model that ships (see `tfgen info`), a model's folder, or a .keras file.")
]


@app.command()
def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT...", help="What to draw, in English or Chinese.")
    ] = None,
    model: ModelName = "shapes-student",
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="PNG file to write. Several pictures: FILE-SEED.png, and FILE.png as their grid."),
    ] = ...,
    seed: Annotated[int, typer.Option(help="Seed of the first picture; counted up from picture to picture.")] = 0,
    num_images: Annotated[int, typer.Option("-n", "--num-images", min=1, max=10_000, help="Pictures for each prompt.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1 to 1000; the model's own by default.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How closely to follow the prompt, 0 to 100; 1 is no guidance.")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="What the picture should not show.")] = None,
):
    """Draw pictures from prompts."""
    if output.suffix.lower() != ".png":
        raise ValueError(f"{output} does not end in .png; give a name such as picture.png")
    _check_writable(output)
    for prompt in (*(prompts or []), negative or ""):
        _check_unicode(prompt)
    from tfgen import plotting
    from tfgen.models.image_model import PromptWarning
    from tfgen.models.registry import load_image_model

    image_model = load_image_model(model)
    if image_model.text_encoder is not None and not prompts:
        raise ValueError('no prompt; say what to draw, such as "a large red circle on a blue background", or "" for anything')
    several = num_images * len(prompts or [""]) > 1
    with warnings.catch_warnings(record=True, action="always") as notes:
        images = image_model.generate(
            prompts or None, num_images=num_images, seed=seed, steps=steps, guidance_scale=guidance,
            negative_prompts=negative, verbose=int(several),
        )  # fmt: skip
    for note in notes:
        if isinstance(note.message, PromptWarning):
            typer.echo(f"note: {note.message}", err=True)
    if not several:
        plotting.save_png(images[0], output)
    else:
        for index, image in enumerate(images):
            plotting.save_png(image, output.with_name(f"{output.stem}-{seed + index}.png"))
        one_row_each = len(prompts or []) > 1 and num_images > 1
        plotting.save_png(plotting.grid(images, columns=num_images if one_row_each else None), output)
    typer.echo(f"{output}: {len(images)} picture{'s' if len(images) > 1 else ''}")


@app.command()
def train(
    family: Annotated[Family, typer.Argument(help="What to train.")],
    out: Annotated[Path, typer.Option(help="Folder for the model, new or empty.")],
    data: Annotated[str | None, typer.Option(help='"shapes", a TFDS name such as fashion_mnist, or folder:PATH.')] = None,
    teacher: Annotated[str | None, typer.Option(help="A student's: the diffusion model from which it learns.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings, as in saved_models/*/settings.toml.")] = None,
    begin_with: Annotated[
        str | None, typer.Option(help="A model to train further, with its text encoder and the words that it knows.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data; 10 by default.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, max=100_000, help="Train for about so many minutes instead.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Steer a DCGAN or VAE by captions; diffusion always is.")] = False,
    language: Annotated[Language | None, typer.Option(help="Language of the captions; en by default.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=256, help="Width and height in pixels; the source's usual one by default, 16 to 128 for shapes."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, max=4096, help="Pictures of a training step.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights and data order.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted run in --out, with its settings.")
    ] = False,
):
    """Train a model; an interrupted run goes on with --resume."""
    _check_writable(out / "model.keras")
    if epochs and minutes:
        raise ValueError("--epochs and --minutes both say how long; give one of them")
    from tfgen import training

    if resume:
        settings = training.settings_of_run(out)
    else:
        if teacher and (config or family is not Family.student):
            raise ValueError("--teacher is for a student without --config; leave it out")
        if config:
            settings = training.read_settings(config)
        elif family is Family.student:
            settings = training.settings_of_student(teacher or "shapes-diffusion")
        else:
            settings = training.Settings(family=family.value)
    if settings.family != family:
        raise ValueError(f"{out if resume else config} trains a {settings.family}; type `tfgen train {settings.family} …`")
    given = {
        "data": data, "language": language, "image_size": image_size, "batch_size": batch_size, "seed": seed,
        "begin_with": begin_with,
    }  # fmt: skip
    wanted = {name: value for name, value in given.items() if value is not None}
    lasting = training.with_absolute_paths(dataclasses.replace(settings, **wanted))
    changes = {name: getattr(lasting, name) for name in wanted if getattr(lasting, name) != getattr(settings, name)}
    if resume:
        if changes:
            raise ValueError(f"--resume goes on with the settings of {out}; leave out a different {', '.join(changes)}")
        typer.echo(f"going on with the settings of {out}, to step {settings.steps:,}")
    else:
        if "data" in changes:
            changes["options"] = {}  # they are the other source's
        if epochs or minutes:
            changes |= {"steps": 0, "steps_per_epoch": 0}
        if text and not settings.text:
            changes["text"] = {"width": 128, "depth": 2}
        settings = dataclasses.replace(settings, **changes)
    try:
        training.train(settings, out, epochs=epochs, minutes=minutes, resume=resume)
    except KeyboardInterrupt:
        if (out / "settings.toml").exists():
            raise _CanGoOn from None
        raise  # it has not begun
    next_step = "" if family is Family.judge else f"; draw with `tfgen generate … --model {out} -o picture.png`"
    typer.echo(f"{out}: trained{next_step}")


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="A model that ships, or a model's folder.")],
    data: Annotated[str | None, typer.Option(help="The source to measure against; by default that of the training.")] = None,
    num_images: Annotated[
        int | None,
        typer.Option(min=8, max=100_000, help="For each seed: prompts of each kind of scene (512), or pictures (5,000)."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Number of seeds.")] = 3,
    extractor: Annotated[
        str | None, typer.Option(help="A judge, inception_v3 or a file of its weights; the source's judge by default.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report to FILE.json, and a page of pictures to FILE.png.")
    ] = None,
):
    """Measure a model's pictures: mean and standard deviation over seeds, and the floor, what real pictures would have."""
    if json_file:
        _check_writable(json_file)
        if json_file.suffix != ".json":
            raise ValueError(f"{json_file} does not end in .json; give a name such as report.json")
    from tfgen import evaluation, files, plotting

    warnings.formatwarning = lambda message, *_: f"note: {message}\n"
    found = evaluation.evaluate(model, data, num_images, seeds, extractor)
    report = found.report
    typer.echo(
        f"{model}: {report['num_images']} pictures for each of {seeds} seeds, features of {report['extractor']}, "
        f"data {report['data']}"
    )
    for name, value in report["metrics"].items():
        # A kernel distance may be small in all four decimals.
        shown = {kind: f"{one:.4f}" if one == 0 or abs(one) >= 1e-3 else f"{one:.2e}" for kind, one in value.items()}
        spread = f" ± {shown['standard_deviation']}" if "standard_deviation" in shown else ""
        floor = f" (floor {shown['floor']})" if "floor" in shown else ""
        typer.echo(f"{name}: {shown['mean']}{spread}{floor}")
    if json_file:
        files.write_whole(json_file, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())
        plotting.evaluation_page(found, json_file.with_suffix(".png"))


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A model that ships, or a model's folder.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write DIR/VERSION.")],
):
    """Write a SavedModel for TensorFlow Serving."""
    _check_writable(folder / "1")
    from tfgen.export import export as write
    from tfgen.models.registry import load_image_model

    typer.echo(f"{write(load_image_model(model), folder)}: ready for a model server")


@app.command()
def info(model: Annotated[str | None, typer.Argument(help="A model, to see its card.")] = None):
    """Versions, devices and what ships; or the card of a model or text preset."""
    from tfgen.models.registry import find_model, shipped_models, shipped_presets

    if model:
        found = shipped_presets().get(model) or find_model(model)
        card = (found if found.is_dir() else found.parent) / "README.md"
        typer.echo(card.read_text("utf-8") if card.exists() else f"{model} has no card")
        return
    import keras
    import tensorflow as tf

    import tfgen

    typer.echo(
        f"tfgen {tfgen.__version__}, tensorflow {tf.__version__}, keras {keras.__version__}, python {sys.version.split()[0]}"
    )
    typer.echo(
        "devices: " + ", ".join(device.name for device in tf.config.list_physical_devices()) + f", {os.cpu_count()} CPU cores"
    )
    for name, path in (shipped_models() | shipped_presets()).items():
        typer.echo(f"{name}: {path}")


def _check_unicode(prompt):
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a prompt is not valid UTF-8; type it in a UTF-8 terminal") from None


def _check_writable(file):
    """Before the long work, not after it."""
    parent = next((folder for folder in file.absolute().parents if folder.exists()), file)
    if not parent.is_dir():
        raise ValueError(f"cannot write {file}: {parent} is a file, not a folder; choose another place")
    if not os.access(parent, os.W_OK):
        raise ValueError(f"cannot write {file}: no permission in {parent}; choose another place")


def main():
    """Run the command line; a user's mistake is one line and exit code 2, or with $TFGEN_TRACEBACK where it was found."""
    interrupted = "interrupted"
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        code = _fail(f"{error.format_message()} See `tfgen --help`.")
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except _CanGoOn:
        code, interrupted = _INTERRUPTED, "interrupted; the same command with --resume goes on from the last epoch"
    except Exception as error:
        message = _message(error)
        if message is None or os.environ.get("TFGEN_TRACEBACK"):
            raise
        code = _fail(message)
    if code == _INTERRUPTED:
        _fail(interrupted)
    sys.exit(code)


def _message(error):
    """What a user can do about an error, in one line; None of a defect of ours."""
    if isinstance(error, ValueError):
        return " ".join(str(error).split())
    if isinstance(error, OSError):
        reason = "the disk is full; free some space" if error.errno == errno.ENOSPC else error.strerror or error
        return f"{error.filename or 'writing'}: {reason}"
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        return "out of memory; give a smaller --batch-size, --image-size or number of pictures"


def _fail(message):
    print(f"tfgen: {message}", file=sys.stderr)
    return 2
