# The two main commands are `make run` and `make test`. Both first create .venv from the hashed lock file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV
unexport PYTHONPATH
unexport PYTHONHOME
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-browser check format lock openapi newest bench soak chaos image-check clean

help:
	@echo "make run     serve on http://127.0.0.1:8000 with a SQLite database and demo data"
	@echo "make test    run all tests, on SQLite and on a PostgreSQL server started for them"
	@echo "make check   lint, types, import layers, lock files, migrations, OpenAPI snapshot, Dockerfile, manifests"
	@echo "make test-all    run also the slow tests: floods, freezes, second databases; before a release"
	@echo "make test-browser  passkey tests in a real Chromium (Debian: chromium and chromium-driver)"
	@echo "make newest  test the contract with the newest releases of all libraries that pyproject.toml allows"
	@echo "make bench   requests per second, compared with a minimal application in the same run (PostgreSQL)"
	@echo "make soak    mixed traffic for ten minutes: two servers, PostgreSQL; latency, memory, errors"
	@echo "make chaos   stopped databases, killed servers and overload: requests sent, lost and refused"
	@echo "make format  format the code                      make lock     renew the lock files"
	@echo "make openapi renew the snapshots of OpenAPI, problem codes and settings"
	@echo "make clean   remove .venv and caches               make image-check  build and run the image (root, apt)"

$(VENV)/.ready: requirements/dev.txt tools/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Licentia needs Python 3.11 or newer; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tools/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt tools/uv.txt
	@touch $@

run: $(VENV)/.ready
	@exec $(BIN)/python -m app serve --migrate --demo

test: $(VENV)/.ready
	@exec $(BIN)/python -m pytest -n 3 --dist worksteal

test-all: $(VENV)/.ready
	@exec $(BIN)/python -m pytest -n 3 --dist worksteal --all

test-browser: $(VENV)/.ready
	@exec $(BIN)/python -m pytest -q tests/browser/passkeys.py

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet deploy/kubernetes/*.yaml
	$(BIN)/python -m tests.snapshots --check
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/house tests/docs tests/migrations

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(VENV)/.ready
	$(BIN)/python -m tests.snapshots --write

UV_COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
lock: $(VENV)/.ready
	echo 'uv==0.13.9' | $(UV_COMPILE) - -o tools/uv.txt
	$(UV_COMPILE) pyproject.toml --extra telemetry -o requirements/app.txt
	$(UV_COMPILE) pyproject.toml --extra telemetry --group dev -o requirements/dev.txt

NEWEST := .venv-newest
newest: $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(NEWEST)
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --upgrade -r pyproject.toml --extra telemetry --group dev
	@exec $(NEWEST)/bin/python -m pytest -q -n 2 tests/contract tests/db tests/server tests/web

bench: $(VENV)/.ready
	@$(BIN)/python -m ops.bench
	@$(BIN)/python -m ops.bench --million
	@exec $(BIN)/python -m ops.bench --export

soak: $(VENV)/.ready
	@exec $(BIN)/python -m ops.bench --soak

chaos: $(VENV)/.ready
	@exec $(BIN)/python -m ops.chaos

clean:
	rm -rf $(VENV) .venv-newest .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

image-check: $(VENV)/.ready
	deploy/image-check.sh
