"""Triton kernels without a GPU: in the interpreter against the definitions, and compiled ahead of time within a table of resources."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from attention_cases import OPTIONS, TOLERANCE, inputs, ragged
from triton_cases import CASES, empty, tables
from triton_harness import ARCHITECTURES, ceilings, usage

import spectral_kernels as sk
from spectral_kernels import triton as kernels
from spectral_kernels.reference import attention_lse as attention
from spectral_kernels.reference import sketch as layout
from spectral_kernels.reference.diagonal import diagonal_eigvals
from spectral_kernels.reference.expand_exp import expand_exp
from spectral_kernels.reference.rank_one import rank_one_eigvals

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


@pytest.mark.parametrize("architecture", [pytest.param(a, marks=[] if a == 90 else pytest.mark.thorough) for a in ARCHITECTURES])
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


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("D, N", [(1, 1), (7, 3), (3, 0), (0, 4), (260, 16)])
def test_expand_exp(interpreted, D, N, dtype):
    delta, rate = 10 * torch.rand(3, 2, D, dtype=dtype), -torch.rand(D, N, dtype=dtype)
    for d, r in ((delta, rate), (delta.transpose(0, 2).contiguous().transpose(0, 2), rate.mT.contiguous().mT)):
        torch.testing.assert_close(interpreted("expand_exp", d, r), expand_exp(delta, rate), rtol=3 * eps(dtype), atol=0)


def test_exp_over_its_whole_range(interpreted):
    """Within 1.5 ulp in float32, of which the interpreter, like the GPU, knows the operations of the polynomial; float64 is the libraries' own."""
    x = torch.linspace(-110, 95, 20_001)
    x[:8] = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-30, -1e-30, 1.0])
    found, exact = interpreted("expand_exp", x, torch.ones(len(x), 1)).real, x.double().exp()
    assert torch.equal(found.isfinite(), exact.float().isfinite()) and torch.equal(found.isnan(), x.isnan())
    assert found[:4].tolist() == [1.0, 1.0, math.inf, 0.0]
    finite = exact.float().isfinite() & (exact > 0)
    ulp = torch.nextafter(exact.float(), torch.tensor(math.inf)) - exact.float()
    assert float(((found - exact) / ulp)[finite].abs().max()) <= 1.5


# Rank one


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 33, 2100])
def test_rank_one(interpreted, n, distinct, dtype):
    torch.manual_seed(n)
    alpha, beta = torch.rand(3, 1, dtype=dtype), torch.rand((), dtype=dtype)
    k, p = torch.randn(5, n, dtype=dtype) / max(n, 1) ** 0.5, torch.randn(3, 5, n, dtype=dtype) / max(n, 1) ** 0.5
    alpha[1], p[2, 3, -1:] = math.nan, math.inf
    for given in ((alpha, beta, k), (alpha, beta, k, p), (alpha, beta, k.repeat_interleave(2, -1)[:, ::2], p.mT.contiguous().mT)):
        found, expected = interpreted("rank_one_eigvals", *given, *(() if len(given) == 4 else (None,)), distinct), rank_one_eigvals(*given, distinct=distinct)
        torch.testing.assert_close(found, expected, rtol=0, atol=16 * eps(dtype), equal_nan=True)
        assert n == 0 or (found[1].real.isnan().all() and found[0].real.isfinite().all())


# Attention


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("sight", ["causal", "ragged"])
def test_attention(interpreted, option, dtype, sight):
    for B, H, Hk, T, S, D in ((1, 1, 1, 1, 1, 1), (1, 2, 1, 67, 131, 33), (2, 2, 2, 7, 1, 8)):
        q, k, start, end = inputs(B, H, Hk, T, S, D, dtype)
        if sight == "ragged":
            start, end = ragged(B, T, S)
        options = {name: value(B, H, T, S, dtype) if callable(value) else value for name, value in OPTIONS[option].items()}
        args = options.get("bias"), options.get("key_bias"), options.get("scale", 0.3), options.get("softcap", 0.0)
        found, expected = interpreted("attention_lse", q, k, start, end, *args), attention.attention_lse(q, k, start, end, *args)
        assert found.dtype == torch.float64 and found.shape == (B, H, T)
        assert torch.equal(found == -math.inf, expected == -math.inf)
        torch.testing.assert_close(found, expected, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype] / 10)


