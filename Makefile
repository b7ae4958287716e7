# make demo    install, fetch the model, watch a day and a night      make test   the whole test suite
# make setup   only install                                      make lint   style, types, import contract

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup demo test lint weights clean

setup: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Night School needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

weights: setup
	@$(BIN)/nightschool model pull qwen2.5-coder-0.5b-instruct
	@$(BIN)/nightschool model pull all-minilm-l6-v2

demo: weights
	@$(BIN)/nightschool demo --night

test: weights
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv
