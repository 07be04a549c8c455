PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv demo test test-long lint lab notebooks wheels

venv: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --editable .
	touch $@

# A prompt becomes a picture, and a SavedModel exported from the same model answers the same prompt.
demo: venv
	$(BIN)/python -m tfgen.demo

test: venv
	$(BIN)/python -m pytest

test-long: venv
	$(BIN)/python -m pytest -m long

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lab: venv
	$(BIN)/jupyter lab

# Every chapter and its solutions in little time; `notebooks/build.py full` makes the ones that ship.
notebooks: venv
	$(BIN)/python notebooks/build.py quick

# What pip needs for a class without a network: pip install --no-index --find-links wheels -r requirements.txt tfgen
wheels: venv
	$(BIN)/python -m pip wheel --quiet --wheel-dir wheels --requirement requirements.txt .
