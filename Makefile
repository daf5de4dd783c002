# Every command sets up its environment by itself.
#   make test PYTHON=python3.12        another Python (3.10 or newer)
#   make test VENV="$CONDA_PREFIX"     an environment that exists already

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.seglib-ready
DEV_READY := $(VENV)/.seglib-dev-ready
PIP := $(BIN)/python -m pip install --disable-pip-version-check

export NO_ALBUMENTATIONS_UPDATE = 1

.DEFAULT_GOAL := help
.PHONY: help course test test-oldest test-hosted bench coverage mutation fuzz soak lint address site site-deps setup setup-dev clean

help:
	@echo "make course       run the notebooks in the quick profile (PROFILE=full: longer runs; JOBS=1: one at a time)"
	@echo "make test         run the tests"
	@echo "make test-oldest  run the tests with the oldest supported versions, in an environment of their own"
	@echo "make test-hosted  run a notebook file alone, as on a hosted machine with the oldest supported PyTorch"
	@echo "make lint         check style, formatting and types"
	@echo "make bench        measure speed and memory, compare with other libraries (DATA=folder of the data sets)"
	@echo "make coverage     run the tests and report the lines and branches that they miss"
	@echo "make mutation     change the code in small ways and report what the tests miss, for hours (AREA=metrics)"
	@echo "make fuzz         read thousands of corrupted files; the counts go into docs/reliability.md"
	@echo "make soak         run the long tests: an hour of training, an image of 20,000 x 20,000 pixels, all model cards, axe on all pages"
	@echo "make site         build the site into build/site/html"
	@echo "make address      write the public address of this repository everywhere it is needed (URL=https://...)"
	@echo "make setup        create the environment $(VENV) for the notebooks (setup-dev: for the tests)"
	@echo "make clean        remove what the commands wrote, except the environment"

PROFILE ?= quick
JOBS ?= 2
course: $(READY)
	$(BIN)/python -m course run --profile $(PROFILE) --jobs $(JOBS)

# Two processes: most tests keep one core busy.
test: $(DEV_READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

OLDEST_VENV ?= .venv-oldest
test-oldest:
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/python -m pip install --disable-pip-version-check -q -r requirements/oldest.txt
	$(OLDEST_VENV)/bin/python -m pip install --disable-pip-version-check -q --no-deps -e .
	OMP_NUM_THREADS=1 $(OLDEST_VENV)/bin/python -m pytest -n 2 --dist worksteal

test-hosted: $(DEV_READY)
	$(BIN)/python -m tests.hosted

# A library that cannot be installed is left out of the comparison and reported.
DATA ?= data
bench: $(READY)
	-$(PIP) -q -e ".[bench]"
	$(BIN)/python -m benchmarks run --root $(DATA)
	$(BIN)/python -m benchmarks table

coverage: $(DEV_READY)
	$(BIN)/python -m coverage erase
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -q
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

# Cosmic Ray changes the files of the checkout and restores them: do not edit while it runs.
AREA ?= metrics
SESSION := build/mutation-$(AREA).sqlite
mutation: $(DEV_READY)
	@mkdir -p build
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cosmic-ray init tests/mutation/$(AREA).toml $(SESSION)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cosmic-ray exec tests/mutation/$(AREA).toml $(SESSION)
	$(BIN)/cr-report --surviving-only $(SESSION)

fuzz: $(DEV_READY)
	$(BIN)/python -m tests.fuzz --cases 1000 --write

soak: $(DEV_READY)
	SEGLIB_SLOW=1 $(BIN)/python -m pytest -m slow
	SEGLIB_SLOW=1 $(BIN)/python -m pytest tests/training/test_faults.py tests/models/test_registry.py

lint: $(DEV_READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

address: $(DEV_READY)
	$(BIN)/python -m tools address $(URL)

# Scripts and fonts come from npm, once, by site-deps; everything else is in the repository.
site: $(DEV_READY)
	$(BIN)/python site/build.py

site-deps: $(DEV_READY)
	$(BIN)/python site/deps.py

setup: $(READY)
setup-dev: $(DEV_READY)

# Installed again when the requirements change; the marker files are written only after everything went well.
$(READY): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the requirements into $(VENV): some minutes and up to 6 GB, mostly PyTorch."
	$(PIP) -r requirements.txt
	$(PIP) --no-deps -e .
	@touch $@

$(DEV_READY): $(READY)
	$(PIP) -q -e ".[dev,site]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo "$(PYTHON) is not Python 3.10 or newer; name one that is, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; \
	    echo "$(PYTHON) could not make the environment $(VENV); on Debian and Ubuntu install python3-venv first."; \
	    exit 1; }

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find seglib course tools tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
