PYTHON ?= python3
BIN := .venv/bin
PYTHONS := python3.11 python3.12 python3.13
MATRIX_TESTS := tests/unit tests/contract tests/schemas tests/processing tests/workflow tests/hosting
export PYTHONDONTWRITEBYTECODE :=          # what is compiled once is kept, rewritten assertions too

.PHONY: chart demo test check check-unit check-rest static kafka bench peers simulate soak drill images long matrix sbom lock clean fmt

demo: .venv/ready                           # all services and the gateway in one process; KAFKA=1: on a real broker
	$(BIN)/python -m services.demo $(if $(KAFKA),--kafka)

test: .venv/ready                           # everything, and what it proves: build/promises.json
	$(BIN)/pytest --promises build/promises.json
	@$(MAKE) --no-print-directory static

check: .venv/ready                          # before every commit: memory only, half a minute on two cores
	@$(MAKE) --no-print-directory -j3 static check-unit check-rest

check-unit: .venv/ready
	$(BIN)/pytest -q -m "not (kafka or postgres or slow)" tests/unit

check-rest: .venv/ready
	$(BIN)/pytest -q -m "not (kafka or postgres or slow)" $(wildcard tests/contract tests/architecture tests/schemas tests/processing tests/workflow tests/hosting)

static: .venv/ready
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && PYTHONPATH=. $(BIN)/lint-imports

kafka:                                      # a broker in the foreground, on PORT (9092); needs Java 17 and Maven, no Docker
	$(PYTHON) deploy/kafka/run.py --port $(or $(PORT),9092)

chart: .venv/ready                          # what the chart takes from elsewhere, and deploy/kubernetes; builds Helm by Go once
	$(BIN)/python -m deploy.helm.write

bench: .venv/bench-ready                    # durable workflows beside other engines: after `make peers`, or PEERS=none
	$(BIN)/python -m tests.bench.workflows
	$(BIN)/python -m tests.bench

peers: build/peers/restate/ready build/peers/dbos/ready build/peers/temporal/ready   # needs npm and Go

simulate: .venv/ready                       # SEEDS=1000 with faults at every boundary, or SEED=k alone with its story; PROGRAM=agency
	$(BIN)/python -m antiphon.testing.simulation --seeds $(or $(SEEDS),1000) $(if $(SEED),--seed $(SEED)) $(if $(PROGRAM),--program $(PROGRAM))

soak: .venv/ready                           # kills services and a broker for MINUTES (5), by SEED; build/soak.json
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED))

drill: .venv/ready                          # loses a database and a state topic, brings both back, says what it took
	$(BIN)/python -m tests.drill

images: .venv/ready                         # image, compose and containers on a Docker engine of their own; needs root
	$(BIN)/pytest -m images tests/images

long: test
	$(BIN)/pytest -m long
	$(MAKE) --no-print-directory simulate SEEDS=10000
	$(MAKE) --no-print-directory soak MINUTES=10
	$(MAKE) --no-print-directory images
	$(MAKE) --no-print-directory matrix

matrix: .venv/ready                         # what needs no broker, on each of PYTHONS that is here, by the lock
	@for python in $(PYTHONS); do if $$python -c "" 2>/dev/null; then $(MAKE) --no-print-directory build/matrix/$$python/passed || exit 1; \
	else echo "NOT TESTED: there is no $$python here"; fi; done
	$(BIN)/mypy --python-version 3.13

build/matrix/%/passed: requirements-dev.lock libs/antiphon/pyproject.toml
	$* -m venv --clear build/matrix/$*
	build/matrix/$*/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	build/matrix/$*/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable libs/antiphon
	build/matrix/$*/bin/pytest -q -m "not (kafka or postgres or slow or long)" -p no:cacheprovider $(MATRIX_TESTS)
	touch $@

sbom: .venv/ready                           # CycloneDX, of what is installed at run time: build/sbom.json
	mkdir -p build
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject libs/antiphon/pyproject.toml --mc-type library --output-reproducible --output-file build/sbom.json

fmt: .venv/ready
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/ready: requirements-dev.lock libs/antiphon/pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Antiphon needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable libs/antiphon
	touch $@

.venv/bench-ready: .venv/ready requirements-bench.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	touch $@

build/peers/%/ready: tests/bench/peers/%.lock
	$(PYTHON) -m venv --clear build/peers/$*
	build/peers/$*/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	$(PEER_SERVER_$*)
	touch $@

PEER_SERVER_restate = npm install --prefix build/peers/restate --no-package-lock --no-audit --no-fund @restatedev/restate-server@1.7.12
PEER_SERVER_temporal = GOBIN=$(CURDIR)/build/peers/temporal/server go install github.com/temporalio/cli/cmd/temporal@v1.5.1

COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet
LOCK := $(COMPILE) pyproject.toml --no-emit-package antiphon
lock:                                       # the one verb that needs uv (pip install uv)
	$(LOCK) --output-file requirements.lock
	$(LOCK) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(LOCK) --group bench --constraint requirements-dev.lock --output-file requirements-bench.lock
	$(COMPILE) --group build --constraint requirements-dev.lock --output-file requirements-build.lock
	for peer in restate dbos temporal; do \
	  $(COMPILE) --group peer-$$peer --output-file tests/bench/peers/$$peer.lock || exit 1; done
