# Two commands: `make demo` and `make test`. Both make .venv first; nothing else is needed than Python 3.11, make and pip.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
# Older ones know no dependency groups.
PIP := "pip>=25.1"
WORKFLOWS := $(wildcard .github/workflows/*.yml)
# Compiled modules are kept outside the source tree: tests start many processes.
export PYTHONPYCACHEPREFIX = $(CURDIR)/.venv/pycache

# Phrases to avoid; words are in docs/development/glossary.txt, which codespell reads ([tool.codespell] in pyproject.toml).
PHRASES := "looked at|masks apart|heads apart|is no number|the same ground|is gone again"

.PHONY: demo test test-full test-min coverage snapshots package qgis check docs reference clean

demo: .venv/.demo
	$(BIN)/swath demo swath-demo

test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" --numprocesses 2 --dist worksteal

test-full: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

# The same tests with the lowest versions that pyproject.toml allows, in an environment of its own.
test-min: .venv-min/.dev
	OMP_NUM_THREADS=1 .venv-min/bin/pytest -m "not slow" --numprocesses 2 --dist worksteal

# The tests with the share of lines that they run, which pyproject.toml has the floor of; fast from Python 3.12 on.
coverage: .venv/.coverage
	OMP_NUM_THREADS=1 COVERAGE_CORE=sysmon $(BIN)/pytest -m "not slow" --numprocesses 2 --dist worksteal --cov --cov-report=term

# Write tests/snapshots anew, after a change of the public API or of the help that is meant.
snapshots: .venv/.dev
	SWATH_UPDATE_SNAPSHOTS=1 $(BIN)/pytest tests/test_snapshots.py

# Source archive and wheel in dist/; the wheel then maps the world in an empty environment.
package: .venv/.package
	rm -rf dist build .venv-package
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv .venv-package
	.venv-package/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$$(echo dist/*.whl)[demo]"
	.venv-package/bin/python -m pip check
	.venv-package/bin/swath demo .venv-package/demo --steps 5
	test -s .venv-package/demo/report/index.html

# The QGIS plugin as its plugin manager installs it: dist/swath_qgis.zip, and the texts to translate.
qgis:
	$(PYTHON) qgis/package.py --texts
	$(PYTHON) qgis/package.py

check: .venv/.dev
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --no-cache --check .
	$(BIN)/mypy --cache-dir /dev/null
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry src
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/codespell src docs tests README.md
	! git grep -nwiE $(PHRASES) -- src docs tests README.md

# The site, in site/; nothing is fetched while it is built or read.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Pages of docs/reference that follow from options and errors.
reference: .venv/.dev
	$(BIN)/python docs/development/reference.py

clean:
	rm -rf .venv .venv-min .venv-package swath-demo site build dist src/*.egg-info

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Swath needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) ".[train,report,serve]"
	touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP)
	$(INSTALL) ".[train,report,serve,cluster,parquet]" --group dev
	touch $@ .venv/.demo

.venv/.coverage: .venv/.dev
	$(INSTALL) . --group coverage
	touch $@

.venv/.package: .venv/.dev
	$(INSTALL) . --group package
	touch $@

.venv/.docs: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	touch $@

.venv-min/.dev: pyproject.toml constraints-min.txt
	$(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet --disable-pip-version-check $(PIP)
	.venv-min/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-min.txt \
		--editable ".[train,report,serve,cluster,parquet]" --group test
	touch $@
