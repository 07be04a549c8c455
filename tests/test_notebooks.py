"""The course's sources hold together; that they run, `make notebooks` shows."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
_spec = importlib.util.spec_from_file_location("build", NOTEBOOKS / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

CHAPTERS = build.chapters()
each_chapter = pytest.mark.parametrize("file", CHAPTERS, ids=lambda file: file.stem)
PARTS = {
    "en": ("**What you will learn.**", "**What it assumes.**", "**Time.**", "## Summary", "## Exercises", "## What to read"),
    "zh": ("**你将学到**", "**需要的基础**", "**时间**", "## 小结", "## 练习", "## 延伸阅读"),
}


@each_chapter
def test_both_languages_tell_the_same_story(file):
    kinds = [kind for kind, _ in build.pieces(file.read_text("utf-8"))]
    prose = [kind for kind in kinds if kind in build.LANGUAGES]
    assert prose[::2] == ["en"] * (len(prose) // 2)
    assert prose[1::2] == ["zh"] * (len(prose) // 2)
    texts = {language: [text for kind, text in build.pieces(file.read_text("utf-8")) if kind == language] for language in PARTS}
    for english, chinese in zip(texts["en"], texts["zh"], strict=True):
        headings = [[line.split(" ")[0] for line in text.splitlines() if line.startswith("#")] for text in (english, chinese)]
        assert headings[0] == headings[1]
        links = [sorted(re.findall(r"\]\(([^)]+)\)", text)) for text in (english, chinese)]
        assert links[0] == links[1]
        assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 5
    for language, parts in PARTS.items():
        whole = "\n".join(texts[language])
        assert [part for part in parts if part not in whole] == []


@each_chapter
def test_each_exercise_has_a_solution_and_a_check(file):
    kinds = [kind for kind, _ in build.pieces(file.read_text("utf-8")) if kind in ("exercise", "solution", "check")]
    assert kinds == ["exercise", "solution", "check"] * (len(kinds) // 3)
    assert 3 <= len(kinds) // 3 <= 5


@each_chapter
def test_links_lead_somewhere(file):
    names = {f"{chapter.stem}.ipynb" for chapter in CHAPTERS}
    for path, notebook in build.notebooks(file).items():
        for cell in notebook.cells:
            for link in re.findall(r"\]\(([^)]+)\)", cell.source) if cell.cell_type == "markdown" else ():
                if not link.startswith("https://"):
                    target = (path.parent / link).resolve()
                    assert target.name in names or target.exists(), f"{path.name}: {link}"
                arxiv = re.match(r"https://arxiv.org/abs/(.*)", link)
                assert not arxiv or re.fullmatch(r"\d{4}\.\d{4,5}", arxiv[1]), link


@each_chapter
def test_notebooks_are_made_of_their_sources(file):
    for path, made in build.notebooks(file).items():
        there = nbformat.read(path, as_version=4)
        assert [(cell.id, cell.source) for cell in there.cells] == [(cell.id, cell.source) for cell in made.cells], (
            f"{path.name} is not as its source says; run `python notebooks/build.py full {path.name[:2]}`"
        )
        nbformat.validate(there)


@each_chapter
def test_notebooks_of_both_languages_show_the_same(file):
    english, chinese = (nbformat.read(path, as_version=4) for path in list(build.notebooks(file))[:2])
    code = [[(cell.source, cell.outputs) for cell in one.cells if cell.cell_type == "code"] for one in (english, chinese)]
    assert code[0] == code[1]
    assert any(outputs for _, outputs in code[0])
    pictures = [output for _, outputs in code[0] for output in outputs if "image/png" in output.get("data", {})]
    assert all(output.metadata["image/png"]["alt"] for output in pictures)
    told = "".join(output.get("text", "") for _, outputs in code[0] for output in outputs)
    assert not re.search(r"/home/|/root/|/work/|site-packages|Warning", told)


@each_chapter
def test_each_heading_begins_a_slide(file):
    for notebook in build.notebooks(file).values():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                headings = [index for index, line in enumerate(cell.source.splitlines()) if line.startswith("#")]
                assert len(headings) <= 1
                assert ("slideshow" in cell.metadata) == bool(headings), cell.source[:100]


def test_pages_link_to_chapters_that_exist():
    names = {f"{chapter.stem}.ipynb" for chapter in CHAPTERS}
    for page in NOTEBOOKS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert link.startswith("https://") or link in names or (page.parent / link).exists(), f"{page.name}: {link}"
