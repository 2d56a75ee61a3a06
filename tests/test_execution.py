"""The README's table of what was executed how is the one that the sources give, and no kernel is without a test that runs it."""

from __future__ import annotations

import execution
import pytest

CUDA = execution.cuda_kernels()


def test_readme_has_this_table():
    readme = (execution.ROOT / "README.md").read_text()
    assert execution.replace_block(readme, execution.table(), execution.MARKS) == readme, "python tests/execution.py --readme README.md"


@pytest.mark.parametrize("kernel", CUDA, ids=lambda k: k.name)
def test_every_cuda_kernel_runs_under_emulation(kernel):
    assert execution.emulated_by(kernel)


@pytest.mark.parametrize("kernel", execution.triton_kernels(), ids=lambda k: k.name)
def test_every_triton_kernel_runs_under_the_interpreter(kernel):
    assert execution.interpreted_by(kernel)


def test_records_name_kernels_that_exist():
    names = {kernel.name for kernel in [*CUDA, *execution.triton_kernels()]}
    for file in ("ptx_runs.csv", "gpu_runs.csv"):
        assert set(execution.records(file)) <= names
    for runs in execution.records("ptx_runs.csv").values():
        assert all(0 < int(run["blocks_run"]) <= int(run["blocks"]) for run in runs)


def test_kernels_are_found_in_their_sources(tmp_path, monkeypatch):
    (tmp_path / "csrc" / "cuda").mkdir(parents=True)
    (tmp_path / "csrc" / "core").mkdir()
    (tmp_path / "tests" / "cuda").mkdir(parents=True)
    (tmp_path / "csrc" / "core" / "a.h").write_text("// __global__ void no(int)\n")
    (tmp_path / "csrc" / "cuda" / "k.cuh").write_text('#include "../core/a.h"\ntemplate <int N>\n__global__ void __launch_bounds__(64, 4) k_kernel(int n) {}\n')
    (tmp_path / "tests" / "cuda" / "k.cpp").write_text('#include "cuda/k.cuh"\n')
    (tmp_path / "tests" / "cuda_k.py").write_text('load("k.cpp")\n')
    (tmp_path / "tests" / "test_k.py").write_text("import cuda_k\n")
    (tmp_path / "tests" / "test_other.py").write_text("import numpy\n")
    monkeypatch.setattr(execution, "ROOT", tmp_path)
    monkeypatch.setattr(execution, "TESTS", tmp_path / "tests")
    (kernel,) = execution.cuda_kernels()
    assert kernel == execution.Kernel("k_kernel", "csrc/cuda/k.cuh")
    assert execution.emulated_by(kernel) == ["test_k"]
