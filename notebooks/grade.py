"""Grades a folder of notebooks that were handed in.

    python notebooks/grade.py FOLDER        # prints who solved what, and writes FOLDER/grades.csv

A file is named after learner and chapter, `li_02_dcgan.ipynb`, or lies in a folder of the learner's, `li/02_dcgan.ipynb`. The
completed exercise cells of each are run in a kernel of their own, each followed by the chapter's own check, not by what the
file holds in its place. They run on this machine: read what you do not trust.
"""

import csv
import re
import sys
from pathlib import Path

import build
import nbformat
from nbclient import NotebookClient

SECONDS = 300  # for a cell


def outcome(handed_in):
    """(chapter, ["right", "wrong", …]) of a file; its exercises in their order."""
    number = re.search(r"(?:^|_)(\d\d)_", handed_in.name)
    sources = build.chapters([number[1]]) if number else []
    if not sources:
        raise ValueError(f"{handed_in}: no chapter's number in the name; name it like li_02_dcgan.ipynb")
    (reference, *_) = build.notebooks(sources[0]).values()
    answers = {cell.id: cell.source for cell in nbformat.read(handed_in, as_version=4).cells if cell.get("id")}
    tagged = [cell for cell in reference.cells if set(cell.metadata.get("tags", ())) & {"setup", "exercise", "check"}]
    for cell in tagged:
        if "exercise" in cell.metadata.tags:
            cell.source = answers.get(cell.id, "")
    if not any("exercise" in cell.metadata.tags and cell.id in answers for cell in tagged):
        raise ValueError(f"{handed_in}: no exercise of the chapter as it is now; copy the answers into that one")
    reference.cells = tagged
    NotebookClient(reference, timeout=SECONDS, allow_errors=True, interrupt_on_timeout=True).execute(
        env=build.environment("quick")
    )
    checks = [cell for cell in tagged if "check" in cell.metadata.tags]
    return sources[0].stem, ["wrong" if any(out.output_type == "error" for out in cell.outputs) else "right" for cell in checks]


def main(folder):
    rows = []
    for file in sorted(Path(folder).rglob("*.ipynb")):
        learner = file.parent.name if file.parent != Path(folder) else re.split(r"_\d\d_", file.stem)[0]
        chapter, found = outcome(file)
        rows.append([learner, chapter, found.count("right"), len(found), *found])
        print(f"{learner:20} {chapter:26} {found.count('right')} of {len(found)}: {', '.join(found)}", flush=True)
    with open(Path(folder) / "grades.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["learner", "chapter", "right", "of", "each"], *rows])


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("give the folder of handed-in notebooks: python notebooks/grade.py FOLDER")
    try:
        main(sys.argv[1])
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
