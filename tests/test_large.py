"""Sizes beyond 128: the kernels where every thread has a full lane group, LAPACK otherwise."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels import dispatch, ops
from spectral_kernels.api.testing import ratios

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [129, 160])
def test_eig_residuals(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(3, n, n, dtype=dtype)
    w, VR, VL, info = ops.eig_batched(A, True, True, True)
    assert not info.any()
    for test, ratio in ratios.ddrvev(A, w, VR, VL).items():
        assert ratio.max() <= 10, test
    assert torch.equal(ops.eig_batched(A, False, False, True)[0], w)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_eigh_residuals(dtype):
    torch.manual_seed(0)
    n = 160
    A = torch.randn(3, n, n, dtype=dtype)
    A = A + A.mH
    w, V, info = ops.eigh_batched(A, True, False)
    assert not info.any()
    eps, wide = torch.finfo(dtype).eps, torch.complex128
    a, v = A.to(wide), V.to(wide)
    norm = a.abs().sum(-2).amax(-1)
    assert float(((a @ v - v * w[:, None, :]).abs().sum(-2).amax(-1) / norm).max()) <= 10 * n * eps
    assert float((v.mH @ v - torch.eye(n)).abs().sum(-2).max()) <= 10 * n * eps


def test_rows_and_columns_beyond_255_are_permuted():
    n = 300
    torch.manual_seed(0)
    A = torch.randn(n, n, dtype=torch.float64).triu()
    A[5, 3] = 1.0
    shuffle = torch.randperm(n)
    A = A[shuffle][:, shuffle].expand(8, n, n)
    w, V, _, info = ops.eig_batched(A, False, True, True)
    assert not info.any()
    residual = (A.to(V.dtype) @ V - V * w[:, None, :]).abs().sum(-2).amax(-1) / A.abs().sum(-2).amax(-1)
    assert float(residual.max()) <= 10 * n * torch.finfo(torch.float64).eps


def test_the_rule_asks_for_full_lane_groups():
    threads = torch.get_num_threads()
    for table, dtype, n in [("eig", torch.float32, 512), ("eig", torch.complex64, 256), ("eigh", torch.float64, 256)]:
        assert dispatch.rule(table, "cpu", dtype, n, dispatch.LANES).name == "simd"
        assert dispatch.rule(table, "cpu", dtype, n, dispatch.LANES - 1).name == "lapack"
        assert dispatch.rule(table, "cpu", dtype, 128, 0).name == "simd"
    A = torch.randn(threads * dispatch.LANES, 130, 130)
    assert torch.equal(sk.linalg.eigvals(A), ops.eig_batched(A, False, False, True)[0])


def test_lapack_path_leaves_torch_right():
    """In a thread that has set its number of threads, torch's batched LU of matrices like these is wrong: ours must not set it, nor need it."""
    program = """
import torch, spectral_kernels as sk
A = torch.randn(4, 320, 320, dtype=torch.float64)
def residual(U, w, A):
    return float((U.mH @ A.to(U.dtype) - w[..., None] * U.mH).abs().max())
r = sk.linalg.eig_ex(A, left=True)
X = torch.linalg.inv(A)
print(residual(r.left_eigenvectors, r.eigenvalues, A) < 1e-10, float((X @ A - torch.eye(320)).abs().max()) < 1e-8)
torch.set_num_threads(2)
r = sk.linalg.eig_ex(A, left=True)
print(residual(r.left_eigenvectors, r.eigenvalues, A) < 1e-10)
"""
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120).stdout
    assert out.split() == ["True", "True", "True"]
