"""Closed forms: rank one, diagonals, exp of steps and rates; against the dense matrices and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from structured_inputs import BATCHES, distance, dtypes, eps, rand, randn, same_bits, unit

from spectral_kernels import ops
from spectral_kernels.reference.diagonal import diagonal_eigvals as diagonal_definition
from spectral_kernels.reference.expand_exp import expand_exp as expand_exp_definition
from spectral_kernels.reference.rank_one import rank_one_eigvals as rank_one_definition

# Rank one


def rank_one_dense(alpha, beta, k, p=None):
    p = k if p is None else p
    return alpha[..., None, None] * torch.eye(k.shape[-1], dtype=k.dtype) - beta[..., None, None] * k[..., :, None] * p[..., None, :]


RANK_ONE = {  # name: (alpha, beta, k, p)
    "beta in (0, 1)": lambda n: (rand(9), rand(9), unit(randn(9, n)), None),
    "beta in (0, 2)": lambda n: (torch.ones(9, dtype=torch.float64), 2 * rand(9), unit(randn(9, n)), None),
    "beta 0, 1, 2": lambda n: (torch.ones(9, dtype=torch.float64), torch.tensor([0.0, 1, 2] * 3, dtype=torch.float64), unit(randn(9, n)), None),
    "k = 0": lambda n: (rand(9), rand(9), torch.zeros(9, n, dtype=torch.float64), None),
    "|k| = 1.7": lambda n: (rand(9), rand(9), 1.7 * unit(randn(9, n)), None),
    "p": lambda n: (rand(9), rand(9), randn(9, n), randn(9, n, seed=3)),
}


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("n", [1, 2, 3, 8, 15, 16, 17, 64, 129])
@pytest.mark.parametrize("case", RANK_ONE)
def test_rank_one_against_dense(case, n, dtype):
    alpha, beta, k, p = (None if x is None else x.to(dtype) for x in RANK_ONE[case](n))
    w = ops.rank_one_eigvals(alpha, beta, k, p)
    assert w.shape == (9, n) and w.dtype == dtype.to_complex() and not w.imag.any()
    assert torch.equal(w.real[:, :-1], alpha[:, None].expand(9, n - 1))
    products = (k * (k if p is None else p)).double()
    bound = 4 * eps(dtype) * (alpha.abs() + beta.abs() * (1 + n**0.5) * products.abs().sum(-1)).double()
    exact = alpha.double() - beta.double() * products.sum(-1)
    assert bool(((w.real[:, -1].double() - exact).abs() <= bound).all())
    symmetric = p is None  # otherwise numpy's eigenvalues are the ones that are off where p^T k is small
    if symmetric:
        assert distance(w, rank_one_dense(alpha.double(), beta.double(), k.double())) <= 8 * n * eps(dtype) * max(1.0, float(k.double().square().sum(-1).max()))


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("n", [0, 1, 2, 3, 40])
def test_rank_one_distinct(n, dtype):
    args = rand(21, dtype=dtype), rand(21, dtype=dtype), randn(21, n, dtype=dtype)
    assert same_bits(ops.rank_one_eigvals(*args, distinct=True), ops.rank_one_eigvals(*args)[:, -2:])
    assert torch.equal(rank_one_definition(*args, distinct=True), rank_one_definition(*args)[:, -2:])


def test_rank_one_reflection_and_projector():
    k = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)
    w = ops.rank_one_eigvals(torch.ones(3, dtype=torch.float64), torch.tensor([1.0, 2.0, 2.5], dtype=torch.float64), k)
    assert torch.allclose(w.real[:, -1], torch.tensor([0.0, -1.0, -1.5], dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.isa
@dtypes
def test_rank_one_defective(dtype):
    """p^T k = 0: a Jordan block of size 2 at alpha, and the spectrum exact."""
    k, p = torch.zeros(2, 40, dtype=dtype)
    k[:20], p[20:] = 3, 5
    assert torch.equal(ops.rank_one_eigvals(torch.tensor(0.7, dtype=dtype), torch.tensor(1.5, dtype=dtype), k, p), torch.full((40,), 0.7, dtype=dtype).to(dtype.to_complex()))


@pytest.mark.isa
@dtypes
def test_rank_one_not_finite_is_nan_alone(dtype):
    alpha, beta, k = rand(40, dtype=dtype), rand(40, dtype=dtype), randn(40, 11, dtype=dtype)
    clean = ops.rank_one_eigvals(alpha, beta, k)
    alpha[3], beta[9], k[20, 10], k[33, 0] = math.nan, math.inf, math.nan, -math.inf
    w = ops.rank_one_eigvals(alpha, beta, k)
    bad = torch.zeros(40, dtype=torch.bool)
    bad[[3, 9, 20, 33]] = True
    assert bool(w[bad].real.isnan().all()) and same_bits(w[~bad], clean[~bad])


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("n", [1, 5, 16, 37, 70])
def test_rank_one_bits(n, dtype):
    """Of the batch size, the position and the threads; and past the caches (4 MiB and more)."""
    count = (4 << 20) // (2 * n * dtype.itemsize) + 3
    alpha, beta, k, p = rand(count, dtype=dtype), rand(count, dtype=dtype), randn(count, n, dtype=dtype), randn(count, n, dtype=dtype, seed=5)
    for args in ((alpha, beta, k), (alpha, beta, k, p)):
        whole = ops.rank_one_eigvals(*args)
        for size in BATCHES:
            assert same_bits(ops.rank_one_eigvals(*(x[:size] for x in args)), whole[:size])
            assert same_bits(ops.rank_one_eigvals(*(x[-size:] for x in args)), whole[-size:])
        before = torch.get_num_threads()
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                assert same_bits(ops.rank_one_eigvals(*args), whole)
        finally:
            torch.set_num_threads(before)


@pytest.mark.isa
@dtypes
def test_rank_one_strides_and_broadcasting(dtype):
    alpha, beta = torch.tensor(0.9, dtype=dtype), rand(4, 1, 5, dtype=dtype)
    k = randn(3, 6, 4, 10, dtype=dtype)[:, ::2].permute(2, 1, 0, 3)[:, :, :, ::2].transpose(1, 2)[:, 0].unsqueeze(-2).expand(4, 3, 5, 5)
    p = randn(5, 5, dtype=dtype)
    expected = rank_one_definition(alpha.double(), beta.double(), k.double(), p.double())
    w = ops.rank_one_eigvals(alpha, beta, k, p)
    assert w.shape == (4, 3, 5, 5) and w.is_contiguous()
    assert float((w - expected).abs().max()) <= 200 * eps(dtype)
    with pytest.raises(RuntimeError, match="broadcast"):
        ops.rank_one_eigvals(rand(2, dtype=dtype), rand(3, dtype=dtype), k)
    with pytest.raises(RuntimeError, match="one dtype"):
        ops.rank_one_eigvals(alpha.half(), beta, k)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0), (2, 0, 5), (0,)])
def test_rank_one_empty(shape):
    w = ops.rank_one_eigvals(torch.ones(shape[:-1]), torch.ones(shape[:-1]), torch.ones(shape))
    assert w.shape == shape and w.dtype == torch.complex64
    assert rank_one_definition(torch.ones(shape[:-1]), torch.ones(shape[:-1]), torch.ones(shape)).shape == shape


# Diagonals


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(5, 7), (1000, 1), (3, 4, 33), (40, 17), (9, 16), (0, 3), (2, 0), (70_000, 5), (500_000, 1)], ids=str)
def test_diagonal(shape, log, dtype):
    value = -3 * rand(*shape, dtype=dtype)
    clean = ops.diagonal_eigvals(value, log)
    assert clean.shape == shape and clean.dtype == dtype.to_complex() and not clean.imag.any()
    assert torch.allclose(clean, diagonal_definition(value, log), rtol=2 * eps(dtype), atol=0) and (log or torch.equal(clean.real, value))
    if value.numel() and shape[0] > 2:
        value = value.clone()
        value[-1, ..., -1], value[1, ..., 0], value[0, ..., 0] = math.nan, math.inf, -math.inf
        w = ops.diagonal_eigvals(value, log)
        bad = w.real.isnan()
        assert torch.equal(bad, diagonal_definition(value, log).real.isnan()) and same_bits(w[2:-1], clean[2:-1])
        assert bool(bad[-1, ..., -1:].all()) and (not log or (not bad[0].any() and not w[0, ..., 0].any()))
    if value.numel():
        strided = value.repeat_interleave(3, 0)[::3].mT.contiguous().mT if value.dim() > 1 else value
        assert torch.equal(ops.diagonal_eigvals(strided, log).nan_to_num(), ops.diagonal_eigvals(value, log).nan_to_num())
        assert torch.equal(ops.diagonal_eigvals(value[-1:], log).nan_to_num(), ops.diagonal_eigvals(value, log)[-1:].nan_to_num())


# exp(delta rate)


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("D, N", [(1, 1), (7, 1), (33, 1), (4, 16), (5, 3), (3, 37), (600, 16), (1, 5000), (4099, 1)])
def test_expand_exp(D, N, dtype):
    delta, rate = 10 * rand(6, D, dtype=dtype), -rand(D, N, dtype=dtype)
    w = ops.expand_exp(delta, rate)
    exact = np.exp(delta.numpy().astype(np.longdouble)[..., None] * rate.numpy().astype(np.longdouble)).reshape(6, D * N)
    assert w.shape == (6, D * N) and not w.imag.any()
    assert float(np.abs(w.real.numpy() / exact - 1).max()) <= 12 * eps(dtype)  # of which up to 10 are the rounding of the product
    alone = torch.stack([ops.expand_exp(d, rate) for d in delta])
    assert same_bits(alone, w)


@pytest.mark.isa
@dtypes
def test_exp_over_its_whole_range(dtype):
    low, high = (-110, 95) if dtype == torch.float32 else (-760, 720)
    x = torch.linspace(low, high, 200_001, dtype=dtype)
    x[:8] = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-30, -1e-30, 1.0])
    w = ops.expand_exp(x, torch.ones(len(x), 1, dtype=dtype)).real
    exact = np.exp(x.numpy().astype(np.longdouble))
    rounded = torch.from_numpy(exact.astype(x.numpy().dtype))
    assert torch.equal(w.isfinite(), rounded.isfinite()) and torch.equal(w.isnan(), x.isnan())
    assert w[:8].tolist()[:4] == [1.0, 1.0, math.inf, 0.0]
    finite = rounded.isfinite().numpy()
    ulp = np.spacing(rounded.numpy())[finite].astype(np.longdouble)
    assert float((np.abs(w.numpy()[finite] - exact[finite]) / ulp).max()) <= 1.5
    assert bool((w[1000:].diff() >= 0)[torch.from_numpy(finite)[1001:]].all())  # monotone on this grid


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("D, N", [(333, 5), (256, 16), (513, 1)])
def test_expand_exp_bits(D, N, dtype):
    count = (4 << 20) // (2 * D * N * dtype.itemsize) + 2
    delta, rate = 10 * rand(count, D, dtype=dtype), -rand(D, N, dtype=dtype)
    whole = ops.expand_exp(delta, rate)
    assert same_bits(whole[-3:], ops.expand_exp(delta[-3:], rate))
    assert same_bits(whole[:, :N], ops.expand_exp(delta[:, :1], rate[:1]))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert same_bits(ops.expand_exp(delta, rate), whole)
    finally:
        torch.set_num_threads(before)


def test_expand_exp_shapes():
    assert ops.expand_exp(torch.ones(2, 3, 0), torch.ones(0, 4)).shape == (2, 3, 0)
    assert ops.expand_exp(torch.ones(0, 3), torch.ones(3, 4)).shape == (0, 12)
    delta = rand(5, 4, 3).permute(1, 2, 0)[..., ::2]
    rate = -rand(2, 3).T
    assert torch.allclose(ops.expand_exp(delta, rate), expand_exp_definition(delta, rate), rtol=1e-15, atol=0)
    with pytest.raises(RuntimeError, match=r"delta \(..., D\)"):
        ops.expand_exp(torch.ones(2, 3), torch.ones(4, 2))
