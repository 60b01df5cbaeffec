# `make demo` and `make test` each set up all that they need, once: Python >= 3.11 and make suffice.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
NEEDS  := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean

help:
	@echo "make demo   set up, then find the faint neurites of a synthetic volume"
	@echo "make test   set up, then lint, types and all tests"
	@echo "make lint   set up, then lint and types alone"
	@echo "make clean  remove the environment and what the demo made"

demo: $(VENV)/.installed
	$(BIN)/neuroglow demo

test: lint
	$(BIN)/python -m pytest -q

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.python: $(NEEDS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "neuroglow needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	@touch $@

# torch first and pinned: a bare `torch` would pull gigabytes of CUDA
$(VENV)/.installed: $(VENV)/.python
	$(PIP) install --requirement constraints.txt
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache
