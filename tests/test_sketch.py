"""The sinks: the kernels against the definition, the definition against numpy, edges, independence of threads, memory."""

from __future__ import annotations

import importlib
import itertools
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

from spectral_kernels import ops
from spectral_kernels.reference import sketch as layout

sinks = importlib.import_module("spectral_kernels.ops.sketch")  # the op of this name hides the module
DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)
HARD = (0.0, -0.0, 0.1, 0.5, 0.9, 1.0, -1.0, 10.0, 100.0, -0.25, 1e-40, 3e38, math.nan, math.inf, -math.inf)


def empty(rows=1):
    return (
        torch.zeros(rows, layout.COLUMNS, dtype=torch.int64),
        torch.zeros(rows, 4, 3, dtype=torch.int64),
        torch.tensor([[math.inf, -math.inf]] * rows, dtype=torch.float64),
    )


def kernel(state, rows, values, valid=None, suspect=None, repeats=None, log=False):
    repeats = torch.ones(values.shape[-1], dtype=torch.int64) if repeats is None else repeats
    ops.sketch(*state, rows, values, valid, suspect, repeats, *ops.sketch_tables(values.dtype, log, values.device), log)
    return state


def definition(state, rows, values, valid=None, suspect=None, repeats=None, log=False):
    repeats = torch.ones(values.shape[-1], dtype=torch.int64) if repeats is None else repeats
    layout.sketch(*state, rows, values, valid, suspect, repeats, log)
    return state


def hold(state, rows, delta, rate, valid=None, repeat=1, of=ops.sketch_zero_order_hold):
    tables = ops.sketch_tables(delta.dtype, True, delta.device) if of is ops.sketch_zero_order_hold else ()
    of(*state, rows, delta, rate, valid, repeat, *tables)
    return state


def total(sums):
    return (sums * torch.tensor([2.0**64, 2.0**32, 1.0], dtype=torch.float64)).sum(-1) / layout.UNIT


def bins_of(counts):
    starts = layout.radius_starts()
    return [int(counts[a:b].sum()) for a, b in itertools.pairwise(starts)]


def spread(shape, dtype, log, seed=0):
    """Values over many octaves on both sides of 1, all kinds of phase, and special ones."""
    g = torch.Generator().manual_seed(seed)
    real = dtype.to_real()
    values = torch.randn(shape, dtype=dtype, generator=g)
    if log:
        values = values * torch.exp(3 * torch.randn(shape, dtype=real, generator=g))
        if dtype.is_complex:
            values.imag.clamp_(-4, 4)
    else:
        values = values * torch.exp(6 * torch.randn(shape, dtype=real, generator=g))
    flat = (torch.view_as_real(values) if dtype.is_complex else values).view(-1)
    for i, x in enumerate(HARD):
        flat[3 * i :: 499] = x
    if dtype.is_complex:
        values[..., 0].imag.fill_(0)
        values[..., 1].imag.fill_(-0.0)
        if log:
            values[..., 2].imag.fill_(math.pi)
    return values


@pytest.mark.isa
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_kernel_counts_as_the_definition_does(dtype, log):
    values = spread((3, 5, 41, 9), dtype, log)
    rows = torch.tensor([0, 2, 2])
    valid, suspect = torch.rand(3, 5, 41) > 0.2, torch.rand(values.shape) > 0.5
    repeats = torch.tensor([1, 2, 3, 1, 0, 5, 1, 1, 7])
    ours = kernel(empty(3), rows, values, valid, suspect, repeats, log)
    theirs = definition(empty(3), rows, values, valid, suspect, repeats, log)
    assert torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-15, atol=0)  # exp, log and sqrt of libm and of torch differ by an ulp
    torch.testing.assert_close(total(ours[1]), total(theirs[1]), rtol=1e-13, atol=1e-9)
    if not log:
        assert torch.equal(ours[1][:, 3], theirs[1][:, 3])  # |lambda|^2 needs no function of a library: the same bits
    assert not ours[0][1].any() and ours[2][1].tolist() == [math.inf, -math.inf]


