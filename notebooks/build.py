"""The notebooks of the course, made from `source/NN_title.md`, where a chapter's English and Chinese stand side by side.

    python notebooks/build.py quick         # runs every chapter and its exercises in little time and keeps nothing; for CI
    python notebooks/build.py full 02 08    # runs chapters to the end and writes their notebooks; without numbers all of them
    python notebooks/build.py prose 02      # writes a chapter's notebooks anew with their outputs, if prose alone has changed
    python notebooks/build.py compare 02    # runs one to the end again, and compares its numbers with those in its notebook

In a source, `<!-- en -->` and `<!-- zh -->` begin prose; a fence of ```python is a cell of code, which all languages share:

    ```python               in the chapter
    ```python setup         in the chapter, and in its solutions before the exercises
    ```python exercise      in the chapter, not run; the reader completes it
    ```python solution      in the solutions, in the place of the exercise before it
    ```python check         in the chapter, not run, and in the solutions; fails with a message that helps
"""

import functools
import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
ROOT = HERE.parent
REPOSITORY = "tfgen/tfgen"  # on GitHub, where badges lead and Colab installs from
LANGUAGES = {"en": HERE, "zh": HERE / "zh"}
NOT_RUN = ("exercise", "check")  # until the reader has completed them
QUICK_SECONDS = 90  # of a chapter on two cores; on cores that others use too, twice as many are let pass
TOLERANCE = 0.1  # relative, or of numbers below 1 absolute: games and short trainings amplify the last digit of a sum

_PIECE = re.compile(r"^<!-- (en|zh) -->\n|^```python ?(setup|exercise|check|solution)?\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_BEFORE_HEADING = re.compile(r"\n\n(?=##)")  # a heading begins a cell, and a slide; the title stands behind its badge
# What TensorFlow itself writes while it starts, before it can be told not to.
_STARTING = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]0000 |To enable the following instructions|\d{4}-\d\d-\d\d .*cc:).*\n?", re.M
)
_TIMES = re.compile(r"\bms\b|\bs\b|a second|seconds|CPU cores")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?")

_BADGE = {
    "en": "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({url}) · [中文]({other})",
    "zh": "[![在 Colab 中打开](https://colab.research.google.com/assets/colab-badge.svg)]({url}) · [English]({other})",
}
_ENVIRONMENT = f"""\
import importlib.util
import os
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "tfgen @ git+https://github.com/{REPOSITORY}"
elif importlib.util.find_spec("tfgen") is None:
    raise SystemExit("tfgen is not installed here; type `make lab` in its folder, or `pip install -e .` there")

import tfgen

tfgen.check_environment()
full = os.environ.get("TFGEN_PROFILE") != "quick"  # quick: a few steps of everything, to see that it runs"""
_SOLUTIONS_TITLE = (
    "# Solutions of chapter {number} · 第 {number} 章习题解答\n\n[chapter](../{name}.ipynb) · [本章](../zh/{name}.ipynb)"
)


def chapters(numbers=()):
    """Sources of the chapters, all or those whose names begin with the numbers."""
    files = sorted((HERE / "source").glob("[0-9][0-9]_*.md"))
    return [file for file in files if not numbers or file.stem.startswith(tuple(numbers))]


def pieces(source):
    """(kind, text) of a source, in order: kind is a language of prose, or "code" or the tag of code."""
    found, end, language = [], 0, None
    for match in _PIECE.finditer(source):
        found.append((language, source[end : match.start()].strip()))
        if match[1] is None:
            found.append((match[2] or "code", match[3].strip("\n")))
        language, end = match[1], match.end()
    found.append((language, source[end:].strip()))
    return [(kind, text) for kind, text in found if text and kind]


