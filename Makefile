# Two commands do everything, their own set-up included: `make course` and `make test`.
#   make test PYTHON=python3.12        another Python (3.10 or newer)
#   make test VENV="$CONDA_PREFIX"     an environment that exists already

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.seglib-ready

export NO_ALBUMENTATIONS_UPDATE = 1

.DEFAULT_GOAL := help
.PHONY: help course test bench coverage mutation fuzz lint site site-deps setup clean

help:
	@echo "make course   run the notebooks top to bottom in the quick profile (PROFILE=full: on the real data)"
	@echo "make test     run the tests"
	@echo "make bench    measure speed and memory beside other libraries, write the tables (DATA=folder of the data sets)"
	@echo "make coverage runs the tests and tells which lines and branches of the package they reach"
	@echo "make mutation changes metrics, losses and resuming in small ways and tells what the tests do not notice: hours"
	@echo "make fuzz     spoils input files by the thousand; the counts go into the README"
	@echo "make lint     look through the code and the notebooks with ruff"
	@echo "make site     build the site into build/site/html, without a network once its packages are there"
	@echo "make setup    make the environment $(VENV); the others do it by themselves"
	@echo "make clean    remove what the commands wrote, the environment excepted"

PROFILE ?= quick
course: $(READY)
	$(BIN)/python -m course run --profile $(PROFILE)

# Two at a time: most tests keep one core busy, and some wait.  Alone: $(BIN)/python -m pytest
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Other libraries are what ours is measured against; one that cannot be installed is reported and left out.
DATA ?= data
bench: $(READY)
	-$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-bench.txt
	$(BIN)/python -m benchmarks run --root $(DATA)
	$(BIN)/python -m benchmarks table

# In one process: what several write at a time would have to be told apart.
coverage: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check -q "coverage>=7.10"
	$(BIN)/python -m coverage erase
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -q
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

TRAINED := tests/training/test_trainer.py tests/training/test_faults.py
mutation: $(READY)
	@for name in boundary confusion counts labels; do \
	    $(BIN)/python -m tests.mutation seglib/metrics/$$name.py tests/metrics/test_metrics.py; done; \
	for name in combined overlap pixelwise sums; do \
	    $(BIN)/python -m tests.mutation seglib/losses/$$name.py tests/losses/test_losses.py; done; \
	$(BIN)/python -m tests.mutation seglib/plan.py $(TRAINED); \
	$(BIN)/python -m tests.mutation seglib/train/interrupt.py $(TRAINED); \
	$(BIN)/python -m tests.mutation seglib/train/loop.py $(TRAINED) --within train,_folder,_write_configuration,_train,_loop; \
	$(BIN)/python -m tests.mutation seglib/train/watch.py $(TRAINED) --within __init__,_reset,pause; \
	$(BIN)/python -m tests.mutation seglib/train/run.py $(TRAINED) \
	    --within train_step,_move,finite,save,_write,restore,_check_same,_take,_sound_checkpoint

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --cases 1000 --write

lint: $(READY)
	$(BIN)/python -m ruff check .

# Scripts and fonts of others come from npm, once, by site-deps; everything else is here.
site: $(VENV)/.seglib-site-ready
	$(BIN)/python site/build.py

site-deps: $(VENV)/.seglib-site-ready
	$(BIN)/python site/deps.py

$(VENV)/.seglib-site-ready: requirements-site.txt requirements-extra.txt $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements-site.txt
	@touch $@

setup: $(READY)

# Installed again whenever the requirements change; the file is written only after everything went well.
$(READY): requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the requirements into $(VENV): some minutes and up to 6 GB, mostly PyTorch."
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -e .
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	    echo "$(PYTHON) is not Python 3.10 or newer; name one that is, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; \
	    exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -f $@; \
	    echo "$(PYTHON) could not make the environment $(VENV); on Debian and Ubuntu install python3-venv first."; \
	    exit 1; }

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find seglib tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
