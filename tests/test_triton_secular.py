"""The secular kernels in Triton's interpreter: the tests of the CPU's kernels, and the sketch of the roots that they find."""

from __future__ import annotations

import math

import pytest
import torch
from secular_cases import DTYPES, SIGNED, check_roots, signed_case, vector_errors
from triton_cases import empty, tables

from spectral_kernels import ops
from spectral_kernels.reference import secular as reference
from spectral_kernels.reference import sketch as layout

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def cases(n, dtype, batch=3, names=SIGNED):
    """d, b, c of matrices of all kinds."""
    return tuple(torch.cat(x) for x in zip(*(signed_case(case, n, batch, dtype) for case in names), strict=True))


@dtypes
@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, pytest.param(17, marks=pytest.mark.thorough)])
def test_values(interpreted, n, dtype):
    d, b, c = cases(n, dtype)
    w, origin, offset = interpreted("secular", d, b * c)
    exact = reference.secular(d.double(), (b * c).double())[0]
    size = torch.maximum(exact.abs(), d.abs()).amax(-1, keepdim=True)
    assert bool(((w - exact).abs() <= 4 * max(n, 8) ** 0.5 * torch.finfo(dtype).eps * size).all())
    assert bool((w.diff(dim=-1) >= 0).all()) and torch.equal(d.gather(-1, origin) + offset, w)


@dtypes
@pytest.mark.parametrize("n", [33, pytest.param(130, marks=pytest.mark.thorough)])
def test_values_of_large_matrices(interpreted, n, dtype):
    d, b, c = cases(n, dtype, 1, ["kda", "four values"])
    w, exact = interpreted("secular", d, b * c)[0], reference.secular(d.double(), (b * c).double())[0]
    assert float((w - exact).abs().max()) <= 6 * torch.finfo(dtype).eps


@dtypes
def test_roots_solve_the_equation(interpreted, dtype):
    d, b, c = cases(9, dtype, 2)
    check_roots(d, b * c, *interpreted("secular", d, b * c)[1:])


@pytest.mark.thorough
def test_light_pole_beside_heavy_ones(interpreted):
    d = torch.tensor([[1e-160, 1e-79, 0.33, 0.5], [1e-247, 1e-176, 0.64, 0.72], [0.4, 0.4 + 1e-15, 0.5, 0.6]], dtype=torch.float64)
    p = torch.tensor([[0.5, 1e-150, 0.5, 0.5], [0.8, 1e-162, 0.8, 0.6], [0.5, 1e-40, 0.1, 0.1]], dtype=torch.float64)
    for sign in (1, -1):
        assert float((interpreted("secular", sign * d, sign * p)[0] - reference.secular(sign * d, sign * p)[0]).abs().max()) <= 1e-15


@dtypes
@pytest.mark.parametrize("n", [1, 2, 3, 7, pytest.param(17, marks=pytest.mark.thorough)])
def test_vectors(interpreted, n, dtype):
    d, b, c = cases(n, dtype)
    w, V, U, info = interpreted("secular_eig", d, b, c, True, True)
    assert not info.any() and torch.equal(w, interpreted("secular", d, b * c)[0])
    assert vector_errors(d, b, c, w, V, U) <= 1
    assert max(float((x.double().norm(dim=-2) - 1).abs().max()) for x in (V, U)) <= 4 * torch.finfo(dtype).eps
    none = interpreted("secular_eig", d[:2], b[:2], c[:2], True, False)
    assert none[1].shape == (0,) and torch.equal(none[2], U[:2])


@pytest.mark.parametrize("which", ["b", "c", "both", "disjoint"])
def test_vectors_without_weight(interpreted, which):
    d = torch.tensor([[0.9, 0.5, 0.5, 0.5, 0.2]], dtype=torch.float64)
    b, c = torch.tensor([[[-1.0, -2, 0, 0, -1]], [[1.0, 0, 3, 1, 1]]], dtype=torch.float64)
    if which != "disjoint":
        for x, name in ((b, "b"), (c, "c")):
            x[..., 1:4] = 0 if which in (name, "both") else torch.tensor([1.0, 2.0, 3.0])
    w, V, U, info = interpreted("secular_eig", d, b, c, True, True)
    assert not info.any() and vector_errors(d, b, c, w, V, U) <= 1
    assert int(torch.linalg.matrix_rank(V, rtol=1e-8)) == int(torch.linalg.matrix_rank(U, rtol=1e-8)) == (4 if which == "disjoint" else 5)


