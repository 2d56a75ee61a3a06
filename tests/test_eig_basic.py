"""Residuals, the two paths' equality bit for bit, and what the argument errors say."""

from __future__ import annotations

import doctest

import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api import linalg


def residual(A, w, V):
    """DGET22's ratio without its n: |A V - V W|_1 / (|A|_1 |V|_1 ulp), evaluated in complex128."""
    A, V, w = A.to(torch.complex128), V.to(torch.complex128), w.to(torch.complex128)
    return lambda eps: float(((A @ V - V * w[..., None, :]).abs().sum(-2).amax(-1) / A.abs().sum(-2).amax(-1) / V.abs().sum(-2).amax(-1) / eps).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 75, 76, 127, 128])
def test_random(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(21, n, n, dtype=dtype)
    eps = torch.finfo(dtype).eps
    r = sk.linalg.eig_ex(A, left=True)
    assert int(r.info.abs().max()) == 0
    assert residual(A, r.eigenvalues, r.eigenvectors)(eps) <= 10
    assert residual(A.mT, r.eigenvalues.conj(), r.left_eigenvectors)(eps) <= 10
    assert torch.equal(sk.linalg.eigvals(A), r.eigenvalues)
    assert torch.equal(torch.stack([sk.linalg.eigvals(a) for a in A]), r.eigenvalues)
    norms = torch.linalg.vector_norm(r.eigenvectors.to(torch.complex128), dim=-2)
    assert float((norms - 1).abs().max()) <= 10 * eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bad_matrix_harms_nobody(dtype):
    torch.manual_seed(0)
    A = torch.randn(9, 6, 6, dtype=dtype)
    clean = sk.linalg.eigvals(A)
    A[4, 2, 3] = float("nan")
    A[7, 0, 0] = float("inf")
    r = sk.linalg.eig_ex(A)
    assert r.info.tolist() == [0, 0, 0, 0, 7, 0, 0, 7, 0]
    good = r.info == 0
    assert torch.equal(r.eigenvalues[good], clean[good])
    assert bool(r.eigenvalues[~good].isnan().all()) and bool(r.eigenvectors[~good].isnan().all())
    with pytest.raises(torch.linalg.LinAlgError, match="element 4"):
        sk.linalg.eig(A)


@pytest.mark.parametrize("n", [20, 48, 64, 96])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_where_mkl_does_not_converge(n, dtype):
    signs = (-1.0) ** torch.arange(n, dtype=dtype)
    nilpotent = torch.outer(torch.ones(n, dtype=dtype), signs)
    for A in (torch.ones(n, n, dtype=dtype), torch.full((n, n), 1 / 3, dtype=dtype), nilpotent):
        w, V = sk.linalg.eig(A)
        assert residual(A, w, V)(torch.finfo(dtype).eps) / n <= 1  # |A V - V W| <= n ulp |A| |V|


def test_lapack_path_sizes_and_complex():
    torch.manual_seed(0)
    for A in (torch.randn(3, 130, 130, dtype=torch.float64), torch.randn(5, 6, 6, dtype=torch.complex128)):
        w, V = sk.linalg.eig(A)
        assert residual(A, w, V)(2.3e-16) <= 10


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 0), (0, 0), (3, 0, 5, 5)])
def test_empty(shape):
    A = torch.empty(shape)
    w, V = sk.linalg.eig(A)
    assert w.shape == shape[:-1] and V.shape == shape


def test_strides():
    torch.manual_seed(0)
    A = torch.randn(4, 3, 5, 5)
    expected = sk.linalg.eigvals(A)
    assert torch.equal(sk.linalg.eigvals(A.transpose(0, 1)), expected.transpose(0, 1))
    assert torch.equal(sk.linalg.eigvals(A.mT.contiguous().mT), expected)
    assert torch.equal(sk.linalg.eigvals(A[:1].expand(7, 3, 5, 5)), expected[:1].expand(7, 3, 5))
    assert torch.equal(sk.linalg.eigvals(A[::2, 1]), expected[::2, 1])


@pytest.mark.parametrize("call", [torch.linalg.eig, torch.linalg.eigvals])
def test_errors_are_torchs(call):
    ours = getattr(sk.linalg, call.__name__.replace("linalg_", ""))
    for bad in (torch.randn(3), torch.randn(3, 4), torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 2, dtype=torch.bfloat16), [1]):
        with pytest.raises(Exception) as theirs:
            call(bad)
        with pytest.raises(type(theirs.value)):
            ours(bad)


def test_drop_in():
    torch.manual_seed(0)
    A = torch.randn(4, 8, 8)
    with sk.drop_in():
        w, V = torch.linalg.eig(A)
        assert torch.equal(torch.linalg.eigvals(A), sk.linalg.eigvals(A))
    assert torch.equal(w, sk.linalg.eig(A).eigenvalues)
    assert V.stride() == torch.linalg.eig(A).eigenvectors.stride()


def test_opcheck():
    A = torch.randn(3, 4, 4, dtype=torch.float64)
    for left, right in [(False, False), (False, True), (True, True)]:
        torch.library.opcheck(torch.ops.spectral_kernels.eig_simd, (A, left, right, True), test_utils=("test_schema", "test_faketensor"))


def test_docstrings():
    assert doctest.testmod(linalg).failed == 0
