.PHONY: install run test faults fuzz bench fmt
.DEFAULT_GOAL := install

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# What the mongod of the PyPI wheel takes from the system, as Debian names it.
LIBRARIES := libcurl4 libssl3

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@echo "installing into .venv: the first time takes a minute or two ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(MAKE) --no-print-directory mongod
	@touch $@
	@echo "installed"

# mongod must start: the one on PATH, else the wheel's. Root gets the missing libraries; others are told which.
.PHONY: mongod
mongod:
	@mongod=$$(command -v mongod || echo .venv/lib/python3*/site-packages/fiftyone/db/bin/mongod); \
	if [ -n "$$HIE_MONGODB_URI" ] || "$$mongod" --version >/dev/null 2>&1; then exit 0; fi; \
	if [ ! -x "$$mongod" ]; then \
	  echo "MongoDB has no wheel for this machine: install MongoDB 6 or later (mongod on PATH), then run make again" >&2; exit 1; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $(LIBRARIES) for MongoDB ..."; \
	  said=$$( { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(LIBRARIES); } 2>&1 </dev/null) \
	  || echo "$$said" >&2; \
	fi; \
	"$$mongod" --version >/dev/null 2>&1 || { \
	  echo "MongoDB needs the system libraries $(LIBRARIES): run 'sudo apt-get install $(LIBRARIES)', then make again" >&2; exit 1; }

run: install
	@$(BIN)/hie serve

test: install
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "not formatted: run 'make fmt'" >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@said=$$($(BIN)/lint-imports --no-logo) || { echo "$$said"; exit 1; }
	@echo "lint, types and import contracts: good"
	@$(BIN)/pytest

# Slow: kills and freezes members of a replica set while hospitals write.
faults: install
	@$(BIN)/pytest tests/faults

# Ten times as many hostile requests as `make test` sends, and other examples for every property test: some minutes.
fuzz: install
	@FUZZ=10 $(BIN)/pytest --numprocesses=0 tests/fuzz
	@FUZZ=1 $(BIN)/pytest -m hypothesis --ignore tests/fuzz

bench: install
	@$(BIN)/hie bench

fmt: install
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .
