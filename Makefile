# Two commands on a fresh machine with Python >= 3.11, pip and make:
#   make demo      sell an album to three customers and deliver it through a sealed swarm
#   make test      run the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help setup demo test check bench format clean

help:
	@echo "make demo    sell and deliver an album on this machine (ARGS=\"--customers 5 --json\")"
	@echo "make test    run the tests (ARGS=\"-k redemption\")"
	@echo "make check   lint, types, import contracts, dependencies"
	@echo "make bench   run every benchmark"
	@echo "make setup   make $(VENV) with the tested versions"

setup: $(VENV)/.ready

# Without ensurepip, so that Debian's python3 without python3-venv works too.
$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "albumswarm needs Python >= 3.11")'
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --quiet --disable-pip-version-check --python $(BIN)/python \
		install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/python -m docs.demo $(ARGS)

test: setup
	$(BIN)/python -m pytest -n auto $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/vulture

bench: setup
	$(BIN)/python -m pytest -p no:xdist tests/bench $(ARGS)

format: setup
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
