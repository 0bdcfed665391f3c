# make demo   compile the bundled voice for every target, convert its sample, write demo-report.html
# make test   lint, types and tests; make test-all has the slow ones, too
# Both set up .venv on first use; afterwards they only look whether pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test test-all check schema clean

demo: $(READY)
	$(BIN)/python benchmarks/demo.py

test: check
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --maxprocesses 4

test-all: check
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(VENV)/types $(BIN)/mypy -m voxc -p voxc.backends -p voxc.compiler -p voxc.passes
	MYPYPATH=$(VENV)/types:benchmarks $(BIN)/mypy --config-file= --check-untyped-defs --ignore-missing-imports \
		--follow-imports=silent --explicit-package-bases benchmarks

schema: $(READY)
	$(BIN)/python -c "import json; from voxc.compiler.manifest import *; \
	SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=2) + '\n')"

# mypy does not see through an editable install, so it gets the package under its installed name.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/voxc
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info demo-bundles demo-report.html
