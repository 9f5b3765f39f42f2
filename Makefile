# Every target first makes .venv from uv.lock (scripts/bootstrap), also on a bare machine.
# ARGS goes to the program behind a target: make test ARGS="tests/hub -k cursor"
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
CODE := events runtime collector hub operator cli client tests scripts
ARGS ?=
E2E ?= tests/e2e
AUDIT_LOG ?=
export AUDIT_LOG
# Tests start hundreds of processes: what each imports is to be compiled once.
export PYTHONDONTWRITEBYTECODE :=

# Where `make test` has its files, PostgreSQL's too: in memory if there is room. On a disk each commit
# waits, and each database that is copied costs four times as much.
ROOMY = $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4194304 { print "TMPDIR=/dev/shm" }')

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: bootstrap ## Start hub and collector on a replayed audit log (AUDIT_LOG=/path follows a real one)
	@$(BIN)/python scripts/demo/run.py $(if $(AUDIT_LOG),--audit-log "$$AUDIT_LOG") $(ARGS)

test: bootstrap ## Run the tests (unit, property, contract; SQLite and a PostgreSQL of its own)
	@$(ROOMY) $(BIN)/pytest -n 3 $(ARGS)

check: format-check lint imports types test ## Run every check, the tests too

format-check: bootstrap ## Say which files `make format` would change
	@$(BIN)/ruff format --check $(CODE)

lint: bootstrap ## Lint
	@$(BIN)/ruff check $(CODE)

imports: bootstrap ## Check who imports whom
	@$(BIN)/lint-imports

types: bootstrap ## Check the types
	@$(BIN)/mypy $(CODE)

e2e: bootstrap ## Test gateway, operator and chart on a real Kubernetes, which it starts and ends (docs/cluster.md)
	@$(BIN)/pytest $(E2E) -n0 $(ARGS)

smoke: bootstrap ## Test the gateway on a cluster that runs already, of any provider (docs/cluster.md)
	@$(BIN)/python -m tests.e2e.smoke $(ARGS)

torture: bootstrap ## Kill, fill and flood the parts (at most 15 minutes)
	@$(BIN)/pytest tests/torture --timeout 900 --durations 15 $(ARGS)

bench: bootstrap ## Measure, as ratios within one run
	@$(BIN)/python -m tests.bench $(ARGS)

images: bootstrap ## Build the images as OCI archives, without Docker (docs/releasing.md)
	@$(BIN)/python -m scripts.images $(ARGS)

pages: bootstrap ## Walk the pages in Debian's Chromium (docs/pages.md)
	@$(BIN)/pytest tests/pages -n0 --timeout 300 $(ARGS)

screenshots: bootstrap ## Photograph every page into build/screenshots
	@$(BIN)/python -m tests.pages.photographs $(ARGS)

cluster-up: bootstrap ## Start a Kubernetes to test against (the first time builds it: docs/cluster.md)
	@$(BIN)/python -m tests.cluster up $(ARGS)

cluster-down: bootstrap ## End it
	@$(BIN)/python -m tests.cluster down $(ARGS)

cluster-status: bootstrap ## Say what is built and what runs
	@$(BIN)/python -m tests.cluster status $(ARGS)

release-login: ## Log in to the registry with GITHUB_TOKEN (docs/releasing.md)
	@printf '%s' "$$GITHUB_TOKEN" | docker login ghcr.io --username "$$GITHUB_ACTOR" --password-stdin

release-check: bootstrap ## Refuse a version that is published already
	@$(BIN)/python -m scripts.images.release check

release-images: bootstrap ## Build and push the images, for amd64 and arm64
	@$(BIN)/python -m scripts.images.release images

release-chart: bootstrap ## Package and push the chart
	@$(BIN)/python -m scripts.images.release chart

release-sbom: bootstrap ## Attest what is in the images
	@$(BIN)/python -m scripts.images.release sbom

release-sign: bootstrap ## Sign images and chart, without a key
	@$(BIN)/python -m scripts.images.release sign

release-provenance: bootstrap ## Attest where the chart comes from
	@$(BIN)/python -m scripts.images.release provenance

docs: bootstrap ## Write the generated pages of docs/
	@$(BIN)/python scripts/settings_docs.py
	@$(BIN)/python scripts/values_docs.py
	@$(BIN)/python scripts/metrics_docs.py

format: bootstrap ## Format the code and mend what lint can mend
	@$(BIN)/ruff check --fix-only $(CODE)
	@$(BIN)/ruff format $(CODE)

clean: ## Remove what the targets made; data/ (the log of make run) stays
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

bootstrap:
	@scripts/bootstrap

.PHONY: help run test check format-check lint imports types e2e smoke torture bench pages screenshots images cluster-up cluster-down cluster-status docs format clean bootstrap \
	release-login release-check release-images release-chart release-sbom release-sign release-provenance