@pytest.mark.isa
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_strides_do_not_matter(dtype):
    values = spread((4, 6, 5, 3), dtype, False)
    rows = torch.arange(4)
    whole = kernel(empty(4), rows, values)
    for view in (values.permute(0, 2, 1, 3), values.mT.contiguous().mT, values.flip(1), values.repeat(1, 1, 1, 2)[..., ::2][..., [0, 2, 1]]):
        again = kernel(empty(4), rows, view)
        assert all(map(torch.equal, again, whole)) or view.shape != values.shape
    assert torch.equal(kernel(empty(4), rows, values.permute(0, 2, 1, 3))[1], whole[1])
    expanded = kernel(empty(1), rows[:1], values[:1, :1].expand(1, 7, 5, 3))
    seven = empty(1)
    for _ in range(7):
        kernel(seven, rows[:1], values[:1, :1])
    assert all(map(torch.equal, expanded, seven))


@pytest.mark.isa
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_edges_of_the_papers_bins_belong_to_the_bin_above(dtype):
    real = dtype.to_real()
    edges = torch.tensor(layout.RADII, dtype=real)
    below = torch.nextafter(edges, torch.zeros_like(edges))
    for sign in (1, -1):
        at = kernel(empty(), torch.tensor([0]), (sign * edges.to(dtype))[None, None])[0][0]
        under = kernel(empty(), torch.tensor([0]), (sign * below.to(dtype))[None, None])[0][0]
        assert bins_of(at) == [0, 1, 1, 1, 1, 1, 1]
        assert bins_of(under) == [1, 1, 1, 1, 1, 1, 0]
        assert at[layout.ONE] == 1 and under[layout.ONE] == 0
    logs = torch.tensor([float(mpmath.log(mpmath.mpf(r))) for r in layout.RADII], dtype=real)
    at = kernel(empty(), torch.tensor([0]), logs.to(dtype)[None, None], log=True)[0][0]
    under = kernel(empty(), torch.tensor([0]), torch.nextafter(logs, logs - 1).to(dtype)[None, None], log=True)[0][0]
    assert bins_of(at) == [0, 1, 1, 1, 1, 1, 1] and bins_of(under) == [1, 1, 1, 1, 1, 1, 0]


@pytest.mark.isa
def test_phases_at_their_edges():
    w = torch.tensor([1, 1j, 1 + 1j, 1 - 1j, -1, -1j, 2 + 0.001j, 0, -0.5 + 0.5j], dtype=torch.complex128)
    counts = kernel(empty(), torch.tensor([0]), w[None, None])[0][0]
    assert counts[layout.PHASE_AT : layout.PLANE_AT].tolist() == [3, 0, 0, 2, 4]
    plane = counts[layout.PLANE_AT : layout.TALLY_AT].view(layout.RINGS, layout.SECTORS).sum(0)
    assert {s: int(plane[s]) for s in plane.nonzero().flatten().tolist()} == {0: 3, 9: 1, 18: 1, 27: 1, 36: 1, 54: 1, 63: 1}
    assert counts[layout.TALLY_AT :].tolist() == [3, 1, 0, 0]


def test_the_fine_edges_are_those_of_the_real_numbers():
    mpmath.mp.prec = 200
    for dtype in (torch.float32, torch.float64):
        edges, logs = layout.edges(dtype, False), layout.log_edges()
        for i in [*range(1, layout.BINS - 1, 97), layout.ONE - 2, layout.ONE + 2]:
            log = logs[i + 1].item()
            if log in (-math.inf, 0.0) or any(abs(log - math.log(r)) < 1e-12 for r in layout.RADII):
                continue
            edge, true = edges[i], mpmath.exp(mpmath.mpf(log))
            assert mpmath.mpf(edge.item()) >= true > mpmath.mpf(torch.nextafter(edge, torch.zeros_like(edge)).item()), (i, log)


def test_the_definition_against_numpy_on_raw_values():
    values = spread((1, 300, 7), torch.complex128, False)
    state = definition(empty(), torch.tensor([0]), values)
    w = values.numpy().ravel()
    w = w[np.isfinite(w)]
    assert len(w) + int(state[0][0, layout.TALLY_AT + 3]) == values.numel()
    size = np.abs(w)
    assert bins_of(state[0][0]) == np.histogram(size, [0, *layout.RADII, np.inf])[0].tolist()
    phase = np.abs(np.angle(w, deg=True)) * (w != 0)
    phase[(phase == 90) & (w.real > 0)] = 89  # 1e-40 + 1j: numpy rounds its angle to 90 degrees
    assert state[0][0, layout.PHASE_AT : layout.PLANE_AT].tolist() == np.histogram(phase, [0, *layout.PHASES, 180])[0].tolist()
    held = np.minimum(size, layout.MODULUS_LIMIT)
    logs = np.clip(np.log(size[size > 0]), -layout.LOG_LIMIT, layout.LOG_LIMIT)
    expected = [logs.sum(), (logs**2).sum(), held.sum(), (held**2).sum()]
    np.testing.assert_allclose(total(state[1][0]).numpy(), expected, rtol=1e-12)
    assert state[2].tolist() == [[size.min(), size.max()]]