def test_attention_of_hard_rows(interpreted):
    """Logits of a thousand, cumulative gates of 10^6, sums of many equal terms, and packed documents in a strided layout."""

    def both(*args, softcap=0.0):
        return interpreted("attention_lse", *args, softcap), attention.attention_lse(*args, softcap)

    q, k, start, end = inputs(1, 2, 1, 70, 70, 64)
    found, expected = both(q * 125, k, start, end, None, None, 1.0)
    assert float(expected.abs().max()) > 1000
    assert float((found - expected).abs().max()) <= 64 * eps(torch.float32) * 1000
    gates = 1e6 + 3.0 * torch.arange(70, dtype=torch.float64).expand(1, 2, 70)
    found, expected = both(q, k, start, end, None, gates, 0.3)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    flat = torch.zeros(1, 1, 1500, 1)
    first = torch.arange(1500)[None] // 600 * 600
    count = torch.arange(1500)[None] - first + 1
    found = interpreted("attention_lse", flat[:, :, ::100], flat, first[:, ::100], (first + count)[:, ::100], None, None, 1.0, 0.0)
    torch.testing.assert_close(found[0, 0], count[0, ::100].double().log(), atol=1e-14, rtol=1e-15)
    turned = q.transpose(1, 2).contiguous().transpose(1, 2), k.mT.contiguous().mT
    assert torch.equal(interpreted("attention_lse", *turned, start, end, None, None, 0.3, 0.0), interpreted("attention_lse", q, k, start, end, None, None, 0.3, 0.0))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_attention_with_bad_numbers(interpreted, value):
    """A bad query harms its row, a bad key those who see it, and neither anybody else, whose bits stay."""
    q, k, start, end = inputs(1, 2, 1, 40, 40, 5)
    hidden = torch.zeros(1, 1, 40, dtype=torch.float64)
    hidden[..., 25] = -math.inf

    def lse(q, k, key_bias=None):
        return interpreted("attention_lse", q, k, start, end, None, key_bias, 0.3, 0.0)

    clean, bad_q, bad_k = lse(q, k), q.clone(), k.clone()
    bad_q[0, 1, 20, 3], bad_k[0, 0, 25] = value, value
    found = lse(bad_q, k)
    assert found[0, 1, 20].isnan()
    found[0, 1, 20] = clean[0, 1, 20]
    assert torch.equal(found, clean)
    found = lse(q, bad_k)
    assert torch.equal(found[:, :, :25], clean[:, :, :25])
    assert found[:, :, 25:].isnan().all() and lse(q, bad_k, hidden).isfinite().all()


# Sketches


def total(sums):
    return [(a * 2**32 + b) * 2**32 + c for a, b, c in sums.view(-1, 3).tolist()]


def same_sketch(found, expected, rtol=1e-13):
    """Counts alike; sums and extremes as exact as the logarithms and roots of two libraries."""
    assert torch.equal(found[0], expected[0])
    for ours, theirs in zip(total(found[1]), total(expected[1]), strict=True):
        assert ours == pytest.approx(theirs, rel=rtol, abs=1000)
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


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("D, N", [(9, 16), (1, 1), (150, 8)])
def test_sketch_of_a_zero_order_hold(interpreted, D, N, dtype):
    torch.manual_seed(2)
    delta, rate = torch.exp(-12 * torch.rand(2, 5, 3, D, dtype=torch.float64)).to(dtype), -10 * torch.rand(D, N, dtype=dtype)
    rate[0, 0] = -1
    delta[0, 0, 0, 0], delta[0, 1, 0, -1], delta[1, 1, 2], delta[1, 2, 2, 0], delta[1, 4, 1, -1] = math.nan, 0, -1, 1e30, math.inf
    delta[0, 2, :3, 0] = torch.tensor([0.1, 0.5, 0.9], dtype=dtype).log()
    rows, valid = torch.tensor([1, 0]), torch.rand(2, 5, 3) > 0.2
    rest = tables(dtype, True)
    for given, ok in ((delta, valid), (delta.transpose(1, 2).contiguous().transpose(1, 2), None), (delta[..., :1], None)):
        found, expected = empty(2), empty(2)
        interpreted("sketch_zero_order_hold", *found, rows, given, rate, ok, 2, *rest)
        layout.zero_order_hold(*expected, rows, given.expand(*given.shape[:-1], D), rate, ok, 2)
        same_sketch(found, expected, 2e-7 if dtype == torch.float32 else 1e-13)
    whole, parts = empty(2), empty(2)
    interpreted("sketch_zero_order_hold", *whole, rows, delta, rate, None, 1, *rest)
    for part in delta.split(2, 1):
        interpreted("sketch_zero_order_hold", *parts, rows, part, rate, None, 1, *rest)
    assert all(map(torch.equal, whole, parts))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_sketch_of_a_zero_order_hold_with_a_bad_rate(interpreted, value):
    rate = -torch.ones(4, 16)
    rate[2, 3] = value
    counts, sums, _ = state = empty()
    interpreted("sketch_zero_order_hold", *state, torch.tensor([0]), torch.ones(1, 5, 4), rate, None, 1, *tables(torch.float32, True))
    assert counts[0, layout.TALLY_AT :].tolist() == [0, 0, 0, 5 * 64] and counts.sum() == 5 * 64 and not sums.any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 21])
def test_sketch_of_rank_one(interpreted, n, dtype):
    torch.manual_seed(4)
    alpha, beta, valid, rows = torch.rand(2, 300, dtype=dtype), 2 * torch.rand(2, 300, dtype=dtype), torch.rand(2, 300) > 0.2, torch.tensor([1, 0])
    k = torch.full((2, 300, n), 0.5).bernoulli().to(dtype)  # exact products: the same bins
    alpha[0, 1], beta[1, 7], k[0, 9, -1] = math.nan, math.inf, math.inf
    for factors, ok in (((alpha, beta, k), valid), ((alpha[:, :1].expand(2, 300), beta, k), None)):
        found, expected = empty(2), empty(2)
        interpreted("sketch_rank_one", *found, rows, *factors, ok, 2, *tables(dtype, False))
        repeats = torch.tensor([n - 1, 1] if n > 1 else [1]) * 2
        layout.sketch(*expected, rows, rank_one_eigvals(*factors, distinct=True).real, ok, None, repeats, False)
        same_sketch(found, expected)
        composed = empty(2)
        sk.ops.sketch_rank_one(*composed, rows, *factors, ok, 2, *tables(dtype, False))
        same_sketch(composed, expected)
