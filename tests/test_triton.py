"""Triton kernels without a GPU: in the interpreter against the definitions, and compiled ahead of time within a table of resources."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from triton_cases import CASES, empty, tables
from triton_harness import ARCHITECTURES, ceilings, usage

import spectral_kernels as sk
from spectral_kernels import triton as kernels
from spectral_kernels.reference import sketch as layout
from spectral_kernels.reference.diagonal import diagonal_eigvals

pytest.importorskip("triton")
DTYPES = [torch.float32, torch.float64]


def eps(dtype):
    return torch.finfo(dtype).eps


# Dispatch


def test_the_package_does_not_import_triton():
    code = "import sys, spectral_kernels; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_every_launcher_is_registered_for_cuda():
    for op in kernels.LAUNCHERS:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"spectral_kernels::{op}", "CUDA"), op
        assert callable(kernels.launcher(op)), op


def test_build_info_says_whether_triton_is_there(monkeypatch):
    kernels.available.cache_clear()
    assert kernels.version() in sk.build_info()["triton"] and (kernels.available() or "no GPU" in sk.build_info()["triton"])
    monkeypatch.setattr(kernels, "version", lambda: None)
    kernels.available.cache_clear()
    assert not kernels.available() and sk.build_info()["triton"] == "none"
    kernels.available.cache_clear()


# Resources


@pytest.mark.parametrize("architecture", [pytest.param(a, marks=[] if a == 90 else pytest.mark.slow) for a in ARCHITECTURES])
@pytest.mark.parametrize("case", CASES)
def test_resources(case, architecture):
    """Compiled at all, for one (`break`, a missing type or an intrinsic of the interpreter alone show here), and within the table."""
    allowed = ceilings()[case][str(architecture)]
    used = usage(*CASES[case](), architecture=architecture)
    assert all(u <= a for u, a in zip(used, allowed, strict=True)), f"registers, stack, local, shared {used}, allowed {allowed}"


# Diagonals


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(3, 37), (5, 1), (2, 3, 4), (1, 2500), (0, 3), (2, 0)], ids=str)
def test_diagonal(interpreted, shape, log, dtype):
    value = -3 * torch.rand(shape, dtype=dtype)
    if value.numel() and len(value) > 2:
        value[2, ..., -1], value[0, ..., 0], value[1, ..., 0] = math.nan, -math.inf, math.inf
    for given in (value, value.mT.contiguous().mT if value.dim() > 1 else value):
        found = interpreted("diagonal_eigvals", given, log)
        torch.testing.assert_close(found, diagonal_eigvals(value, log), rtol=2 * eps(dtype), atol=0, equal_nan=True)


# Sketches


def total(sums):
    return [(a * 2**32 + b) * 2**32 + c for a, b, c in sums.view(-1, 3).tolist()]


def same_sketch(found, expected, rtol=1e-13):
    """Counts alike; sums and extremes as exact as the logarithms and roots of two libraries."""
    assert torch.equal(found[0], expected[0])
    for ours, theirs in zip(total(found[1]), total(expected[1]), strict=True):
        assert ours == pytest.approx(theirs, rel=rtol, abs=2**16)
    torch.testing.assert_close(found[2], expected[2], rtol=rtol, atol=0)
    assert ((found[1][..., 1:] >= 0) & (found[1][..., 1:] < 2**32)).all()


def spread(shape, dtype, log):
    """Eigenvalues, or logarithms, over every bin, with what is special among them."""
    size = torch.randn(shape, dtype=torch.float64) * torch.exp(-20 * torch.rand(shape, dtype=torch.float64))
    angle = math.pi * (2 * torch.rand(shape, dtype=torch.float64) - 1)
    values = torch.complex(size, angle) if log else torch.polar(size.exp(), angle)
    flat = values.view(-1)
    if flat.numel() > 12:
        flat[:8] = torch.tensor([1, -1, 0, 0.5, 0.9, -10, 100, 1e-30], dtype=torch.complex128)
        flat[8], flat[9], flat[10] = math.nan, math.inf, -math.inf
    return values.to(dtype) if dtype.is_complex else values.real.to(dtype)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("log", [False, True])
def test_sketch(interpreted, dtype, log):
    torch.manual_seed(1)
    values, rows = spread((3, 41, 5, 7), dtype, log), torch.tensor([1, 0, 1])
    valid, suspect, repeats = torch.rand(3, 41, 5) > 0.2, torch.rand(values.shape) > 0.5, torch.tensor([1, 2, 0, 5, 1, 1, 3])
    alike = torch.full((7,), 2)
    for v, ok, marks, counted in ((values, valid, suspect, repeats), (values, None, None, alike), (values.transpose(1, 2), valid.mT, None, alike)):
        found, expected = empty(2), empty(2)
        interpreted("sketch", *found, rows, v, ok, marks, counted, *tables(dtype, log), log)
        layout.sketch(*expected, rows, v, ok, marks, counted, log)
        same_sketch(found, expected)


def test_sketch_of_nothing_and_what_it_refuses(interpreted):
    for shape in ((1, 0), (1, 0, 3), (0, 5, 3), (2, 3, 0)):
        state = empty(2)
        interpreted("sketch", *state, torch.arange(shape[0]), torch.zeros(shape), None, None, torch.ones(shape[-1], dtype=torch.int64), *tables(torch.float32, False), False)
        assert all(map(torch.equal, state, empty(2)))
    one, values = torch.tensor([0]), torch.zeros(1, 2, 3)
    repeats, rest = torch.ones(3, dtype=torch.int64), (*tables(torch.float32, False), False)
    with pytest.raises(RuntimeError, match="float32, float64, complex64 or complex128"):
        interpreted("sketch", *empty(), one, values.half(), None, None, repeats, *rest)
    with pytest.raises(RuntimeError, match="repeats of shape"):
        interpreted("sketch", *empty(), one, values, None, None, repeats[:2], *rest)
    with pytest.raises(RuntimeError, match="valid boolean"):
        interpreted("sketch", *empty(), one, values, torch.ones(1, 3, dtype=torch.bool), None, repeats, *rest)
