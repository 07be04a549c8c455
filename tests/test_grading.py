import csv
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@pytest.mark.long
def test_a_folder_that_was_handed_in_is_graded(tmp_path):
    sys.path.insert(0, str(NOTEBOOKS))
    import build

    chapter = next(iter(build.notebooks(build.chapters(["03"])[0]).values()))
    untouched, solved = tmp_path / "li_03_when_gans_fail.ipynb", tmp_path / "wang" / "03_when_gans_fail.ipynb"
    nbformat.write(chapter, untouched)
    (diagnosis,) = (cell for cell in chapter.cells if "diagnosis = " in cell.source)
    diagnosis.source = 'diagnosis = {"A": "discriminator wins", "B": "healthy", "C": "collapse"}'
    for cell in chapter.cells:
        if "check" in cell.metadata.get("tags", ()):
            cell.source = "pass"  # what is handed in cannot soften the check
    solved.parent.mkdir()
    nbformat.write(chapter, solved)
    done = subprocess.run([sys.executable, NOTEBOOKS / "grade.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, *rows = csv.reader((tmp_path / "grades.csv").read_text("utf-8").splitlines())
    assert rows == [
        ["li", "03_when_gans_fail", "0", "3", "wrong", "wrong", "wrong"],
        ["wang", "03_when_gans_fail", "1", "3", "wrong", "wrong", "right"],
    ]


@pytest.mark.long
def test_a_file_without_a_chapter_is_named(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "homework.ipynb")
    done = subprocess.run([sys.executable, NOTEBOOKS / "grade.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "name it like li_02_dcgan.ipynb" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_notebook_of_another_version_is_named(tmp_path):
    notebook = nbformat.read(NOTEBOOKS / "03_when_gans_fail.ipynb", as_version=4)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:03d}"
    nbformat.write(notebook, tmp_path / "li_03_when_gans_fail.ipynb")
    done = subprocess.run([sys.executable, NOTEBOOKS / "grade.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 2
    assert "copy the answers into that one" in done.stderr
    assert "Traceback" not in done.stderr
