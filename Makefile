# Every target sets up what it needs in .venv; PYTHON chooses the interpreter that makes it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help setup demo test lint format bench bench-peers clean

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	@# First and by itself: every other package accepts the torch that is there, and CPU builds suffice.
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt torch
	$(BIN)/pip install --quiet --constraint .ci/constraints.txt --editable '.[all]' --group dev
	touch $@

setup: $(VENV)/installed  ## Create .venv with all targets and development tools.

demo: setup  ## Export the bundled model to all targets, prove parity and accuracy, time it, write report.html.
	$(BIN)/mobilevit-deploy export --target all --precision fp32 --precision fp16 --precision int8 --output exports
	$(BIN)/mobilevit-deploy bench --output exports
	$(BIN)/mobilevit-deploy report exports --html exports/report.html

test: setup lint  ## Check style and types, run all tests.
	@# A process a core, and a thread a process: more would wait for each other.
	OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 $(BIN)/pytest --numprocesses $(JOBS) --dist loadscope

lint: setup  ## ruff and mypy --strict.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## Format the code and mend what ruff can mend.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## Time the export of the bundled model to all targets; prove parity of all presets and precisions.
	$(BIN)/python benchmarks/export_time.py
	$(BIN)/python -m benchmarks.presets

bench-peers: setup  ## Time our files beside those that other exporters make of the same weights; see benchmarks/peers.
	$(BIN)/python -m benchmarks.bench_peers

clean:  ## Remove the environment and everything generated.
	rm -rf $(VENV) .peers exports build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
