PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv demo test test-long lint lab

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
	$(BIN)/python -m pytest -m long --no-cov

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lab: venv
	$(BIN)/jupyter lab
