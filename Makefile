# `make run` and `make test` work from a fresh clone: whatever is missing is made first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test test-slow lint clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## Make the environment in .venv

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

run: install  ## Train the default CVAE on digits (ARGS='model=vae data=mnist' for another)
	$(BIN)/python -m autoencoders.train $(ARGS)

test: install  ## Lint, then the tests, in a few minutes
	$(BIN)/python -m ruff check .
	$(BIN)/python -m pytest -m 'not slow'

test-slow: install  ## The tests that train for minutes, on real data
	$(BIN)/python -m pytest -m slow

lint: install  ## Style alone
	$(BIN)/python -m ruff check .

clean:  ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist
