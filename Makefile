# `make test` on a fresh machine sets up .venv and passes the tests; nothing else is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := envs/constraints.txt
# Override on a CUDA machine or for another build of torch, e.g. TORCH="torch==2.13.0 --index-url ...".
TORCH ?= torch

# Another campaign: make run CONFIG=config/screening/fcc-metals.yaml
CONFIG ?= config/config.yaml
CORES ?= all
# How many jobs may use a GPU of this machine at a time.
GPUS ?= 1

.PHONY: env run test test-slurm lint format bench gpu-check clean

env: $(VENV)/.installed

# torch comes first and alone: another package's dependency on it could pull in a different build.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[chgnet,dev,mace,workflow]'
	touch $@

run: env
	$(BIN)/python workflow/run.py "$(CONFIG)" --cores $(CORES) --resources gpu=$(GPUS)

test: env
	$(BIN)/python -m pytest -n auto -m "not slurm"

# Starts a Slurm of one node from the packages slurm-wlm and munge, and stops it again.
test-slurm: env
	$(BIN)/python -m pytest -m slurm tests/workflow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow tests
	$(BIN)/snakemake --quiet --lint

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow tests

bench: env
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/relaxation.py
	$(BIN)/python benchmarks/dynamics.py
	$(BIN)/python benchmarks/backends.py
	$(BIN)/python benchmarks/dynamics.py
	$(BIN)/python benchmarks/dynamics_drift.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training_versus_mace.py --quick --finetune 0.5

# On a machine with a GPU and an environment of its own, e.g. `make gpu-check BIN=/usr/bin`.
gpu-check:
	PYTHONPATH=src $(BIN)/python3 benchmarks/gpu_check.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info
