# Everything from a machine with Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart predictors test test-full coverage fuzz lint format docs dist smoke clean

quickstart: $(VENV)/.installed
	$(BIN)/vitas-hw quickstart

predictors: $(VENV)/.installed
	for profile in profiles/*.jsonl; do $(BIN)/vitas-hw fit $$profile --output predictors || exit 1; done

# one thread in each of the two processes: with more, small models spend their time waiting for each other's threads
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not full" -n 2 --dist loadfile

test-full: lint
	$(BIN)/python -m pytest -q

# the tests of make test with lines and branches counted, which makes them slower; the figure is the last line but one
coverage: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not full" -n 2 --dist loadfile --cov=vitas_hw --cov-report=term:skip-covered

# spoils files for every reader, MINUTES in all; never in CI. FUZZ="--seed 1 --only image" passes more on
MINUTES ?= 10
fuzz: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/run_fuzz.py --minutes $(MINUTES) $(FUZZ)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# the site, into site/: any warning ends it
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

dist: $(VENV)/.installed-test
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

# each file of dist/ alone in an empty environment, outside of this folder; KIND=whl or tar.gz: only those
KIND ?= *
smoke:
	set -e; for file in $(CURDIR)/dist/*.$(KIND); do \
		rm -rf build/smoke; mkdir -p build/smoke/away; $(PYTHON) -m venv build/smoke/env; \
		build/smoke/env/bin/python -m pip install -q --disable-pip-version-check "$$file"; \
		(cd build/smoke/away && ../env/bin/python -I $(CURDIR)/tests/smoke_installed.py $(CURDIR)); \
	done

clean:
	rm -rf $(VENV) build dist site .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "vitas-hw needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment: on Debian or Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (PyTorch comes with it: some GB, a few minutes)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (PyTorch comes with it: some GB, a few minutes)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (PyTorch comes with it: some GB, a few minutes)"
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[docs]'
	touch $@ $(VENV)/.installed
