# The one front door. Every target does the set-up it needs; `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
# what scripts say counts from here
export IACORCH_BEGAN := $(shell date +%s)

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.txt requirements/uv.txt scripts/venv pyproject.toml
	@scripts/venv

.PHONY: venv
venv: $(VENV)/.ready ## Make the virtual environment from the locked requirements

.PHONY: tools tools-if-any
tools:
	@scripts/tools
tools-if-any:
	@scripts/tools --if-any

.PHONY: up
up: tools venv ## From an empty machine to an app that answers; again at any time
	@scripts/up

.PHONY: down
down: ## Remove everything that `make up` made, and only that
	@scripts/down

.PHONY: demo
demo: venv ## Tell the story on the fleet that `make up` made: scale, kill, roll out, undo, drift, mend
	@. scripts/settings && python scripts/demo

.PHONY: bench
bench: tools-if-any venv ## Measure; print one table and write .iacorch/bench.json
	@export IACORCH_CACHE_DIR="$$PWD/.iacorch/cache" PATH="$$PWD/$(BIN):$$PWD/.tools/bin:$$PATH"; python benchmarks/run.py

.PHONY: check
check: venv ## Format, lint, types, import contracts, spelling, playbooks
	@scripts/check

.PHONY: test
test: tools-if-any venv ## All tests, after all set-up
	@scripts/test

.PHONY: lock
lock: venv ## Compile the locked requirements again (with hashes, without addresses)
	@scripts/lock
