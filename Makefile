# Footfall: run it, test it, measure it. `make` lists the targets.

PYTHON ?= python3

# Set these on the command line (`make up PORT=8001`); a shell's own HOST or PORT does not leak in.
HOST = $(or $(FOOTFALL_HOST),127.0.0.1)
PORT = $(or $(FOOTFALL_PORT),8000)
DATA_DIR = $(or $(FOOTFALL_DATA_DIR),.footfall)
DATA = ../shared/data/ga4_export
ARGS =

VENV := .venv
BIN := $(VENV)/bin
UV := build/uv/bin/uv

# Wheels only: building a package from source would fetch build tools that no hash pins.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes --only-binary :all:
RESOLVE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header pyproject.toml

# What is installed, each a copy of the file it was installed from and written last: a virtual
# environment without these is taken for half-built and made anew.
INSTALLED := $(VENV)/requirements.lock
PROJECT := $(VENV)/pyproject.toml
INSTALLED_DEV := $(VENV)/requirements-dev.lock

.DEFAULT_GOAL := help
.PHONY: help up test faults mutants lint truth bench growth overload tracker browser clients lock clean
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

up: $(PROJECT) ## install, start the service with a demo shop, keep running (HOST= PORT= DATA_DIR=)
	@exec $(BIN)/footfall demo --host "$(HOST)" --port "$(PORT)" --data-dir "$(DATA_DIR)"

# One more at once than the two cores this is kept under 15 minutes on: tests wait for Postgres and other processes.
test: $(INSTALLED_DEV) ## all tests that are not measurements (ARGS="-k funnel")
	$(BIN)/python -m pytest -n 3 $(ARGS)

faults: $(INSTALLED_DEV) ## kill, freeze, fill and cut off on purpose, a quarter of an hour (as root: all of it)
	$(BIN)/python -m pytest -n 0 -v -rs -o console_output_style=times -m "" $(ARGS) tests/faults

# Not in the lock file: one of the packages it needs has no wheel.
MUTATOR := cosmic-ray==8.7.0

mutants: $(INSTALLED_DEV) ## change the matcher in every small way; each must fail a test (ARGS="in_order")
	@$(BIN)/python -c 'import cosmic_ray' 2>/dev/null || $(BIN)/python -m pip install -q "$(MUTATOR)"
	$(BIN)/python -m tests.mutation $(ARGS)

lint: $(INSTALLED_DEV) ## style, formatting, types, who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

truth: $(PROJECT) ## import real data through HTTP, compare with its known answers (DATA=folder)
	$(BIN)/python -m bench.truth --data "$(DATA)" $(ARGS)

bench: $(INSTALLED_DEV) ## measure ingestion and funnels beside ClickHouse, DuckDB and Postgres (ARGS="--only funnel")
	$(BIN)/python -m bench $(ARGS)

growth: $(INSTALLED_DEV) ## measure how funnels' time and memory grow to 50 million events (ARGS="--sizes 8000000")
	$(BIN)/python -m bench.funnel_growth $(ARGS)

overload: $(PROJECT) ## measure what gets through when ten times as many clients send as usual
	$(BIN)/python -m bench.overload $(ARGS)

tracker: ## build app/tracker/t.js from tracker/ (Node.js 20.11 or newer)
	cd tracker && npm ci --no-audit --no-fund && npm run build

# Not in the lock file: only these tests need it, and a browser beside it.
PLAYWRIGHT := playwright==1.65.2

browser: $(INSTALLED_DEV) ## try the tracker in headless Chromium (apt-get install chromium) (ARGS="-k consent")
	@$(BIN)/python -c 'import playwright' 2>/dev/null || $(BIN)/python -m pip install -q "$(PLAYWRIGHT)"
	$(BIN)/python -m pytest -n 0 -rs $(ARGS) tests/browser

# Of other makers, installed anew when their lock files change.
NODE_CLIENTS := build/clients/node_modules/.package-lock.json
PYTHON_CLIENTS := build/clients/python/requirements.txt

clients: $(INSTALLED_DEV) $(NODE_CLIENTS) $(PYTHON_CLIENTS) ## other makers' clients play a shop journey (Node.js, apt-get install chromium)
	$(BIN)/python -m pytest -n 0 -rs -m clients $(ARGS) tests/clients

$(NODE_CLIENTS): tests/clients/package.json tests/clients/package-lock.json
	@mkdir -p build/clients && cp $^ build/clients
	cd build/clients && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

$(PYTHON_CLIENTS): tests/clients/requirements.txt
	@$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@cp $< $@

lock: $(UV) ## resolve both lock files after a change to pyproject.toml (delete them for the newest of all)
	$(RESOLVE) --output-file requirements.lock
	$(RESOLVE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove everything installed and cached; the data stays
	rm -rf $(VENV) build tracker/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find app bench migrations tests -name __pycache__ -prune -exec rm -rf {} +

# A checkout touches files without changing them, so the contents decide.
$(INSTALLED): requirements.lock
	@if cmp -s $< $@; then touch $@; else $(MAKE) --no-print-directory rebuild; fi

.PHONY: rebuild
rebuild:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Footfall needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Install one, or name the one you have: make PYTHON=python3.13 up" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "This Python cannot make virtual environments: $(PYTHON) lacks venv or ensurepip." >&2; \
		echo "On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV); the first time this downloads about 220 MB."
	@rm -f $(INSTALLED) && rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.lock
	@cp requirements.lock $(INSTALLED)

$(PROJECT): pyproject.toml $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@cp $< $@

$(INSTALLED_DEV): requirements-dev.lock $(PROJECT)
	@cmp -s $< $@ || $(INSTALL) -r requirements-dev.lock
	@cp $< $@

$(UV):
	@$(PYTHON) -m venv build/uv
	@build/uv/bin/python -m pip install --disable-pip-version-check --quiet uv
