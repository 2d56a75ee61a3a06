"""What every test gets: outputs that start as NaN, and a device that is there."""

from __future__ import annotations

import os

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile("repository", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("repository")

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker per core: LAPACK's own threads would wait for each other
    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--require-gpu", action="store_true", help="fail at once where there is no CUDA device, instead of skipping the gpu tests")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--require-gpu") and not torch.cuda.is_available():
        raise pytest.UsageError(f"no CUDA device: torch {torch.__version__} sees none, so nothing marked gpu can run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    long = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in long)  # files with slow tests first: at the end of a parallel run no worker waits for one of them
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def poisoned_allocations(monkeypatch):
    """``torch.empty`` and ``new_empty``, the op's own included, give NaN and INT_MAX: an element that is never written shows."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch._C._set_deterministic_algorithms(True, warn_only=True)  # the public function imports inductor: seconds
    yield
    torch._C._set_deterministic_algorithms(False)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="session")
def interpreted(tmp_path_factory):
    """`triton_harness.Interpreter`: runs the launcher of an op on CPU tensors."""
    pytest.importorskip("triton")
    from triton_harness import Interpreter

    interpreter = Interpreter(str(tmp_path_factory.mktemp("triton")))
    yield interpreter
    interpreter.close()
