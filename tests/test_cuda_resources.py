"""No kernel takes more registers, stack or shared memory than its committed row; thread and warp kernels have no stack and no spills."""

from __future__ import annotations

import cuda_resources
import pytest
from cuda_resources import Resources

OUTPUT = """
Fatbin elf code:
================
arch = sm_90

Resource usage:
 Common:
  GLOBAL:0
 Function _Z11thread_eigsILi4EfEvPT0_:
  REG:40 STACK:320 SHARED:0 LOCAL:8 CONSTANT[0]:536 TEXTURE:0 SURFACE:0 SAMPLER:0
 Function _Z1jPf:
  REG:10 STACK:0 SHARED:16 LOCAL:0 CONSTANT[0]:536 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def test_parser():
    assert cuda_resources.parse(OUTPUT) == {("thread_eigs<4, float>", "sm_90"): Resources(40, 328, 0), ("j", "sm_90"): Resources(10, 0, 16)}


def test_parameters_are_left_out():
    assert cuda_resources.without_parameters("void sk::k<float, (sk::Side)1>(float*, int)") == "sk::k<float, (sk::Side)1>"
    assert cuda_resources.without_parameters("sk::k(Pair<float>)") == "sk::k"


def test_complaints():
    row = {("k<WarpTeam<8>>", "sm_80"): Resources(64, 0, 0), ("k<BlockTeam>", "sm_80"): Resources(64, 16, 0)}
    assert cuda_resources.complaints(row, row) == []
    worse = {("k<WarpTeam<8>>", "sm_80"): Resources(65, 8, 0), ("k<BlockTeam>", "sm_80"): Resources(64, 24, 0), ("new", "sm_80"): Resources(1, 0, 0)}
    assert cuda_resources.complaints(worse, row) == [
        "k<BlockTeam> on sm_80: 24 stack, at most 16 by resources.csv",
        "k<WarpTeam<8>> on sm_80: a stack of 8 bytes, expected none",
        "k<WarpTeam<8>> on sm_80: 65 registers, at most 64 by resources.csv",
        "k<WarpTeam<8>> on sm_80: 8 stack, at most 0 by resources.csv",
        "new on sm_80: no row in resources.csv",
    ]


@pytest.mark.skipif(cuda_resources.extension() is None, reason="the CUDA extension is not built")
@pytest.mark.skipif(cuda_resources.binary_tool("cuobjdump") is None, reason="cuobjdump not found")
def test_no_kernel_exceeds_its_row():
    measured = cuda_resources.measure(cuda_resources.extension())
    assert measured
    complaints = cuda_resources.complaints(measured, cuda_resources.read())
    assert not complaints, "\n".join([*complaints, "if this is meant: python tests/cuda_resources.py"])


@pytest.mark.skipif(cuda_resources.extension() is None, reason="the CUDA extension is not built")
@pytest.mark.skipif(cuda_resources.binary_tool("cuobjdump") is None, reason="cuobjdump not found")
def test_table_names_only_kernels_that_exist():
    measured = set(cuda_resources.measure(cuda_resources.extension()))
    built = {arch for _, arch in measured}  # a development build is for one architecture
    assert {(kernel, arch) for kernel, arch in cuda_resources.read() if arch in built} == measured
