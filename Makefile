# The commands to remember. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PORT ?= 8000
HOST ?= 127.0.0.1
BIN := .venv/bin
# Two at once: each has its own database, Redis and folders. Each begins with its half, so that what
# the tests of one file share is made once, and takes from the other's when it is done.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: venv-server ## Run the example from definition to answer, then keep serving (PORT=8000)
	@$(BIN)/python -m examples.demo --port $(PORT)

demo-check: venv-server ## The same, then end: exit 0, or the reason
	@$(BIN)/python -m examples.demo --port $(PORT) --check

serve: venv-server ## Run the server on this machine (PORT=8000 HOST=127.0.0.1)
	@$(BIN)/python manage.py serve --host $(HOST) --port $(PORT)

test: lint chromium feast ## Everything: lint, types, layers, tests on SQLite and on PostgreSQL
	@echo "== tests on SQLite"
	@env -u DATABASE_URL $(PYTEST) $(ARGS)
	@echo "== tests on PostgreSQL: what may differ there"
	@$(BIN)/python -m scripts.with_postgres $(PYTEST) $(ARGS)

test-sqlite: venv-dev feast ## The tests on SQLite alone (ARGS="tests/registry -x")
	@env -u DATABASE_URL $(PYTEST) $(ARGS)

lint: venv-dev ## Format check, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-cache

format: venv-dev ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: venv-dev ## Random schedules of runs, late rows, crashes and reloads for MINUTES=10; prints the steps of one that fails
	@SOAK_MINUTES=$(or $(MINUTES),10) $(BIN)/python -m pytest -q -x tests/materialization/soak $(ARGS)

bench: venv-dev ## Run the benchmarks at a small size (benchmarks/RESULTS.md has the larger ones)
	@for script in online push point_in_time materialization aggregation windows; do $(BIN)/python -m benchmarks.$$script $(ARGS) || exit 1; done

snapshots: venv-dev ## Record the OpenAPI snapshot again; look at its diff
	@UPDATE_SNAPSHOTS=1 $(PYTEST) tests/test_project.py -q

lock: venv-dev ## Compile requirements/*.txt again, upgrading (ARGS="--upgrade-package redis" for one)
	@scripts/lock $(ARGS)

clean: ## Remove what was built, installed and stored here: .venv, var, caches
	rm -rf .venv var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

venv-server:
	@scripts/venv server

venv-dev:
	@scripts/venv dev

chromium:
	@scripts/ensure_chromium

feast: venv-dev
	@scripts/ensure_feast

.PHONY: help demo demo-check serve test test-sqlite lint format soak bench snapshots lock clean venv-server venv-dev chromium feast
