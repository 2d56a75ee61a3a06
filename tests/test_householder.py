"""Products of Householder reflectors: the small core against the dense matrices."""

from __future__ import annotations

import math

import pytest
import torch
from structured_inputs import BATCHES, distance, dtypes, eps, rand, randn, same_bits, unit

from spectral_kernels import ops
from spectral_kernels.reference.householder import householder_core


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
