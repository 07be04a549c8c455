"""An import goes to a lower floor or to a file of its own folder; never up, never round."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tfgen"
FLOORS = {
    "diffusion": 1, "data": 1, "files": 0, "environment": 0, "plotting": 1,
    "text": 2, "metrics": 2,
    "models": 3,
    "training": 4, "callbacks": 4, "export": 4, "evaluation": 4,
    "cli": 5, "demo": 5,
}  # fmt: skip


def room(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_obey_the_floors(file):
    if file.name == "__init__.py" and file.parent == PACKAGE:
        return
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or node.module.split(".")[0] == "tfgen"):
            assert not node.level, f"{file.name} has a relative import"
            parts = node.module.split(".")[1:]
            targets = [parts[0]] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            assert FLOORS[room(file)] >= 4 or "tfgen" not in [alias.name for alias in node.names], f"{file.name} imports all"
            targets = [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tfgen.")]
        else:
            continue
        for target in targets:
            same_room = target == room(file)
            same_floor_file = FLOORS[room(file)] == FLOORS[target] == 4
            assert same_room or same_floor_file or FLOORS[target] < FLOORS[room(file)], f"{file.name} imports tfgen.{target}"


def test_the_command_line_imports_heavy_parts_only_when_a_command_needs_them():
    light = set(sys.stdlib_module_names) | {"typer"}
    for node in ast.parse((PACKAGE / "cli.py").read_text("utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= light


def test_a_wheel_carries_every_room():
    packages = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    rooms = {f"tfgen.{folder.parent.name}" for folder in PACKAGE.glob("*/__init__.py")}
    assert set(packages) == {"tfgen", "tfgen.saved_models"} | rooms
