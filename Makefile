VENV ?= .venv
PY := $(VENV)/bin/python
SOURCES := $(shell find csrc -name '*.h' -o -name '*.cpp') setup.py pyproject.toml

# build: virtual environment, pinned dependencies, extensions for every instruction set (nothing to do when nothing changed)
build: $(VENV)/.built
$(VENV)/.installed: requirements-dev.txt
	test -x $(PY) || python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-dev.txt
	touch $@
$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# test: everything that needs no GPU
test: build
	$(PY) -m pytest -q

# demo: a quick benchmark on this machine, then the eigenvalues of a trained GRU while it reads English words (figure in build/demo)
demo: build
	$(PY) -m spectral_kernels bench --quick
	$(PY) demo/gru_words.py

# lint: style and types
lint: $(VENV)/.installed
	$(PY) -m ruff check .
	$(PY) -m mypy

# bench: accuracy gate, then every benchmark against its opponents; CSV, table and figure in benchmarks/results
bench: build
	$(PY) benchmarks/run.py

# clean: removes what was built
clean:
	rm -rf build dist *.egg-info spectral_kernels/*.so $(VENV)/.built

.PHONY: build demo test lint bench clean