@pytest.mark.isa
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
@pytest.mark.parametrize("n", [1, 3, 8, 16, 64, 300])
def test_zero_order_hold(dtype, n):
    torch.manual_seed(n)
    delta, rate = torch.rand(3, 4, 15, 37, dtype=dtype) ** 4, -16 * torch.rand(37, n, dtype=dtype)
    delta[0, 0, 0, 0], delta[0, 1, 0, 5], delta[1, 1, 2], delta[2, 2, 2, 2], delta[2, 1, 1, 36] = math.nan, 0, -1, 1e30, math.inf
    delta[1, 0, :3, 0] = torch.tensor([0.1, 0.5, 0.9], dtype=dtype).log()
    rate[0, 0] = -1.0
    rows, valid = torch.tensor([0, 1, 1]), torch.rand(3, 4, 15) > 0.2
    ours = hold(empty(2), rows, delta, rate, valid, 2)
    theirs = hold(empty(2), rows, delta, rate, valid, 2, of=layout.zero_order_hold)
    assert torch.equal(ours[0], theirs[0])
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-15, atol=0)
    torch.testing.assert_close(total(ours[1]), total(theirs[1]), rtol=2e-7 if dtype == torch.float32 else 1e-13, atol=0)
    shared = hold(empty(1), torch.tensor([0]), delta[1:2, :, :, 7:8], rate)
    assert torch.equal(shared[0], hold(empty(1), torch.tensor([0]), delta[1:2, :, :, 7:8].expand(1, 4, 15, 37), rate, of=layout.zero_order_hold)[0])
    turned = hold(empty(2), rows, delta.transpose(1, 2).contiguous().transpose(1, 2), rate.mT.contiguous().mT, valid, 2)
    assert all(map(torch.equal, turned, ours))


@pytest.mark.isa
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_zero_order_hold_with_a_bad_rate(value):
    rate = -torch.ones(4, 16)
    rate[2, 3] = value
    counts, sums, _ = hold(empty(), torch.tensor([0]), torch.ones(1, 5, 4), rate)
    assert counts[0, layout.TALLY_AT :].tolist() == [0, 0, 0, 5 * 64] and counts.sum() == 5 * 64 and not sums.any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits_do_not_depend_on_threads_or_pieces(threads):
    torch.manual_seed(0)
    values, rows = spread((2, 5000, 7), torch.float32, False), torch.tensor([1, 0])
    delta, rate = torch.rand(2, 700, 64), -torch.rand(64, 16)
    before = torch.get_num_threads()
    whole, held = kernel(empty(2), rows, values), hold(empty(2), rows, delta, rate)
    try:
        torch.set_num_threads(threads)
        for pieces in (1, 3, 11):
            state, other = empty(2), empty(2)
            for v, d in zip(reversed(values.tensor_split(pieces, 1)), reversed(delta.tensor_split(pieces, 1)), strict=True):
                kernel(state, rows, v)
                hold(other, rows, d, rate)
            assert all(map(torch.equal, state, whole)) and all(map(torch.equal, other, held)), pieces
    finally:
        torch.set_num_threads(before)


def test_what_serves_other_devices_takes_pieces(monkeypatch):
    values, valid = spread((2, 30, 5, 7), torch.complex64, False), torch.rand(2, 30, 5) > 0.5
    delta, rate = torch.rand(2, 30, 5, 4), -torch.rand(4, 16)
    rows, tables = torch.tensor([0, 1]), ops.sketch_tables(torch.complex64, False, values.device)
    once, pieces = (empty(2), empty(2)), (empty(2), empty(2))
    for states in (once, pieces):
        sinks._sketch(*states[0], rows, values, valid, values.real > 0, torch.ones(7, dtype=torch.int64), *tables, False)
        sinks._sketch_zero_order_hold(*states[1], rows, delta, rate, valid, 3, *tables)
        monkeypatch.setattr(sinks, "_AT_ONCE", 100)
    assert all(map(torch.equal, once[0] + once[1], pieces[0] + pieces[1]))
    assert torch.equal(once[0][0], kernel(empty(2), rows, values, valid, values.real > 0)[0])