@dtypes
def test_bits_do_not_depend_on_the_batch_nor_on_bad_neighbours(interpreted, dtype):
    d, b, c = cases(5, dtype, 1)
    expected = interpreted("secular_eig", d, b, c, True, True)
    turned = [x.flip(0).repeat(3, 1) for x in (d, b, c)]
    turned[0][1::2, 2] = math.nan
    turned[1][3], turned[2][5, 0], turned[0][7, 0] = math.inf, -math.inf, math.inf
    turned[1][9, 1] *= -1
    bad = torch.arange(3 * len(d)) % 2 == 1
    found = interpreted("secular_eig", *turned, True, True)
    for x, y in zip(found, expected, strict=True):
        assert torch.equal(x[~bad], y.flip(0).repeat(3, *(1,) * (y.dim() - 1))[~bad])
    assert torch.equal(found[3], 6 * bad.int()) and all(bool(x[bad].isnan().all()) for x in found[:3])


def test_shapes_and_refusals(interpreted):
    for shape in [(0,), (3, 0), (0, 4), (2, 0, 3)]:
        assert all(x.shape == shape for x in interpreted("secular", torch.empty(shape), torch.empty(shape)))
    assert interpreted("secular_eig", *[torch.empty(2, 0)] * 3, False, True)[3].tolist() == [0, 0]
    d, b, c = signed_case("kda", 6, batch=4)
    assert torch.equal(interpreted("secular", d.mT.contiguous().mT, (b * c)[:, None].expand(4, 3, 6)[:, 1])[0], interpreted("secular", d, b * c)[0])
    assert interpreted("secular", torch.zeros(1, 1025), torch.zeros(1, 1025)) is NotImplemented
    with pytest.raises(RuntimeError, match="same shape"):
        interpreted("secular", torch.ones(3, 4), torch.ones(4))
    with pytest.raises(RuntimeError, match="float32 or float64"):
        interpreted("secular", torch.ones(3, 4).half(), torch.ones(3, 4).half())


@dtypes
def test_sketch(interpreted, dtype):
    d, b, c = (x.view(2, 24, 6).transpose(0, 1).contiguous().transpose(0, 1) for x in cases(6, dtype, 3))
    d[1, 5, 2] = math.nan
    rows, valid = torch.tensor([1, 0]), torch.rand(2, 24) > 0.3
    values = interpreted("secular", d, b * c)[0]
    for ok, repeat in ((valid, 3), (None, 1)):
        found, expected = empty(2), empty(2)
        interpreted("sketch_secular", *found, rows, d, b, c, ok, repeat, *tables(dtype, False))
        layout.sketch(*expected, rows, values, ok, None, torch.full((6,), repeat), False)
        assert torch.equal(found[0], expected[0])
        torch.testing.assert_close(found[1].double() @ torch.tensor([2.0**64, 2.0**32, 1], dtype=torch.float64),
                                   expected[1].double() @ torch.tensor([2.0**64, 2.0**32, 1], dtype=torch.float64), rtol=1e-13, atol=2**16)  # fmt: skip
        torch.testing.assert_close(found[2], expected[2], rtol=1e-13, atol=0)


def test_the_sinks_definition(monkeypatch):
    d, b, c = (x.view(2, 24, 6) for x in cases(6, torch.float64, 3))
    valid, rows = torch.rand(2, 24) > 0.3, torch.tensor([1, 0])
    found, expected = empty(2), empty(2)
    ops.sketch_secular(*found, rows, d, b, c, valid, 2, *tables(torch.float64, False))
    ops.sketch(*expected, rows, ops.secular(d, b * c)[0], valid, None, torch.full((6,), 2), *tables(torch.float64, False), False)
    assert all(map(torch.equal, found, expected))
    torch.library.opcheck(ops.sketch_secular, (*empty(2), rows, d, b, c, valid, 2, *tables(torch.float64, False)), test_utils=("test_schema", "test_faketensor"))