def notebooks(file):
    """The notebooks of a chapter, without outputs: {path: notebook}."""
    name, content = file.stem, pieces(file.read_text())
    made = {}
    for language, folder in LANGUAGES.items():
        other = f"zh/{name}.ipynb" if language == "en" else f"../{name}.ipynb"
        place = (folder / f"{name}.ipynb").relative_to(ROOT)
        url = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/{place}"
        cells = [("prose", _BADGE[language].format(url=url, other=other)), ("setup", _ENVIRONMENT)]
        for kind, text in content:
            if kind == language:
                cells.append(("prose", text if folder == HERE else text.replace("](../", "](../../")))
            elif kind not in (*LANGUAGES, "solution"):
                cells.append((kind, text))
        cells[0], cells[2:] = ("prose", f"{cells[0][1]}\n\n{cells[2][1]}"), cells[3:]  # the title comes before the code
        made[folder / f"{name}.ipynb"] = _notebook(cells, language)
    answers = [("prose", _SOLUTIONS_TITLE.format(number=name[:2], name=name)), ("setup", _ENVIRONMENT)]
    answers += [(kind, text) for kind, text in content if kind in ("setup", "solution", "check")]
    made[HERE / "solutions" / f"{name}.ipynb"] = _notebook(answers, "en")
    return made


def _notebook(cells, language):
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        "tfgen": {"language": language},
    }
    parts = [(kind, part) for kind, text in cells for part in (_BEFORE_HEADING.split(text) if kind == "prose" else [text])]
    counts = Counter()
    for kind, text in parts:
        if kind == "prose":
            slide = {"slideshow": {"slide_type": "slide"}} if text.startswith(("#", "[![")) else {}
            cell = nbformat.v4.new_markdown_cell(text, metadata=slide)
        else:
            cell = nbformat.v4.new_code_cell(text, metadata={"tags": [] if kind == "code" else [kind]})
        counts[kind] += 1
        cell.id = f"{kind}-{counts[kind]:02d}"  # an answer is found by it, however prose changes
        notebook.cells.append(cell)
    return notebook


def run(notebook, profile, skip=NOT_RUN):
    """Run a notebook, in place, but for cells with one of the tags to skip; returns the seconds that it took.

    Raises:
        RuntimeError: a cell failed, warned, or wrote to standard error.
    """
    whole = notebook.cells
    notebook.cells = [cell for cell in whole if not set(cell.metadata.get("tags", ())) & set(skip)]
    start = time.perf_counter()
    try:
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": str(HERE)}}).execute(env=environment(profile))
    finally:
        notebook.cells, seconds = whole, time.perf_counter() - start
    for cell in whole:
        for output in cell.get("outputs", ()):
            told = _STARTING.sub("", output.get("text", ""))
            if told.strip() and (output.name == "stderr" or "WARNING:" in told):  # TensorFlow warns on standard output here
                raise RuntimeError(f"a cell warns:\n{cell.source}\n{told}")
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            cell.metadata.pop("execution", None)  # when it ran
    return seconds


def environment(profile):
    """What a kernel is started with."""
    return {**os.environ, "TFGEN_PROFILE": profile, "TF_CPP_MIN_LOG_LEVEL": "3", **_data()}


