# Each goal does its whole set-up, once; Python >= 3.11 and make suffice.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

# a process for each core, four at most, with one thread in each; the first to finish helps the others
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist worksteal

define OR_EXPLAIN
|| { echo "neuroglow: pip could not install; its reason is above. Is there a network?" \
  "A mirror is named by PIP_INDEX_URL; a Python newer than the pinned torch has no wheel" \
  "(make clean, then make PYTHON=python3.12 ...). Then repeat the command." >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.PHONY: help demo test check lint docs studio test-studio test-viewers clean
.NOTPARALLEL:  # two pips in one environment would disturb each other

help:
	@echo "make demo   set up, then find the faint neurites of a synthetic volume"
	@echo "make test   set up, then lint, types, documentation and all tests"
	@echo "make check  set up, then lint, types and the fast tests: for people at work"
	@echo "make lint   set up, then lint and types only"
	@echo "make docs   set up, then build the documentation into site/"
	@echo "make studio build the studio's page from studio-page/ (needs node and npm)"
	@echo "make test-studio  set up, then the studio in a real browser (needs chromium, node and npm)"
	@echo "make test-viewers  set up .venv-viewers, then neuroglancer, napari and bioimage.io (needs chromium, xvfb-run, Qt's xcb libraries: CONTRIBUTING.md)"
	@echo "make clean  remove the environment and what the demo made"
	@echo "PYTHON=python3.12 after any of them chooses the Python"

demo: $(VENV)/.installed-demo
	$(BIN)/neuroglow demo

test: lint docs
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow"

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

studio: studio-page/node_modules/.package-lock.json
	cd studio-page && npm run --silent build

test-studio: $(VENV)/.installed-studio studio-page/node_modules/.package-lock.json
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:xdist tests/studio/test_schema.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:xdist studio-page/tests

studio-page/node_modules/.package-lock.json: studio-page/package-lock.json
	@command -v npm >/dev/null || { echo "the studio's page needs node 20 or newer with npm" >&2; exit 1; }
	cd studio-page && npm ci --no-audit --no-fund --silent
	@touch $@

# torch first and from its pin: what is installed later then keeps it
$(VENV)/.installed-torch: constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "neuroglow needs Python 3.11 or newer; $(PYTHON) is: $$("$(PYTHON)" --version 2>&1 | head -n 1)." \
	    "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "setting up $(VENV) (some minutes, the first time)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --requirement constraints.txt $(OR_EXPLAIN)
	@touch $@

$(VENV)/.installed-demo: pyproject.toml $(VENV)/.installed-torch
	@$(PIP) install --constraint constraints.txt --editable . $(OR_EXPLAIN)
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.installed-torch
	@$(PIP) install --constraint constraints.txt --editable '.[dev]' $(OR_EXPLAIN)
	@touch $(VENV)/.installed-demo $@

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.installed-torch
	@$(PIP) install --constraint constraints.txt --editable '.[docs]' $(OR_EXPLAIN)
	@touch $(VENV)/.installed-demo $@

$(VENV)/.installed-studio: pyproject.toml $(VENV)/.installed-torch
	@$(PIP) install --constraint constraints.txt --editable '.[dev,studio,browser]' $(OR_EXPLAIN)
	@touch $(VENV)/.installed-demo $(VENV)/.installed-test $@

# viewers in an environment apart: they slow pytest, and bioimageio.core 0.11 needs pydantic < 2.13
VIEWERS := .venv-viewers
$(VIEWERS)/.installed: pyproject.toml constraints.txt
	@echo "setting up $(VIEWERS) (some minutes, the first time)"
	@"$(PYTHON)" -m venv $(VIEWERS)
	@$(VIEWERS)/bin/python -m pip --quiet --disable-pip-version-check install \
	  --requirement constraints.txt $(OR_EXPLAIN)
	@$(VIEWERS)/bin/python -m pip --quiet --disable-pip-version-check install \
	  --constraint constraints.txt --editable '.[neuroglancer,napari]' 'bioimageio.core>=0.11' \
	  'pydantic<2.13' playwright pytest pytest-timeout $(OR_EXPLAIN)
	@touch $@

test-viewers: $(VIEWERS)/.installed
	QT_API=pyside6 OMP_NUM_THREADS=1 xvfb-run -a -s "-screen 0 1400x900x24" \
	  $(VIEWERS)/bin/python -m pytest -q -o filterwarnings=default tests/viewers

clean:
	rm -rf $(VENV) $(VIEWERS) studio-page/node_modules demo site .hypothesis .mypy_cache .pytest_cache .ruff_cache
