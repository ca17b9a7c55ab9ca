# All set-up is here: `make rank` and `make test` work on a fresh machine with Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: rank distill test check format speed readme docs clean

rank: $(VENV)/installed
	$(BIN)/python benchmarks/rank.py --proxy diswot --dataset cifar10

distill: $(VENV)/installed
	$(BIN)/python search/distill.py

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

check: $(VENV)/installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(VENV)/installed-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

readme: $(VENV)/installed
	$(BIN)/python docs/readme.py

docs: $(VENV)/installed
	$(BIN)/python docs/pages.py

speed: $(VENV)/installed
	$(BIN)/python benchmarks/speed.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-%: $(VENV)/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
