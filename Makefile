# make run   a working server with a demo account, in the foreground      make test   the tests, and what they need
# Everything is kept in .venv and var; `make clean` removes the first, never the second.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find lightmail sql twisted -name '*.py' -o -name '*.sql') setup.cfg pyproject.toml README.md

.PHONY: help install run test test-all attack test-needs lint format clean

help:
	@echo 'make run       a working server with a demo account, in the foreground'
	@echo 'make install   .venv alone: .venv/bin/twistd -n lightmail, .venv/bin/lightmail'
	@echo 'make test      the tests, and what they need: Debian packages (as root) and PyPI packages'
	@echo 'make test-all  those that take long, too'
	@echo 'make attack    every fault on every stack and a soak of each, about 40 minutes; docs/reliability.md tells'
	@echo 'make lint      ruff, mypy, import-linter'

install: $(VENV)/installed

run: install
	@exec $(BIN)/lightmail demo

test: test-needs
	$(BIN)/python -m pytest -m 'not heavy' $(PYTEST_ARGS)

test-all: test-needs
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Hours of a bad day in half an hour; ATTACK_MINUTES of it are a soak of each stack.
ATTACK_MINUTES ?= 10
attack: test-needs
	$(BIN)/python -m pytest -s tests/faults $(PYTEST_ARGS)
	$(BIN)/python -m tests.soak --minutes $(ATTACK_MINUTES) --faults
	$(BIN)/python -m tests.soak --minutes $(ATTACK_MINUTES) --faults --stack mariadb-s3

test-needs: install $(VENV)/test-extras
	@.ci/debian-packages $(BIN)

lint: install $(VENV)/dev-extras
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports

format: $(VENV)/dev-extras
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The environment alone: it is made anew when the interpreter changes, not when sources do.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'make: Python 3.11 or later is needed; name one: make PYTHON=python3.11' >&2; exit 1; }
	@.ci/debian-packages --venv $(PYTHON)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'setuptools>=64' wheel
	@touch $@

# An ordinary install, for Twisted finds the plugin there as it will in production; repeated whenever a source is newer.
# build/ goes first: setuptools would install what it left there of modules that are gone.
$(VENV)/installed: $(VENV)/made $(SOURCES)
	@rm -rf build
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation .
	@rm -rf build
	@$(BIN)/python -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'
	@touch $@

$(VENV)/%-extras: $(VENV)/made setup.cfg
	@$(BIN)/python .ci/extras.py $* > $(VENV)/$*.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r $(VENV)/$*.txt
	@touch $@
