# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-fast lint clean

demo: $(VENV)/.installed  ## the whole turn on real flights, as a pipeline
	dvc repro --pull

test: $(VENV)/.installed  ## everything, the slow tests included
	pytest -n 2 --dist loadscope

test-fast: $(VENV)/.installed
	pytest -n 2 --dist loadscope -m "not slow"

lint: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy
	lint-imports

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[boosting,dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs
