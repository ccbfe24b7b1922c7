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

# Install what the lock names and nothing else: no resolver, no source archive, no build in isolation. Each of these would
# ask the index for something that is in no lock, and so let a stranger's release break this one.
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes

$(VENV)/run.stamp: requirements/run.txt requirements/build.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements/run.txt -r requirements/build.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(INSTALL) -r requirements/dev.txt
	touch $@

.PHONY: run
run: $(VENV)/run.stamp ## Serve standalone with the example policy
	@echo "In a second terminal: examples/try.sh"
	$(BIN)/userquota serve --standalone --policy examples/policy.yaml --listen $(LISTEN) --ca-out examples/ca.crt --drain 0

.PHONY: test
test: $(VENV)/dev.stamp ## Run all tests, against a real control plane that is built the first time
	@$(MAKE) --no-print-directory --jobs=3 --keep-going tests-in-turn waiting-tests other-tests

# Of the tests with control planes one half runs after the other: both at once are more than two slow cores answer within
# the time-outs of API servers. What waits for minutes runs beside them, and so does what has no time-out, which gets
# what they leave. The output of those two appears when they have ended.
.PHONY: tests-in-turn
tests-in-turn: $(VENV)/dev.stamp
	@code=0; for each in cluster-tests own-cluster-tests; do $(MAKE) --no-print-directory $$each || code=1; done; exit $$code

.PHONY: cluster-tests
cluster-tests: $(VENV)/dev.stamp ## Run the tests in tests/cluster, which share a control plane
	$(BIN)/python -m pytest tests/cluster

.PHONY: own-cluster-tests
own-cluster-tests: $(VENV)/dev.stamp ## Run all other tests with control planes, and those in Go
	$(BIN)/python -m pytest -m "(cluster or go) and not own_clusters" --ignore=tests/cluster

.PHONY: waiting-tests
waiting-tests: $(VENV)/dev.stamp ## Run the tests that wait for minutes on clusters of their own
	$(call shown_at_the_end,-m own_clusters)

.PHONY: other-tests
other-tests: $(VENV)/dev.stamp ## Run all other tests
	$(call shown_at_the_end,-m "not (cluster or go or own_clusters)",nice -n 10)

shown_at_the_end = @output=$$($(2) $(BIN)/python -m pytest $(1) 2>&1); code=$$?; echo "$$output"; exit $$code

.PHONY: debian-tests
debian-tests: $(VENV)/dev.stamp ## Run the tests that need programs of Debian's packages, see CONTRIBUTING.md
	$(BIN)/python -m pytest -m debian

.PHONY: chart-tests
chart-tests: $(VENV)/dev.stamp ## Run the tests of the Helm chart: builds helm once, for some minutes
	$(BIN)/python -m pytest -m chart

MINORS ?=

.PHONY: matrix
matrix: $(VENV)/dev.stamp ## Run what depends on Kubernetes against each minor in support; print a table: MINORS="1.36 1.35"
	$(BIN)/python -m tests.matrix $(MINORS)

.PHONY: quick
quick: $(VENV)/dev.stamp ## Run the tests that need no cluster, no Go and no patience: two to three minutes
	$(BIN)/python -m pytest -q -m "not cluster and not go and not slow" --hypothesis-profile quick

.PHONY: check
check: $(VENV)/dev.stamp ## Lint, types, import rules, unused and vulnerable dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements/run.txt

platforms = $(foreach tag,manylinux2014 manylinux_2_17 manylinux_2_28 manylinux_2_34,--platform $(tag)_$(1))

.PHONY: check-lock
check-lock: $(VENV)/dev.stamp ## Install in a new environment, with nothing to be had but what the lock names; both architectures
	new=$$(mktemp -d) && trap 'rm -rf "$$new"' EXIT && \
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
	  --dest "$$new/locked" -r requirements/run.txt -r requirements/build.txt -r requirements/dev.txt && \
	for machine in x86_64 aarch64; do \
	  $(BIN)/pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
	    --dest "$$new/$$machine" --python-version 3.12 --implementation cp $(call platforms,$$machine) \
	    -r requirements/run.txt || exit 1; done && \
	PIP_NO_INDEX=1 PIP_FIND_LINKS="$$new/locked" $(MAKE) --no-print-directory VENV="$$new/venv" "$$new/venv/dev.stamp" && \
	"$$new/venv/bin/pip" --disable-pip-version-check check && "$$new/venv/bin/userquota" --help >/dev/null

.PHONY: bench
bench: $(VENV)/dev.stamp ## Compare with a controller-runtime webhook, ways to serve, and 10 000 commitments with none
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.ways
	$(BIN)/python -m benchmarks.commitments

.PHONY: bench-contention
bench-contention: $(VENV)/dev.stamp ## Compare many creates at once with ResourceQuota and other webhooks
	$(BIN)/python -m benchmarks.contention

