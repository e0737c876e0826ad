# `make run` sets up and starts everything; `make test` is what CI runs. Pass options with ARGS="...".

BIN := .venv/bin
ARGS ?=

# What is imported is compiled once and not by each process: the tests start many. Some machines say otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup run test nightly check docs bench synth deploy-local lock clean
.DEFAULT_GOAL := help

help:
	@echo 'make run     set up, run the example from end to end, and stay up until Ctrl-C'
	@echo '             ARGS="--once --input FILE" feeds a log in its place and ends; see ARGS=--help'
	@echo 'make test    set up, then lint, types and every test'
	@echo 'make nightly every test with every case; it takes long'
	@echo 'make check   lint, types and the quick tests'
	@echo 'make docs    the parts of docs/ that are made from code'
	@echo 'make bench   every benchmark, with its targets'
	@echo 'make synth   the CDK templates, by app.py and by the CDK command'
	@echo 'make deploy-local'
	@echo '             the templates deployed to an AWS emulator on this machine, and the way through them;'
	@echo '             ARGS=--keep leaves it up until Ctrl-C'
	@echo 'make lock    lock the requirements anew (needs uv)'
	@echo 'make clean   remove what was built; data in .sentinel stays'

# Quick when nothing has changed: it compares the lock with the one that was installed.
setup:
	@.ci/setup

run: setup
	@$(BIN)/python -m examples.run $(ARGS)

# Types are checked beside the tests, which wait a part of their time; what is wrong with them is told at the end.
# Reading those of the AWS CDK takes longer than that, and so do the tests' own: `make check` looks at all.
TYPED := shared/sentinel clients/python/sentinel_client clients/verify/python functions
test: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p build; nice -n 10 $(BIN)/mypy $(TYPED) >build/types.log 2>&1 & types=$$!; \
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS); tests=$$?; \
	wait $$types || { cat build/types.log; exit 1; }; \
	exit $$tests

nightly: setup
	@SENTINEL_THOROUGH=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -m 'not slow' shared/sentinel/core tests/core tests/usecases $(ARGS)

docs: setup
	@PYTHONPATH=shared:clients/verify/python:. $(BIN)/python -m tests.generated

bench: setup
	@failed=; for path in benchmarks/[a-z]*.py; do \
		name=$$(basename $$path .py); \
		case $$name in report|lines|isolated|client_kills_child|ledger_kills_*|simulated_*|timeline|tasks_*|webhooks_*|delivery_*|patches_*) continue;; esac; \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name $(ARGS) || failed="$$failed $$name"; \
	done; \
	if [ -n "$$failed" ]; then echo "targets missed:$$failed"; exit 1; fi

# The command line is pinned in package-lock.json and runs on the Node of requirements.txt.
synth: export PATH := $(CURDIR)/$(BIN):$(PATH)
synth: setup
	@$(BIN)/python app.py
	@npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --silent
	@CDK_DISABLE_VERSION_CHECK=1 node_modules/.bin/cdk synth --quiet --no-lookups --app '$(BIN)/python app.py'
	@echo 'cdk.out/ has the templates'

# Nothing of it reaches AWS. The emulator is installed below build/ on the first call.
deploy-local: setup
	@$(BIN)/python -m tests.deployed.journey $(ARGS)

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make lock' requirements.in -o requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make lock' shared/pyproject.toml --extra local --extra ai requirements-dev.in \
		-o requirements-dev.txt
	uv pip compile --quiet --no-deps --universal --python-version 3.12 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' -c requirements-dev.txt layers/runtime/requirements.in \
		-o layers/runtime/requirements.txt
	uv pip compile --quiet --no-deps --universal --python-version 3.12 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' -c requirements-dev.txt layers/ai/requirements.in \
		-o layers/ai/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--custom-compile-command 'make lock' tests/deployed/requirements.in -o tests/deployed/requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make lock' .ci/requirements.in -o .ci/requirements.txt

clean:
	rm -rf .venv cdk.out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