@pytest.mark.isa
def test_nothing_to_add():
    for dtype in DTYPES:
        for shape in ((1, 0), (1, 0, 3), (0, 5, 3), (2, 3, 0)):
            state = kernel(empty(2), torch.arange(shape[0]), torch.zeros(shape, dtype=dtype))
            assert all(map(torch.equal, state, empty(2)))
    for delta, rate in ((torch.zeros(1, 0, 3), torch.zeros(3, 4)), (torch.zeros(1, 5, 0), torch.zeros(0, 4)), (torch.zeros(1, 5, 3), torch.zeros(3, 0))):
        assert all(map(torch.equal, hold(empty(), torch.tensor([0]), delta, rate), empty()))


def test_sums_of_large_terms_and_counts_are_exact():
    values = torch.tensor([[[layout.MODULUS_LIMIT, 1e30, 2.0**-48, 0.0]]], dtype=torch.float64)
    repeats = torch.tensor([2**38, 3, 1, 5])
    for add in (kernel, definition):
        _, sums, _ = add(empty(), torch.tensor([0]), values, repeats=repeats)
        exact = [(int(a) * 2**32 + int(b)) * 2**32 + int(c) for a, b, c in sums[0].tolist()]
        assert exact[2] == (2**38 + 3) * 2**68 + 1
        assert exact[3] == (2**38 + 3) * 2**88


def test_terms_are_rounded_once():
    """Negative ones too, to which no power of two may be added in float64."""
    terms = torch.tensor([-3.2, 3.2, -(2.0**-40), 255.9, -255.9], dtype=torch.float64)
    exact = [round(Fraction(t) * 2**48) for t in terms.tolist()]
    assert [(a * 2**32 + b) * 2**32 + c for a, b, c in layout.limbs(terms).tolist()] == exact


def test_what_the_ops_refuse():
    rows, values = torch.tensor([0]), torch.zeros(1, 2, 3)
    with pytest.raises(RuntimeError, match="float32, float64, complex64 or complex128"):
        ops.sketch(*empty(), rows, values.half(), None, None, torch.ones(3, dtype=torch.int64), *ops.sketch_tables(torch.float32, False, values.device), False)
    with pytest.raises(RuntimeError, match="outside the state"):
        kernel(empty(), torch.tensor([1]), values)
    with pytest.raises(RuntimeError, match="repeats of shape"):
        kernel(empty(), rows, values, repeats=torch.ones(2, dtype=torch.int64))
    with pytest.raises(RuntimeError, match="valid boolean"):
        kernel(empty(), rows, values, valid=torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="the same for delta and rate"):
        hold(empty(), rows, torch.zeros(1, 2, 3), torch.zeros(3, 4, dtype=torch.float64))


def test_opcheck():
    values = torch.randn(1, 4, 3)
    tests = ("test_schema", "test_faketensor")
    args = (*empty(), torch.tensor([0]), values, torch.ones(1, 4, dtype=torch.bool), None, torch.ones(3, dtype=torch.int64))
    torch.library.opcheck(torch.ops.spectral_kernels.sketch.default, (*args, *ops.sketch_tables(torch.float32, False, values.device), False), test_utils=tests)
    args = (*empty(), torch.tensor([0]), values, -torch.ones(3, 2), None, 1)
    torch.library.opcheck(torch.ops.spectral_kernels.sketch_zero_order_hold.default, (*args, *ops.sketch_tables(torch.float32, True, values.device)), test_utils=tests)


SCRIPT = """
import re, torch
import spectral_kernels as sk

def status(key):
    return int(re.search(rf"{key}:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

torch.set_num_threads(2)
t = sk.transitions.ZeroOrderHold(torch.rand(1, 8192, 1024), -torch.arange(1.0, 17.0).repeat(1024, 1))
t[:, :64].spectrum()  # threads, code, tables
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = status("VmRSS")
s = t.spectrum()
assert s.count.item() == 8192 * 1024 * 16
print(status("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_the_spectrum_of_134_million_eigenvalues_needs_no_memory():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 16, f"{done.stdout.strip()} MiB"  # 64 are allowed; the sketch and a histogram per thread take less than one