@functools.cache
def _data():
    """MNIST and Fashion-MNIST from data beside the clone, where there are such, so that no network is needed; prepared, for
    kernels side by side would each do so."""
    shared = Path(os.environ.get("TFGEN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if "TFDS_DATA_DIR" in os.environ or not shared.is_dir():
        return {}
    folder = ROOT / ".cache" / "tfds"
    missing = [name for name in ("mnist", "fashion_mnist") if not (folder / name / "3.0.1").is_dir()]
    if missing:
        import tensorflow_datasets as tfds  # takes seconds

        subprocess.run([sys.executable, shared / "stage_tfds.py", folder, *missing], check=True, capture_output=True)
        for name in missing:
            tfds.builder(name, data_dir=folder).download_and_prepare()
    return {"TFDS_DATA_DIR": str(folder)}


def trial(file):
    """A chapter's exercises, each checked as it comes, which has to fail, and then with its solution."""
    cells, untouched = [("setup", _ENVIRONMENT)], None
    for kind, text in pieces(file.read_text()):
        if kind == "exercise":
            untouched = text
        elif kind == "solution":
            solution = text
        elif kind == "check":
            cells += [("exercise", untouched), ("raises-exception", text), ("solution", solution), ("check", text)]
        elif kind == "setup":
            cells.append((kind, text))
    return _notebook(cells, "en")


def run_trial(file):
    """Run `trial`; returns the seconds that it took.

    Raises:
        RuntimeError: an untouched exercise passes its check, or fails without a message that helps.
    """
    notebook = trial(file)
    seconds = run(notebook, "quick", skip=())
    for cell in notebook.cells:
        if "raises-exception" in cell.metadata.get("tags", ()):
            errors = [output for output in cell.outputs if output.output_type == "error"]
            if not errors or errors[0].ename != "AssertionError" or not errors[0].evalue:
                raise RuntimeError(f"{file.stem}: an untouched exercise should fail with a message that helps:\n{cell.source}")
    return seconds


def numbers(notebook):
    """The numbers that a notebook's cells print, but for times, and the cells that they are from."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            for line in output.get("text", "").splitlines():
                if not _TIMES.search(line):
                    found += [(cell.id, float(number)) for number in _NUMBER.findall(line)]
    return found


def copy_outputs(notebook, other):
    """What one notebook's cells gave to another of the same code."""
    code = [[cell for cell in one.cells if cell.cell_type == "code"] for one in (notebook, other)]
    for cell, same in zip(*code, strict=True):
        same.outputs, same.execution_count = cell.outputs, cell.execution_count


def prose(file):
    """Write a chapter's notebooks anew with the outputs that they have.

    Raises:
        RuntimeError: its code has changed, so that the outputs are of another.
    """
    made = notebooks(file)
    for path, notebook in made.items():
        there = nbformat.read(path, as_version=4)
        if [cell.source for cell in there.cells if cell.cell_type == "code"] != [
            cell.source for cell in notebook.cells if cell.cell_type == "code"
        ]:
            raise RuntimeError(f"{path.name}: its code has changed; run `python notebooks/build.py full {file.stem[:2]}`")
        copy_outputs(there, notebook)
    for path, notebook in made.items():
        nbformat.write(notebook, path)


def compare(file):
    """Run a chapter again on the full profile beside its notebook.

    Raises:
        RuntimeError: numbers that differ by more than `TOLERANCE`.
    """
    path, notebook = next(iter(notebooks(file).items()))
    run(notebook, "full")
    before, now = numbers(nbformat.read(path, as_version=4)), numbers(notebook)
    if [cell for cell, _ in before] != [cell for cell, _ in now]:
        raise RuntimeError(f"{file.stem}: other numbers are printed than before; run it by `full`")
    apart = [
        f"{cell}: {old} then, {new} now"
        for (cell, old), (_, new) in zip(before, now, strict=True)
        if abs(new - old) > TOLERANCE * max(abs(old), abs(new), 1)
    ]
    print(f"{file.stem}: {len(now)} numbers, {len(apart)} more than {TOLERANCE:.0%} apart", *apart, sep="\n")
    if apart:
        raise RuntimeError(f"{file.stem} does not repeat")


def quick(file):
    """Run a chapter, and beside it, on the second core, its exercises; keep nothing.

    Raises:
        SystemExit: it takes too long.
    """
    english, _, answers = notebooks(file).values()
    _data()  # before there are two that would
    with ThreadPoolExecutor() as pool:
        exercises = pool.submit(lambda: run_trial(file) + run(answers, "quick", skip=()))
        seconds = run(english, "quick")
    print(f"{file.stem}: {seconds:.0f} s, exercises {exercises.result():.0f} s", flush=True)
    if seconds > 2 * QUICK_SECONDS:
        raise SystemExit(f"{file.stem}: a quick run is to take {QUICK_SECONDS} s; give it less to do")


def full(file):
    """Run a chapter and its solutions to the end, and write their notebooks."""
    (_, english), (_, chinese), (_, answers) = made = list(notebooks(file).items())
    seconds = run(english, "full")
    exercises = run(answers, "full", skip=())
    copy_outputs(english, chinese)
    for path, notebook in made:
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
    print(f"{file.stem}: {seconds:.0f} s, exercises {exercises:.0f} s", flush=True)


def main(command, *chosen):
    commands = {"quick": quick, "full": full, "prose": prose, "compare": compare}
    if command not in commands:
        raise SystemExit(f"unknown command {command!r}; choose from {', '.join(commands)}")
    start = time.perf_counter()
    for file in chapters(chosen):
        commands[command](file)
    if command in ("quick", "full"):
        print(f"in all {(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["quick"])
