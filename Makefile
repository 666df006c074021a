# `make demo` and `make test` need nothing but Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo-run

.PHONY: demo test cli check format lint types slow faults bench clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "s2s needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

## demo: vocabulary, training, evaluation and translation on the embedded phrasebook
demo: .venv/installed
	rm -rf $(DEMO)
	mkdir $(DEMO)
	cd $(DEMO) && ../$(BIN)/s2s vocab build
	cd $(DEMO) && ../$(BIN)/s2s train
	cd $(DEMO) && ../$(BIN)/s2s eval
	cd $(DEMO) && echo '我喜欢学习机器学习。' | ../$(BIN)/s2s translate

## test: all tests except the slow ones
test: .venv/installed
	$(BIN)/pytest -m "not slow" --numprocesses 2 --dist loadfile

## cli: the tests of the command line alone
cli: .venv/installed
	$(BIN)/pytest -m "not slow" --numprocesses 2 --dist loadfile tests/test_cli*.py

## check: what CI runs
check: format lint types test

format: .venv/installed
	$(BIN)/ruff format --check .

lint: .venv/installed
	$(BIN)/ruff check .

types: .venv/installed
	$(BIN)/mypy

## slow: the tests that take minutes
slow: .venv/installed
	$(BIN)/pytest -m slow

## faults: all trials of the fault matrix, and a table of them (20 minutes)
faults: .venv/installed
	S2S_FAULTS=all $(BIN)/pytest -m fault --numprocesses 2 --dist worksteal --timeout 3000

## bench: s2s and other toolkits on Multi30k: make bench DATA=path/to/multi30k
## (takes hours, and continues after an interruption; options in BENCH, such as BENCH=--quick)
bench: .venv/installed
	$(BIN)/python -m benchmarks run $(if $(DATA),--data-dir '$(DATA)') $(BENCH)

clean:
	rm -rf $(DEMO)
