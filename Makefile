VENV ?= .venv
# TORCH_INDEX: an index that has CPU builds of torch, where the default one has only CUDA builds
TORCH_INDEX ?=
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check
SOURCES := $(shell find csrc -type f) setup.py pyproject.toml
# ninja is in the virtual environment
export PATH := $(abspath $(VENV))/bin:$(PATH)

# build: virtual environment, pinned dependencies, extensions for every instruction set (nothing to do when nothing changed)
build: $(VENV)/.built
# torch alone with its dependencies (a CUDA build brings its libraries); the rest as pinned, nothing beside the pins
$(VENV)/.installed: requirements-dev.txt
	test -x $(PY) || python3 -m venv $(VENV)
	$(PIP) install --no-compile $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --constraint requirements-dev.txt torch
	sed '/^# tests:/,$$d' requirements-dev.txt | $(PIP) install --no-compile --no-deps -r /dev/stdin
	touch $@
$(VENV)/.complete: $(VENV)/.installed
	$(PIP) install --no-deps -r requirements-dev.txt
	touch $@
$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

# only the kernels of this machine's instruction set: enough for the demo, a third of the time
$(VENV)/.native: $(VENV)/.installed $(SOURCES)
	$(MAKE) --question $(VENV)/.built || SPECTRAL_ISAS=native SPECTRAL_CUDA=0 $(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

# test: everything that needs no GPU, a worker per core
test: build $(VENV)/.complete
	$(PY) -m pytest -q -m "not gpu and not thorough" --durations=10 -n auto --dist loadfile --no-loadscope-reorder

# test-thorough: the tests that `make test` leaves out for their length, one after the other
test-thorough: build $(VENV)/.complete
	$(PY) -m pytest -q -m "thorough and not gpu" --durations=10

# test-gpu: every test on the GPU, streams, graph capture, compute-sanitizer where it is installed; fails where there is no GPU
test-gpu: build $(VENV)/.complete
	$(PY) -m pytest -q -m gpu --require-gpu

# demo: the spectra of three trained models on real input, and the page about them (build/demo/report.html)
demo: $(VENV)/.native
	$(PY) demo

# bench-gpu: the dense solvers on a GPU against all who solve the same: CSV, table and figure; fails where there is no GPU
bench-gpu: build $(VENV)/.complete
	$(PY) benchmarks/gpu.py

# lint: style and types
lint: $(VENV)/.complete
	$(PY) -m ruff check .
	$(PY) -m mypy

# bench: accuracy gate, then every benchmark against its opponents; CSV, table and figure in benchmarks/results
bench: build $(VENV)/.complete
	$(PY) benchmarks/run.py

# wheel: one wheel for Python >= 3.10 and torch >= 2.10, its CUDA kernels compiled for every architecture, into dist/
wheel: export SPECTRAL_CUDA_ARCHS = 80,90,100
wheel: build
	rm -rf build/lib build/lib.* build/bdist.*
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

# clean: removes what was built
clean:
	rm -rf build dist *.egg-info spectral_kernels/*.so $(VENV)/.built $(VENV)/.native

.PHONY: build demo test test-thorough test-gpu bench bench-gpu lint wheel clean
