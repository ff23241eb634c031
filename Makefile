# Two commands on a fresh machine with Python >= 3.11, pip and make:
#   make demo      sell an album to three customers and deliver it through a sealed swarm
#   make test      run the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help setup demo test check bench bench-licensing fuzz-licensing format clean drill-licensing drill-licensing-large

help:
	@echo "make demo    sell and deliver an album on this machine (ARGS=\"--customers 5 --json\")"
	@echo "make test    run the tests (ARGS=\"-k redemption\")"
	@echo "make check   lint, types, import contracts, dependencies"
	@echo "make bench   run every benchmark; make bench-licensing, both ledgers"
	@echo "make fuzz-licensing          schemathesis against a real service"
	@echo "make drill-licensing         kill licensing 200 times under load, on both ledgers"
	@echo "make drill-licensing-large   a million licences against an empty ledger, on both"
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

bench: bench-licensing

bench-licensing: setup
	$(BIN)/python -m tests.bench.licensing $(ARGS)
	$(BIN)/python -m tests.bench.licensing --postgresql $(ARGS)

fuzz-licensing: setup
	$(BIN)/python -m tests.integration.licensing.fuzz $(ARGS)

drill-licensing: setup
	$(BIN)/python -m tests.drills.kill $(ARGS)
	$(BIN)/python -m tests.drills.kill --postgresql $(ARGS)

drill-licensing-large: setup
	mkdir -p build && rm -f build/large.backup
	$(BIN)/python -m tests.drills.large --keep build/large.backup $(ARGS)
	$(BIN)/python -m tests.drills.large --postgresql --backup build/large.backup $(ARGS)
	rm build/large.backup

format: setup
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
