# The same commands for people, hooks and CI. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs schema bench chaos clean

BIN := .venv/bin
PYTEST_ARGS ?=

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## Make .venv with everything in it, mongod included; skips what is done
	@bash tools/setup.sh

demo: setup  ## Set up and run the quickstart campaign
	$(BIN)/genmat run examples/quickstart.yaml

test:  ## Set up and run the tests that take minutes at most
	@bash tools/setup.sh tests
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

check: setup  ## Lint, format, types, layers, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell $$(git ls-files --cached --others --exclude-standard)

docs: setup  ## Build the documentation into .build/docs; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict -f docs/site/mkdocs.yml

schema:  ## Write docs/campaign.schema.json from genmat.campaign
	@$(BIN)/python -c "import json; from genmat.campaign import json_schema; print(json.dumps(json_schema(), indent=2, ensure_ascii=False))" > docs/campaign.schema.json

bench: setup  ## Print the benchmarks of docs/benchmarks.md with this machine's description
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

chaos: setup  ## Run the exhaustive tests (killing, whole tables): an hour or more
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

clean:  ## Remove what setup and the tools made; results of campaigns stay
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find genmat workflows tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +
