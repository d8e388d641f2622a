# The common jobs of development, one command each.
.DEFAULT_GOAL := help
.PHONY: help setup test test-all check docs bench

# The active virtual environment, or .venv, or the system's Python.
PYTHON := $(if $(VIRTUAL_ENV),python,$(if $(wildcard .venv/bin/python),.venv/bin/python,python3))

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: ## Create .venv with the package and every extra, and install the git hooks
	python3 -m venv .venv
	.venv/bin/pip install -q -c constraints.txt -e ".[all,dev]"
	.venv/bin/pre-commit install
	@echo "next: source .venv/bin/activate && make test"

test: ## Run the fast tests (about 6 minutes on two cores)
	$(PYTHON) -m pytest

test-all: ## Run every test, including the slow ones
	$(PYTHON) -m pytest --slow

check: ## Check lint, format, types, layers and repeated code; changes no file
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q tests/test_layers.py
	$(PYTHON) .ci/repeated_code.py

docs: ## Write the API reference to site/, and examples/cli.md from the commands' help
	$(PYTHON) .ci/api_docs.py
	$(PYTHON) .ci/cli_page.py

bench: ## Measure speed beside other libraries, into eval/results/ (needs SIMCSE_KIT_DATA and an idle machine)
	$(PYTHON) eval/speed_encode.py
	$(PYTHON) eval/speed_train.py
	$(PYTHON) eval/search.py
	$(PYTHON) eval/tables.py
