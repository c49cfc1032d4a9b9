# `make run` and `make test` work in a fresh clone: they create the environment if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run docs docs-figures tutorials pretrained experiments experiment-pages bench test test-slow test-faults lint clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## Create the environment in .venv

$(VENV)/.installed: pyproject.toml
	@echo "Installing into $(VENV); this takes some minutes, mostly for torch"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

run: install  ## Train the default CVAE on digits (ARGS='model=vae data=mnist' for another)
	$(BIN)/python -m autoencoders.train $(ARGS)

docs: install  ## Build the documentation site in docs/_build/html, with warnings as errors
	rm -rf docs/_build/html
	$(BIN)/python -m sphinx -E -q -W --keep-going -b html docs docs/_build/html

docs-figures: install  ## Train the runs of the README's figures and copy the figures
	rm -rf runs/readme
	$(BIN)/python -m autoencoders.train model=cvae data=mnist hydra.run.dir=runs/readme
	mkdir -p docs && cp "$$(ls runs/readme/figures/samples/*.png | tail -n 1)" docs/cvae-mnist-samples.png
	rm -rf runs/readme-compare
	$(BIN)/python -m autoencoders.train -m experiment=compare seed=0,1,2 hydra.sweep.dir=runs/readme-compare
	$(BIN)/python -m autoencoders.report runs=runs/readme-compare out=runs/readme-compare/report.md copy=true 'sections=[comparison]'
	cp runs/readme-compare/report_figures/metrics-that-differ-*.png docs/compare-digits.png

tutorials: install  ## Execute the notebooks of docs/tutorials and keep their outputs (ARGS='01-first-vae.ipynb' for one)
	$(BIN)/python docs/tutorials/execute_tutorials.py $(ARGS)

pretrained: install  ## Train the pretrained models of the package and write them (minutes each; ARGS=mnist-cvae for one)
	$(BIN)/python pretrained/build.py $(ARGS)

experiments: install  ## Train missing runs of experiments/ and write its pages (hours; ARGS='s0_faces' for one study)
	$(BIN)/python experiments/rebuild.py $(ARGS)

experiment-pages: install  ## Write the pages of experiments/ from the kept results, without training
	$(BIN)/python experiments/rebuild.py --write-only

bench: install  ## Measure training speed, start-up and memory (needs AUTOENCODERS_DATA)
	$(BIN)/python benchmarks/speed.py --whole --write docs/speed.md
	$(BIN)/python benchmarks/starts.py
	$(BIN)/python benchmarks/scale.py --light

test: lint  ## Run lint and the tests, in a few minutes
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: install  ## Run the tests that train for minutes, on real data
	$(BIN)/python -m pytest -m slow --ignore=tests/faults

test-faults: install  ## Kill commands at random points, fill disks, and print a table of the faults
	$(BIN)/python -m pytest -m slow tests/faults

lint: install  ## Check style, types, import contracts and spelling
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell autoencoders conf docs experiments tests *.md

clean:  ## Remove the environment and caches, keep runs/
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist docs/_build
