"""The sketch kernels under emulation against the CPU op and the definition: the same counts and sums in any order of the threads."""

from __future__ import annotations

import functools
import math

import pytest
import simt_library
import torch

from spectral_kernels import ops
from spectral_kernels.reference import sketch as layout

DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
HARD = (0.0, -0.0, 0.1, 0.5, 0.9, 1.0, -1.0, 10.0, 100.0, -0.25, 1e-40, 3e38, math.nan, math.inf, -math.inf)


@functools.cache
def kernels():
    return simt_library.load("sketch.cpp")


def empty(rows):
    return torch.zeros(rows, layout.COLUMNS, dtype=torch.int64), torch.zeros(rows, 4, 3, dtype=torch.int64), torch.tensor([[math.inf, -math.inf]] * rows, dtype=torch.float64)


def call(function, order, *arguments):
    k = kernels()
    k.order, k.seed = order, 1
    assert k.call(function, *(a.resolve_conj().numpy() if isinstance(a, torch.Tensor) else a for a in arguments)) == 0


def counted(values, rows, repeats, valid, suspect, log, state, order="forward"):
    single, complex_ = values.dtype.to_real() == torch.float32, values.dtype.is_complex
    G, m = values.shape[0], values.shape[-1]
    tables = ops.sketch_tables(values.dtype, log, values.device)
    call("sketch", order, complex_, log, not single, values, G, values[0, ..., 0].numel(), m, rows, repeats, valid, suspect, *tables, *state, len(state[0]))
    return state


def spread(shape, dtype, log):
    g = torch.Generator().manual_seed(0)
    real = dtype.to_real()
    values = torch.randn(shape, dtype=dtype, generator=g) * torch.exp((3 if log else 6) * torch.randn(shape, dtype=real, generator=g))
    if log and dtype.is_complex:
        values.imag.clamp_(-4, 4)
        values[..., 2].imag.fill_(math.pi)
    flat = (torch.view_as_real(values) if dtype.is_complex else values).view(-1)
    for i, x in enumerate(HARD):
        flat[3 * i :: 499] = x
    if dtype.is_complex:
        values[..., 0].imag.fill_(0)
    return values


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_counts_as_the_cpu_op_does(dtype, log):
    values = spread((3, 205, 9), dtype, log)
    rows, repeats = torch.tensor([0, 2, 2]), torch.tensor([1, 2, 3, 1, 0, 5, 1, 1, 1 << 40])
    valid, suspect = torch.rand(3, 205) > 0.2, torch.rand(values.shape) > 0.5
    theirs = empty(3)
    ops.sketch(*theirs, rows, values, valid, suspect, repeats, *ops.sketch_tables(dtype, log, values.device), log)
    for order in simt_library.ORDERS:
        ours = counted(values, rows, repeats, valid, suspect, log, empty(3), order)
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])  # under emulation the functions of both are libm's
        assert torch.equal(ours[2], theirs[2])


def test_many_chunks_and_groups():
    values = spread((2, 6000, 4), torch.float32, False)
    ones = torch.ones(4, dtype=torch.int64)
    theirs = empty(1)
    rows = torch.zeros(2, dtype=torch.int64)
    ops.sketch(*theirs, rows, values, None, None, ones, *ops.sketch_tables(values.dtype, False, values.device), False)
    ours = counted(values, rows, ones, None, None, False, empty(1), "random")
    assert all(map(torch.equal, ours, theirs))
    for _ in range(2):  # onto a state that is not empty
        ops.sketch(*theirs, rows, values, None, None, ones, *ops.sketch_tables(values.dtype, False, values.device), False)
        counted(values, rows, ones, None, None, False, ours)
    assert all(map(torch.equal, ours, theirs))
    untouched = counted(values, torch.tensor([1, -1]), ones, None, None, False, empty(1))
    assert not untouched[0].any()  # rows that the state does not have


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("order", simt_library.ORDERS)
def test_zero_order_hold_against_its_definition(order, shared):
    g = torch.Generator().manual_seed(0)
    delta = torch.exp(3 * torch.randn(2, 57, 1 if shared else 5, generator=g))
    rate = -torch.exp(2 * torch.randn(5, 7, generator=g))
    rate[1, 1], delta[0, 3, -1], delta[1, 5, 0] = 0.5, math.nan, 0.0
    valid, rows = torch.rand(2, 57, generator=g) > 0.2, torch.tensor([1, 0])
    theirs, ours = empty(2), empty(2)
    layout.zero_order_hold(*theirs, rows, delta, rate, valid, 3)
    call("zero_order_hold", order, delta, shared, rate, 2, 57, 5, 7, 3, rows, valid, *ops.sketch_tables(torch.float32, True, delta.device), *ours, 2)
    assert torch.equal(ours[0], theirs[0])
    unit = torch.tensor([2.0**64, 2.0**32, 1.0], dtype=torch.float64)
    torch.testing.assert_close((ours[1] * unit).sum(-1), (theirs[1] * unit).sum(-1), rtol=1e-13, atol=1e4)
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-15, atol=0)
