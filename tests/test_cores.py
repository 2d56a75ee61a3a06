"""Closed forms and small cores: rank one, exp of steps and rates, Householder products; against the dense matrices and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from spectral_kernels import ops
from spectral_kernels.reference.diagonal import diagonal_eigvals as diagonal_definition
from spectral_kernels.reference.expand_exp import expand_exp as expand_exp_definition
from spectral_kernels.reference.householder import householder_core
from spectral_kernels.reference.rank_one import rank_one_eigvals as rank_one_definition

REAL = [torch.float32, torch.float64]
dtypes = pytest.mark.parametrize("dtype", REAL, ids=str)
BATCHES = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 65]


def eps(dtype):
    return torch.finfo(dtype).eps


def bits(x):
    return torch.view_as_real(x).contiguous().view({torch.complex64: torch.int32, torch.complex128: torch.int64}[x.dtype])


def same_bits(a, b):
    return torch.equal(bits(a), bits(b))


def distance(w, A):
    """Largest distance of eigenvalues ``w (b, n)`` to those of ``A (b, n, n)`` in double precision, over the best pairings."""
    worst = 0.0
    for ours, matrix in zip(w.to(torch.complex128).numpy(), A.double().numpy(), strict=True):
        cost = np.abs(ours[:, None] - np.linalg.eigvals(matrix)[None, :])
        worst = max(worst, float(cost[linear_sum_assignment(cost)].max()))
    return worst


def randn(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rand(*shape, dtype=torch.float64, seed=1):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def unit(k):
    return torch.nn.functional.normalize(k, dim=-1)


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


# Householder products


def product(beta, k):
    """``P_m ... P_1``, one factor after another."""
    n = k.shape[-1]
    A = torch.eye(n, dtype=k.dtype).expand(*k.shape[:-2], n, n)
    for j in range(k.shape[-2]):
        P = torch.eye(n, dtype=k.dtype) - beta[..., j, None, None] * k[..., j, :, None] * k[..., j, None, :]
        A = P @ A
    return A


def same_vectors(b, m, n):
    return unit(randn(b, 1, n)).expand(b, m, n)


def orthogonal_vectors(b, m, n):
    return torch.linalg.qr(randn(b, n, m)).Q.mT


HOUSEHOLDER = {
    "beta in (0, 1)": lambda m, n: (rand(7, m), unit(randn(7, m, n))),
    "beta in (0, 2)": lambda m, n: (2 * rand(7, m), unit(randn(7, m, n))),
    "some beta 0": lambda m, n: (rand(7, m) * (torch.arange(m) % 2), unit(randn(7, m, n))),
    "beta 0": lambda m, n: (torch.zeros(7, m, dtype=torch.float64), unit(randn(7, m, n))),
    "beta 2": lambda m, n: (torch.full((7, m), 2.0, dtype=torch.float64), unit(randn(7, m, n))),
    "equal": lambda m, n: (rand(7, m), same_vectors(7, m, n)),
    "orthogonal": lambda m, n: (2 * rand(7, m), orthogonal_vectors(7, m, n)),
    "not unit": lambda m, n: (rand(7, m), 1.5 * unit(randn(7, m, n))),
    "a zero vector": lambda m, n: (rand(7, m), unit(randn(7, m, n)) * (torch.arange(m) > 0)[:, None]),
}


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("m, n", [(1, 1), (1, 5), (2, 2), (2, 9), (3, 17), (4, 64), (5, 6), (8, 16)])
@pytest.mark.parametrize("case", HOUSEHOLDER)
def test_householder_against_dense(case, m, n, dtype):
    beta, k = (x.to(dtype) for x in HOUSEHOLDER[case](m, n))
    w, info = ops.householder_eigvals(beta, k)
    assert w.shape == (7, m) and w.dtype == dtype.to_complex() and info.shape == (7,) and not info.any()
    everything = torch.cat([torch.ones(7, n - m, dtype=w.dtype), w], -1)
    # where all factors commute or meet, eigenvalues repeat and numpy's own are off by a root of eps
    exact = householder_core(beta.double(), k.double())
    condition = torch.linalg.cond(torch.linalg.eig(exact).eigenvectors).clamp(max=1 / eps(torch.float64) ** 0.5).max()
    size = float(torch.linalg.matrix_norm(product(beta.double(), k.double()), 2).max())
    assert distance(everything, product(beta.double(), k.double())) <= 20 * n * eps(dtype) * size * float(condition) + 1e-7 * (float(condition) > 1e6)


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("n", [2, 3, 16])
def test_two_reflections_are_a_rotation(n, dtype):
    """beta = 2: by twice the angle of the vectors."""
    k = unit(randn(50, 2, n)).to(dtype)
    w = ops.householder_eigvals(torch.full((2,), 2.0, dtype=dtype), k)[0]
    cosine = (k[:, 0].double() * k[:, 1].double()).sum(-1).clamp(-1, 1)
    angle = 2 * cosine.acos()
    exact = torch.stack([torch.complex(angle.cos(), angle.sin().abs()), torch.complex(angle.cos(), -angle.sin().abs())], -1)
    assert float((w - exact).abs().max()) <= 200 * eps(dtype) ** (1.0 if n > 2 else 0.5)


@pytest.mark.isa
@dtypes
def test_two_positive_factors_are_real(dtype):
    """m = 2 and beta <= 1: a product of two positive semidefinite matrices; at most a root of eps of it is lost to a double one."""
    w = ops.householder_eigvals(rand(400, 2, dtype=dtype), unit(randn(400, 2, 8, dtype=dtype)))[0]
    assert float(w.imag.abs().max()) <= 4 * eps(dtype) ** 0.5 and float(w.real.min()) >= -4 * eps(dtype) and float(w.abs().max()) <= 1 + 8 * eps(dtype)


@dtypes
def test_more_vectors_than_dimensions(dtype):
    """m > n: the eigenvalues of the product, and m - n ones."""
    beta, k = rand(5, 6, dtype=dtype), unit(randn(5, 6, 2, dtype=dtype))
    w = ops.householder_eigvals(beta, k)[0].to(torch.complex128)
    A = product(beta.double(), k.double())
    padded = torch.stack([torch.block_diag(a, torch.eye(4, dtype=torch.float64)) for a in A])
    assert distance(w, padded) <= 1e4 * eps(dtype)


def test_core_is_the_compact_wy_form():
    beta, k = 2 * rand(3, 4), randn(3, 4, 9)
    G = k @ k.mT
    T = torch.linalg.solve(torch.eye(4, dtype=torch.float64) + beta[..., None] * G.tril(-1), torch.diag_embed(beta))
    assert torch.allclose(torch.eye(9, dtype=torch.float64) - k.mT @ T @ k, product(beta, k), rtol=0, atol=1e-11)
    assert torch.allclose(householder_core(beta, k), torch.eye(4, dtype=torch.float64) - T @ G, rtol=0, atol=1e-11)


@pytest.mark.isa
@dtypes
@pytest.mark.parametrize("m, n", [(1, 4), (2, 7), (4, 33), (6, 6)])
def test_householder_bits_and_neighbours(m, n, dtype):
    beta, k = 2 * rand(65, m, dtype=dtype), unit(randn(65, m, n, dtype=dtype))
    whole, _ = ops.householder_eigvals(beta, k)
    for size in BATCHES:
        assert same_bits(ops.householder_eigvals(beta[-size:], k[-size:])[0], whole[-size:])
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert same_bits(ops.householder_eigvals(beta, k)[0], whole)
    finally:
        torch.set_num_threads(before)
    k, beta = k.clone(), beta.clone()
    k[5, 0, 0], beta[40, m - 1], k[64, m - 1] = math.nan, math.inf, math.inf
    w, info = ops.householder_eigvals(beta, k)
    bad = torch.zeros(65, dtype=torch.bool)
    bad[[5, 40, 64]] = True
    assert torch.equal(info, (m + 1) * bad.int()) and bool(w[bad].real.isnan().all()) and same_bits(w[~bad], whole[~bad])


def test_householder_strides_broadcasting_and_empty():
    k = unit(randn(9, 4, 6, 2)).permute(1, 3, 2, 0)
    beta = rand(6)
    assert same_bits(ops.householder_eigvals(beta, k)[0], ops.householder_eigvals(beta.expand(4, 2, 6).clone(), k.contiguous())[0])
    for m, n, batch in ((0, 4, (3,)), (2, 0, (3,)), (2, 4, (0,)), (2, 4, (2, 0))):
        w, info = ops.householder_eigvals(torch.rand(*batch, m), torch.rand(*batch, m, n))
        assert w.shape == (*batch, m) and info.shape == batch and not info.any()
        assert not w.numel() or (n == 0 and torch.equal(w, torch.ones_like(w)))
    with pytest.raises(RuntimeError, match=r"beta \(..., m\) and k \(..., m, n\)"):
        ops.householder_eigvals(torch.rand(3), torch.rand(2, 4))
    with pytest.raises(RuntimeError, match="m <= 512"):
        ops.householder_eigvals(torch.rand(513), torch.rand(513, 2))


# What every op has


def arguments(name, *batch):
    return {
        "rank_one_eigvals": (rand(*batch), rand(*batch), randn(*batch, 5)),
        "rank_one_eigvals p": (rand(*batch), rand(*batch), randn(*batch, 5), randn(*batch, 5, seed=2)),
        "rank_one_eigvals distinct": (rand(*batch), rand(*batch), randn(*batch, 5), randn(*batch, 5, seed=2)),
        "diagonal_eigvals": (randn(*batch, 3),),
        "expand_exp": (rand(*batch, 3), -rand(3, 2)),
        "householder_eigvals": (2 * rand(*batch, 3), randn(*batch, 3, 5)),
    }[name]


def first(result):
    return result[0] if isinstance(result, tuple) else result


OPS = pytest.mark.parametrize("name", ["rank_one_eigvals", "rank_one_eigvals p", "rank_one_eigvals distinct", "diagonal_eigvals", "expand_exp", "householder_eigvals"])


def more(name):
    """What follows the tensors."""
    return (True,) if name in ("rank_one_eigvals distinct", "diagonal_eigvals") else ()


def op(name):
    function = getattr(ops, name.split()[0])
    return lambda *tensors: function(*tensors, *more(name))


@OPS
def test_opcheck(name):
    torch.library.opcheck(getattr(ops, name.split()[0]), (*(x.requires_grad_() for x in arguments(name, 4)), *more(name)))


@OPS
def test_kernel_and_definition_agree(name):
    args = arguments(name, 4)
    definition = {
        "rank_one_eigvals": rank_one_definition,
        "diagonal_eigvals": diagonal_definition,
        "expand_exp": expand_exp_definition,
        "householder_eigvals": lambda b, k: torch.linalg.eigvals(householder_core(b, k)),
    }
    ours, theirs = first(op(name)(*args)), definition[name.split()[0]](*args, *more(name))
    assert float((ours.sum(-1) - theirs.sum(-1)).abs().max()) <= 1e-13 * float(theirs.abs().max())


@OPS
def test_derivatives(name):
    args = tuple(x.requires_grad_() for x in arguments(name, 2))

    def function(*inputs):  # symmetric in the eigenvalues: their order is free
        w = first(op(name)(*inputs))
        return torch.stack([(w**2).sum(-1).real, w.abs().square().sum(-1)])

    assert torch.autograd.gradcheck(function, args, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, args, fast_mode=True)


@OPS
def test_vmap_and_functional(name):
    args = arguments(name, 3, 4)
    whole = first(op(name)(*args))
    rated = name == "expand_exp"
    in_dims = (0, None) if rated else (0,) * len(args)
    assert torch.equal(torch.vmap(lambda *a: first(op(name)(*a)), in_dims)(*args), whole)
    if not rated:
        shared = (args[0], *(x[0] for x in args[1:]))  # of fewer batch axes
        mapped = torch.vmap(lambda *a: first(op(name)(*a)), (0, *(None,) * (len(args) - 1)))(*shared)
        assert torch.equal(mapped, first(op(name)(*shared)))

    def loss(*a):
        return first(op(name)(*a)).abs().square().sum()

    expected = torch.autograd.grad(loss(*(a := [x.clone().requires_grad_() for x in args])), a)
    for g, e in zip(torch.func.grad(loss, tuple(range(len(args))))(*args), expected, strict=True):
        assert torch.allclose(g, e, rtol=1e-12, atol=1e-14)
