# make demo and make test need Python 3.11 or newer and nothing else; they make .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
DJANGO_PROJECTS := monolith services/users services/products services/orders services/storefront

.PHONY: demo shop test check faults soak browser images compose pipeline lock openapi boards seams cluster-check clean help

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

# Compiled here, for where Python is told to write no bytecode every process would compile Django anew.
$(VENV)/ready: requirements/all.txt requirements/uv.txt shared/chassis/pyproject.toml shared/strangler/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/all.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e shared/chassis -e shared/strangler
	@touch $@

# What only the browser's tests need; the next installation of `ready` takes it away again.
$(VENV)/browser: $(VENV)/ready tests/browser/requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r tests/browser/requirements.txt
	@touch $@

demo: $(VENV)/ready ## the shop, moved under traffic, with the proof (about 3 minutes)
	@$(BIN)/strangler rehearse

shop: $(VENV)/ready ## the shop to look at and to move by hand; it stays up, and says where
	@GATEWAY_TELL_SIDES=1 RIBBON=1 $(BIN)/strangler up --detach --data sample
	@$(BIN)/strangler env --json | $(BIN)/python -c 'import json, sys; print("the shop:", json.load(sys.stdin)["addresses"]["storefront"])'
	@echo "move it: .venv/bin/strangler start users, and so on (docs/tutorial/first-move.md); stop it: .venv/bin/strangler down"

test: $(VENV)/ready ## every suite but the faults
	@$(BIN)/python -m tests.suites

faults: $(VENV)/ready ## each boundary and each process killed once, on a real stack
	@$(BIN)/python -m tests.suites faults

soak: $(VENV)/ready ## the faults in every combination, and long lists of cases to their end
	@$(BIN)/python -m tests.suites soak

browser: $(VENV)/browser ## the storefront in a real Chromium, where one is installed
	@$(BIN)/python -m tests.suites browser

images: ## the images of everything, with Docker
	@docker compose --profile rehearsal build

compose: $(VENV)/ready ## the suite in containers, with Docker (about 5 minutes)
	@$(BIN)/python -m tests.suites compose

pipeline: $(VENV)/ready ## check, test, image, scan and bump of one: make pipeline SERVICE=orders
	@$(BIN)/python -m tests.pipeline "$(SERVICE)" $(STEPS)

check: $(VENV)/ready ## lint, types, layers, migrations, schemas, copies
	@$(BIN)/python -m tests.checks

cluster-check: $(VENV)/ready ## a strict dry run on kubectl's cluster: make cluster-check FOLDERS=k8s/overlays/production
	@$(BIN)/python -m tests.manifests.cluster $(FOLDERS)

openapi: $(VENV)/ready ## writes the OpenAPI files anew
	@$(BIN)/python -m tests.checks openapi

boards: $(VENV)/ready ## copies rules and dashboards to where kustomize reads them
	@$(BIN)/python -m tests.checks boards

seams: $(VENV)/ready ## records where an app and its copy in a service are meant to differ
	@$(BIN)/python -m tests.checks seams

lock: $(VENV)/ready ## pins all requirements anew
	@$(BIN)/python -m tests.checks lock

clean: ## stops the stack and removes what was made
	@test ! -x $(BIN)/strangler || $(BIN)/strangler down --wipe --yes
	@rm -rf $(VENV) var .mypy_cache .ruff_cache .import_linter_cache
