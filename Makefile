# Everything that people and CI type. `make` alone lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PACKAGES := telemetry_contracts telemetry_platform ingest_lambda telemetry_assets access_api device_sim telemetry_cli
BIN := .venv/bin
# Options for the program behind a target: make demo ARGS="--csv readings.csv"
ARGS :=

# Looked up when first needed, and once; make PYTHON=python3.12 names another.
INTERPRETER = $(eval INTERPRETER := $$(shell PYTHON='$$(PYTHON)' scripts/find-python))$(INTERPRETER)
# The stamp's name holds the version, so that another Python installs again.
VERSION = $(if $(INTERPRETER),$(shell '$(INTERPRETER)' -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
STAMP = .venv/.installed-$(VERSION)
SCRATCH := .venv/check
# Tests mostly wait for servers, so two workers share two cores well.
TEST_WORKERS := 2

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install everything into .venv (done by the other targets when needed)
	@test -n "$(INTERPRETER)"
	@$(MAKE) -s $(STAMP)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q $(PACKAGES) benchmarks

.venv/.installed-%: pyproject.toml requirements.lock scripts/set-up
	@scripts/set-up '$(INTERPRETER)'
	@rm -f .venv/.installed-*
	@touch $@

.PHONY: demo
demo: setup ## Start the stack, send simulated fleets, account for every row, stop
	@$(BIN)/telemetry demo $(ARGS)

.PHONY: up
up: setup ## Serve the whole stack on this machine until Ctrl-C
	@$(BIN)/telemetry up $(ARGS)

DOCS = $(abspath $(or $(TELEMETRY_HOME),.telemetry))/dbt/docs
DBT_DOCS = DBT_TARGET_PATH='$(DOCS)' DBT_LOG_PATH='$(DOCS)' $(BIN)/dbt --quiet
DBT_PROJECT = --project-dir dbt_project --profiles-dir dbt_project
.PHONY: docs
docs: setup ## Write dbt's documentation of the marts, which the catalog links to; needs no database
	@mkdir -p '$(DOCS)'
	@$(DBT_DOCS) parse $(DBT_PROJECT)
	@$(DBT_DOCS) docs generate --static --empty-catalog --no-compile $(DBT_PROJECT)
	@echo 'Written to $(DOCS)/static_index.html'

.PHONY: test
test: setup ## Run all tests; a part of them: make test ARGS="-m unit"
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder $(ARGS)

.PHONY: check
check: setup check-code check-dbt check-definitions check-contracts check-aws ## Format, lint, types, imports, dbt, definitions, contracts, AWS template

.PHONY: check-code
check-code: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check
	$(BIN)/lint-imports --no-logo

.PHONY: check-dbt
check-dbt: setup
	DBT_TARGET_PATH='$(CURDIR)/$(SCRATCH)/dbt' DBT_LOG_PATH='$(CURDIR)/$(SCRATCH)/dbt' \
	  $(BIN)/dbt --quiet --warn-error parse --no-partial-parse \
	  --project-dir dbt_project --profiles-dir dbt_project

.PHONY: check-definitions
check-definitions: setup
	TELEMETRY_HOME='$(CURDIR)/$(SCRATCH)/home' $(BIN)/python -W ignore -c '$(LOAD)'
LOAD = import dagster; from telemetry_assets.definitions import definitions; \
  dagster.Definitions.validate_loadable(definitions()); print("Definitions load.")

.PHONY: check-contracts
check-contracts: setup
	$(BIN)/telemetry contracts check

.PHONY: check-aws
check-aws: setup
	$(BIN)/cfn-lint deploy/aws/template.yaml

.PHONY: lambda
lambda: setup ## Put together what the Lambda image holds; measure its size and its cold start
	@deploy/aws/assemble '$(SCRATCH)/lambda'
	@$(BIN)/python deploy/aws/cold_start.py '$(SCRATCH)/lambda'

.PHONY: bench
bench: setup ## Measure the promised figures; one of them: make bench ARGS=edge
	@$(BIN)/telemetry bench $(ARGS)

.PHONY: peers
peers: setup ## Install PySpark into .venv-peers, for `make bench ARGS=spark`; needs Java 17 or later
	@test -x .venv-peers/bin/python || $(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r benchmarks/peers/requirements.txt

SOAK_SECONDS := 3600
.PHONY: soak
soak: setup ## Load the edge for an hour; memory and commits must end as they began: make soak SOAK_SECONDS=600
	@$(BIN)/telemetry bench soak --seconds $(SOAK_SECONDS) $(ARGS)

FAULT_ROUNDS := 20
.PHONY: faults
faults: setup ## Kill edge and store at random moments under load: make faults FAULT_ROUNDS=20
	@FAULT_ROUNDS=$(FAULT_ROUNDS) $(BIN)/python -m pytest tests/faults

FUZZ_RUNS := 100000
.PHONY: fuzz
fuzz: setup ## Read bodies that no client would send: make fuzz FUZZ_RUNS=1000000
	@$(BIN)/python -m tests.fuzz --runs $(FUZZ_RUNS) $(ARGS)

.PHONY: format
format: setup ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.PHONY: lock
lock: ## Resolve the dependencies anew (needs uv); LOCK_ARGS=--upgrade takes newer versions
	uv pip compile $(LOCK) --extra dev pyproject.toml -o requirements.lock
	uv pip compile $(LOCK) --constraint requirements.lock pyproject.toml -o deploy/docker/requirements.lock
	uv pip compile $(LOCK) --constraint requirements.lock deploy/aws/requirements.in -o deploy/aws/requirements.lock
LOCK = -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $(LOCK_ARGS)

.PHONY: clean
clean: ## Remove what was installed and cached; the stack's data (.telemetry) stays
	rm -rf .venv .venv-peers .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -not -path './.telemetry/*' -prune -exec rm -rf {} +

.PHONY: screenshots
screenshots: setup ## Take the README's pictures again, from a stack with simulated data
	TELEMETRY_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q \
	  tests/integration/whole_stack/test_dagster_pages.py tests/integration/whole_stack/test_quality_report.py
