# `make run` and `make test` work from a fresh clone: whatever is missing is made first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run docs-figures experiments bench test test-slow lint clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## Make the environment in .venv

$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV): some minutes, most of them for torch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

run: install  ## Train the default CVAE on digits (ARGS='model=vae data=mnist' for another)
	$(BIN)/python -m autoencoders.train $(ARGS)

docs-figures: install  ## Train the README's CVAE on MNIST again and take its picture
	rm -rf runs/readme
	$(BIN)/python -m autoencoders.train model=cvae data=mnist hydra.run.dir=runs/readme
	mkdir -p docs && cp "$$(ls runs/readme/figures/samples/*.png | tail -n 1)" docs/cvae-mnist-samples.png

experiments: install  ## Train what experiments/ lacks and write its pages: hours (ARGS='s0_faces' for one)
	$(BIN)/python experiments/rebuild.py $(ARGS)

bench: install  ## Training against a bare loop, the usual way and pythae; starts, scale (MNIST, LFW: AUTOENCODERS_DATA)
	$(BIN)/python benchmarks/speed.py --whole --write docs/speed.md
	$(BIN)/python benchmarks/starts.py
	$(BIN)/python benchmarks/scale.py --light

test: lint  ## Lint, then the tests, in a few minutes
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: install  ## The tests that train for minutes, on real data
	$(BIN)/python -m pytest -m slow

lint: install  ## Style, types, import contracts and spelling
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell autoencoders conf docs experiments tests README.md CHANGELOG.md

clean:  ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
