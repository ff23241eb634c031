# Two commands on a fresh machine with Python >= 3.11, pip and make:
#   make demo      sell an album to three customers and deliver it through a sealed swarm
#   make test      run the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help setup demo test check bench bench-client bench-licensing bench-seeder bench-swarm bench-tracker fuzz-licensing fuzz-tracker format clean drill-licensing drill-licensing-large drill-tracker drill-client drill-streaming drill-unplugged

help:
	@echo "make demo    sell and deliver an album on this machine (ARGS=\"--customers 5 --json\")"
	@echo "make test    run the tests (ARGS=\"-k redemption\")"
	@echo "make check   lint, types, import contracts, dependencies"
	@echo "make bench   run every benchmark: bench-client, bench-licensing, bench-seeder, bench-swarm (as root), bench-tracker"
	@echo "make fuzz-licensing          schemathesis against a real service"
	@echo "make fuzz-tracker            100,000 hostile requests (ARGS=\"--requests 1000000\")"
	@echo "make drill-licensing         kill licensing 200 times under load, on both ledgers"
	@echo "make drill-licensing-large   a million licences against an empty ledger, on both"
	@echo "make drill-tracker           kill a tracker worker with 1,000 peers in 50 swarms, 5 times"
	@echo "make drill-client            kill a client with 200 albums to get 20 times"
	@echo "make drill-streaming         play a 1 Mbit/s track over 2 Mbit/s in real time, with seeks"
	@echo "make drill-unplugged         take the network from a client for a minute, as root"
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
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/vulture

bench: bench-client bench-licensing bench-seeder bench-swarm bench-tracker

bench-client: setup
	$(BIN)/python -m tests.bench.client $(ARGS)

bench-licensing: setup
	$(BIN)/python -m tests.bench.licensing $(ARGS)
	$(BIN)/python -m tests.bench.licensing --postgresql $(ARGS)

bench-seeder: setup
	$(BIN)/python -m tests.bench.seeder $(ARGS)

bench-swarm: setup
	$(BIN)/python -m tests.bench.swarm $(ARGS)

bench-tracker: setup
	$(BIN)/python -m tests.bench.tracker $(ARGS)

fuzz-licensing: setup
	$(BIN)/python -m tests.integration.licensing.fuzz $(ARGS)

fuzz-tracker: setup
	$(BIN)/python -m tests.integration.tracker.fuzz $(ARGS)

drill-licensing: setup
	$(BIN)/python -m tests.drills.kill $(ARGS)
	$(BIN)/python -m tests.drills.kill --postgresql $(ARGS)

drill-licensing-large: setup
	mkdir -p build && rm -f build/large.backup
	$(BIN)/python -m tests.drills.large --keep build/large.backup $(ARGS)
	$(BIN)/python -m tests.drills.large --postgresql --backup build/large.backup $(ARGS)
	rm build/large.backup

drill-tracker: setup
	$(BIN)/python -m tests.drills.tracker_failover $(ARGS)

drill-client: setup
	$(BIN)/python -m tests.drills.client_kills $(ARGS)

drill-streaming: setup
	$(BIN)/python -m tests.drills.streaming $(ARGS)

drill-unplugged: setup
	$(BIN)/python -m tests.drills.client_unplugged $(ARGS)

format: setup
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
