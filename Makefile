# Two commands do everything: `make demo` and `make test`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A stage or a test that starts a process would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

# `data` is a folder too, and dvc knows best whether it is current.
.PHONY: demo year data test test-fast test-all lint docs clean

demo: data  ## the whole pipeline on real flights
	dvc repro

year: data  ## ten months of retraining by rule, by a simulated clock; started again, it goes on
	treadle simulate experiment=flights model=lightgbm tracker=disabled name=flights_year retrain=shadow \
		--from 2013-03-01 --to 2014-01-01

data: $(VENV)/.installed  ## the versioned data, from the remote inside the repository
	dvc pull --quiet data.dvc

test: data  ## all but what takes long and rarely tells
	pytest -n 2 --dist loadgroup -m "not exhaustive"

test-fast: data  ## in about a minute: nothing that takes more than a fifth of a second
	pytest -n 2 --dist loadgroup -m "not slow and not exhaustive"

test-all: data  ## everything, as a release needs it
	pytest -n 2 --dist loadgroup

lint: $(VENV)/.installed
	ruff check .
	ruff format --check .
	mypy
	lint-imports

docs: $(VENV)/.installed  ## build/docs/index.html; a broken link fails
	sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[boosting,dashboards,database,dev,docs,excel,explain,images,sklearn,tensorboard,text,xgboost]'
	@# pip compiles on one core, and the libraries' own tests as well; a file for a later Python fails, here and there
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true
	@touch $@

clean:
	rm -rf $(VENV) runs
