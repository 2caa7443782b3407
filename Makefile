# Each target is one visible command; `make demo` and `make test` set up everything they need by themselves.

PYTHON ?= python3
BIN := .venv/bin
TESTS ?=  # of test-oldest and test-next: all, or the paths that are named
NEXT ?= tensorflow keras # of test-next: the packages of which it installs pre-releases

.PHONY: demo test test-all lint notebooks test-oldest test-next bench clean

demo: .venv/user
	$(BIN)/python -m examples demo --out demo

test: .venv/contributor lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not nightly"

test-all: .venv/contributor lint
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv/contributor
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

notebooks: .venv/contributor
	$(BIN)/python -m tools.notebooks

test-oldest: .venv-oldest/contributor
	.venv-oldest/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not nightly" $(TESTS)

test-next:
	test -x .venv-next/bin/python || $(PYTHON) -m venv .venv-next
	.venv-next/bin/python -m pip install --quiet -r requirements-dev.txt
	.venv-next/bin/python -m pip install --quiet --upgrade --pre $(NEXT)
	.venv-next/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile -m "not nightly" $(TESTS)

bench: .venv/user
	$(BIN)/python -m benchmarks

.venv/user: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/contributor: .venv/user requirements-serve.txt requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv-oldest/contributor: requirements.txt requirements-serve.txt requirements-dev.txt requirements-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -r requirements-dev.txt -c requirements-oldest.txt
	touch $@

clean:
	rm -rf .venv .venv-oldest .venv-next demo
