# `make` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LISTEN ?= 127.0.0.1:8443

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "%-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

.PHONY: run
run: $(VENV)/run.stamp ## Serve standalone with the example policy
	@echo "In a second terminal: examples/try.sh"
	$(BIN)/userquota serve --standalone --policy examples/policy.yaml --listen $(LISTEN) --ca-out examples/ca.crt --drain 0

.PHONY: test
test: $(VENV)/dev.stamp ## Run all tests, against a real control plane that is built the first time
	$(BIN)/python -m pytest

.PHONY: check
check: $(VENV)/dev.stamp ## Lint, types, import rules, unused and vulnerable dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements/run.txt

.PHONY: bench
bench: $(VENV)/dev.stamp ## Compare with a controller-runtime webhook; prints one table
	$(BIN)/python -m benchmarks

.PHONY: bench-contention
bench-contention: $(VENV)/dev.stamp ## Compare many creates at once with ResourceQuota and other webhooks
	$(BIN)/python -m benchmarks.contention

.PHONY: bench-restart
bench-restart: $(VENV)/dev.stamp ## Restart a replica beside 20 000 pods: time to ready, and memory
	$(BIN)/python -m benchmarks.restart

.PHONY: model
model: $(VENV)/dev.stamp ## Explore every state of the model of the ledger's protocol: about 45 million, in minutes
	cd tests/model && "$$(../../$(BIN)/python -c 'import os; from webhook.localcluster.toolchain import find_go; print(find_go((1, 22, 0), environ=os.environ))')" run . -full

MINUTES ?= 30
SEED ?= 1

.PHONY: nemesis
nemesis: $(VENV)/dev.stamp ## Break everything for MINUTES=n, then judge every etcd revision: SEED=s
	$(BIN)/python -m nemesis --minutes $(MINUTES) --seed $(SEED)

.PHONY: lock
lock: $(VENV)/dev.stamp ## Pin dependencies anew
	$(BIN)/uv pip compile pyproject.toml --extra fast --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/run.txt
	$(BIN)/uv pip compile pyproject.toml --extra fast --group test --group check --group controlplane --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/dev.txt

.PHONY: update-controlplane
update-controlplane: ## Pin another version of the local control plane: KUBERNETES=v1.37.2
	webhook/localcluster/go/update.sh $(KUBERNETES)

.PHONY: clean
clean: ## Remove what was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