.PHONY: bench-policy
bench-policy: $(VENV)/dev.stamp ## Read a policy of 1 MiB, and judge an edit of it: time, and pauses of the event loop
	$(BIN)/python -m benchmarks.policy_text
	$(BIN)/python -m benchmarks.policy_edit

.PHONY: bench-restart
bench-restart: $(VENV)/dev.stamp ## Restart a replica beside 20 000 pods: time to ready, and memory
	$(BIN)/python -m benchmarks.restart

.PHONY: bench-siege
bench-siege: $(VENV)/dev.stamp ## Ask five times as fast as a replica answers, with idle connections and 3 MiB objects
	$(BIN)/python -m benchmarks.siege
	$(BIN)/python -m benchmarks.large

.PHONY: soak
soak: MINUTES = 120
soak: $(VENV)/dev.stamp ## See whether memory, files and threads of a replica stay flat under load and faults: MINUTES=n
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

.PHONY: bench-scrape
bench-scrape: $(VENV)/dev.stamp ## Render the metrics beside a million people: size and time of a scrape
	$(BIN)/python -m benchmarks.scrape

.PHONY: bench-image
bench-image: $(VENV)/dev.stamp ## Build the image with buildah; print its size and its time to ready beside this machine's
	layout=$$(mktemp -d) && trap 'rm -rf "$$layout"' EXIT && BUILDER=buildah OUTPUT="$$layout/image" image/build.sh && \
	$(BIN)/python -m benchmarks.image "$$layout/image"

.PHONY: model
model: $(VENV)/dev.stamp ## Explore every state of the models of the ledger's protocol and of grants: about 130 million, in minutes
	cd tests/model && go="$$(../../$(BIN)/python -c 'import os; from localcluster.toolchain import find_go; print(find_go((1, 22, 0), environ=os.environ))')" && \
	"$$go" run . -full && "$$go" run ./grants -full

MINUTES ?= 30
SEED ?= 1

.PHONY: nemesis
nemesis: $(VENV)/dev.stamp ## Break everything for MINUTES=n, then judge every etcd revision: SEED=s GRANTS=off
	$(BIN)/python -m nemesis --minutes $(MINUTES) --seed $(SEED) $(if $(OLDER),--older $(OLDER)) \
		$(if $(filter off,$(GRANTS)),--no-grants)

.PHONY: rehearsal
rehearsal: $(VENV)/dev.stamp ## Install under load in a cluster with 300 workloads, and hand 200 objects over: minutes
	$(BIN)/python -m rehearsal

FROM ?= HEAD~1

.PHONY: chart-rehearsal
chart-rehearsal: $(VENV)/dev.stamp ## Install the chart FROM=revision, upgrade to HEAD, go back, remove it, under load: takes root
	$(BIN)/python -m rehearsal.chart --rotate --from $(FROM)

$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/dev.stamp
	$(INSTALL) -r requirements/fuzz.txt
	touch $@

TARGET ?= review
RUNS ?= 1000000

.PHONY: fuzz
fuzz: $(VENV)/fuzz.stamp ## Give a reader of what others write very many inputs: TARGET=t RUNS=n SEED=s
	$(BIN)/python -m fuzz run $(TARGET) --runs $(RUNS) --seed $(SEED)

LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q

.PHONY: lock
lock: $(VENV)/dev.stamp ## Pin dependencies anew, the same version of each in every file
	$(LOCK) pyproject.toml --extra fast $(foreach group,build local test check lock release controlplane,--group $(group)) -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra fast -c requirements/dev.txt -o requirements/run.txt
	$(LOCK) --group build --group local -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt

.PHONY: update-controlplane
update-controlplane: ## Pin the versions of Kubernetes that stand in localcluster/go/versions
	localcluster/go/update.sh

.PHONY: image
image: ## Build the image with docker, podman or buildah: TAG=, BASE=, OUTPUT=folder for an OCI layout
	@image/build.sh

# The order and the absence of times and random numbers make it the same each time.
.PHONY: sbom
sbom: $(VENV)/dev.stamp ## Print what the image contains of Python packages, with hashes, as CycloneDX
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --output-reproducible --spec-version 1.6 \
	  --pyproject pyproject.toml requirements/run.txt

.PHONY: kind
kind: ## With Docker or Podman: a kind cluster with userquota in it, and a refused pod
	@image/kind.sh up

.PHONY: kind-test
kind-test: $(VENV)/dev.stamp ## Run the end-to-end tests that any cluster can run against the kind cluster
	@PYTHON=$(BIN)/python image/kind.sh test

.PHONY: kind-down
kind-down: ## Delete the kind cluster
	@image/kind.sh down

.PHONY: clean
clean: ## Remove what was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis fuzz-out
