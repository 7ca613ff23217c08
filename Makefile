# Two commands from a fresh clone: `make search` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PROJECTS := balenas_core cli $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/*/pyproject.toml)) .
EDITABLE := $(foreach project,$(PROJECTS),-e ./$(project))
MANIFESTS := $(foreach project,$(PROJECTS),$(project)/pyproject.toml) $(wildcard requirements/*.txt)

# Tests start many processes, each of which would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Two of them run at once, and nothing in them is large.
docs test test-slow: export OMP_NUM_THREADS := 1
docs test test-slow: export OMP_WAIT_POLICY := PASSIVE
PYTEST := $(BIN)/python -m pytest -q -n 2

.PHONY: help setup search test test-slow lint types docs check clean
help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: $(MANIFESTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements/build.txt
	$(BIN)/python -m pip install --quiet -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation $(EDITABLE)
	touch $@

setup: $(VENV)/.installed  ## create the environment in .venv

search: setup  ## set up, and search a cell on real images that ship with scikit-learn
	$(BIN)/balenas search --space darts --optimizer ngvi --selector synflow --data digits --epochs 6

test: setup  ## set up, and run every test that is not slow; all of them with SLOW=1
	$(PYTEST) $(if $(SLOW),,-m "not slow")

test-slow: setup  ## run the slow tests: wheels, native builds, planted bugs, killed searches
	$(PYTEST) -m slow

lint: setup  ## check style, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## check types
	$(BIN)/mypy balenas_core/src cli/src $(wildcard plugins/*/*/src)

docs: setup  ## build the documentation's site into build/site/html; a broken link is an error
	$(BIN)/python docs/site
	$(BIN)/python -m zensical build --strict --clean

check: SLOW := 1
check: lint types docs test  ## everything that CI runs

clean:  ## remove the environment and every build product
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
	find . -name build -prune -exec rm -rf {} + -o -name '*.egg-info' -prune -exec rm -rf {} +
