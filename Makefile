# Needs Python (3.10 or later) and make, nothing else. `make demo` is the place to start.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv demo demo-vision demo-transnormer test check format bench bench-all clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         fine-tune the bundled nano model on the CPU and see what it learned (about a minute)"
	@echo "make demo-vision  fine-tune the bundled nano model that sees; shows pictures with answers before and after"
	@echo "make demo-transnormer  the same as make demo with the bundled nano TransNormerLLM"
	@echo "make test         run all tests"
	@echo "make check        formatting, lint and types"
	@echo "make format       format the code"
	@echo "make bench        measure training beside the plain recipe and installed peers; rewrites docs/benchmarks.md, docs/profile.md"
	@echo "make bench-all    that, and each measure alone, data, pictures, long rows, answers, memory"
	@echo "make venv         only install, into $(VENV)"
	@echo "make clean        remove $(VENV), caches and builds (never runs/)"

venv: $(STAMP)

# Made once; made again when a dependency changes.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "tunesmith needs Python 3.10 or later; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: $(STAMP)
	$(BIN)/tunesmith demo

demo-vision: $(STAMP)
	$(BIN)/tunesmith demo --vision

demo-transnormer: $(STAMP)
	$(BIN)/tunesmith demo --family transnormer

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Some 20 minutes on two cores; the rest, with a million records and rows of 32,768 tokens, takes as long again.
bench: $(STAMP)
	$(BIN)/tunesmith bench --write docs/benchmarks.md --plot docs/bench.png
	$(BIN)/python bench/prefix.py --repeats 1
	$(BIN)/python bench/profiles.py

bench-all: bench
	$(BIN)/tunesmith bench --ablation --write docs/benchmarks.md
	$(BIN)/python bench/data.py
	$(BIN)/python bench/vision.py
	$(BIN)/python bench/length.py
	$(BIN)/python bench/eval.py
	$(BIN)/python bench/memory.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
