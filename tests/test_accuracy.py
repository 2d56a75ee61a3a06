"""Backward error on random matrices, and where torch, MKL and SciPy fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.testing import matrices, ratios

REAL = [torch.float32, torch.float64]
pytestmark = pytest.mark.isa


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 75, 76, 127, 128])
def test_random(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(21, n, n, dtype=dtype)
    r = sk.linalg.eig_ex(A, left=True)
    assert not r.info.any()
    assert ratios.residual(A, r.eigenvalues, r.eigenvectors) <= 10
    assert ratios.residual(A.mT, r.eigenvalues.conj(), r.left_eigenvectors) <= 10
    assert torch.equal(sk.linalg.eigvals(A), r.eigenvalues)
    norms = torch.linalg.vector_norm(r.eigenvectors.to(torch.complex128), dim=-2)
    assert float((norms - 1).abs().max()) <= 10 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [20, 48, 64, 96])
@pytest.mark.parametrize("name", ["all ones", "all 1/3", "rank-one nilpotent"])
def test_where_mkl_does_not_converge(name, n, dtype):
    A = torch.from_numpy(matrices.ADVERSARIAL[name](n)).to(dtype)
    for vectors in (False, True):
        assert not sk.linalg.eig_ex(A, right=vectors).info.any()
    w, V = sk.linalg.eig(A)
    assert ratios.residual(A, w, V) / n <= 1  # |A V - V W| <= n ulp |A| |V|


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [3, 4, 5])
def test_skew_symmetric(n, dtype):
    """The diagonal of their 2x2 blocks is left with rounding errors of rounding errors, denormal numbers, that a rotation must not be made of as they are."""
    torch.manual_seed(n)
    A = torch.randn(20_000, n, n, dtype=dtype)
    A = A - A.mT
    r = sk.linalg.eig_ex(A, left=True)
    assert not r.info.any()
    # Diagonals of zeros deflate only when the subdiagonal underflows (as in xLAHQR): ten sweeps more, whose roundings add up to 25 in the worst of 20 000.
    assert ratios.residual(A, r.eigenvalues, r.eigenvectors) <= 50
    assert ratios.residual(A.mT, r.eigenvalues.conj(), r.left_eigenvectors) <= 50
    assert torch.equal(sk.linalg.eigvals(A), r.eigenvalues)


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [2, 3, 8, 33])
def test_scaled_matrices_have_scaled_eigenvalues(n, dtype):
    """Where SciPy does not undo its scaling (below 6.7e-139 and 9e-13): from the smallest to the largest exponents."""
    info = torch.finfo(dtype)
    torch.manual_seed(n)
    A = torch.randn(5, n, n, dtype=dtype)
    A /= A.abs().amax((-2, -1), keepdim=True)
    smallest, largest = int(np.log2(info.tiny)) + 30, int(np.log2(info.max)) - 10  # + 30: no entry that matters is denormal
    w = sk.linalg.eigvals(A).to(torch.complex128)
    for exponent in [smallest, -130 if dtype == torch.float64 else -60, -40, 40, largest]:
        scaled = torch.ldexp(A.double(), torch.tensor(exponent)).to(dtype)
        r = sk.linalg.eig_ex(scaled, left=True)
        assert not r.info.any()
        back = torch.complex(*(torch.ldexp(x.double(), torch.tensor(-exponent)) for x in (r.eigenvalues.real, r.eigenvalues.imag)))
        unscaled = torch.ldexp(scaled.double(), torch.tensor(-exponent)).to(dtype)
        assert ratios.residual(unscaled, back, r.eigenvectors) <= 10
        assert ratios.residual(unscaled.mT, back.conj(), r.left_eigenvectors) <= 10
        # sums of eigenvalues: insensitive to their condition
        assert float((back.sum(-1) - w.sum(-1)).abs().max()) <= 10 * n * info.eps * n


@pytest.mark.parametrize("dtype", REAL, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 33])
def test_real_eigenvalues_have_imaginary_part_plus_zero(n, dtype):
    """As LAPACK has it: -0 would put a negative eigenvalue on the other side of the branch cut of log and sqrt."""
    torch.manual_seed(n)
    A = torch.randn(33, n, n, dtype=dtype)
    A[::2] = A[::2] + A[::2].mT
    for balance in (False, True):
        r = sk.linalg.eig_ex(A, left=True, balance=balance)
        w = r.eigenvalues
        real = w.imag == 0
        assert bool(real[::2].all()) and not bool(w.imag[real].signbit().any())
        for V in (r.eigenvectors, r.left_eigenvectors):
            imag = V.imag.mT[real]
            assert not bool(imag.any()) and not bool(imag.signbit().any())


def standardisation_grid(dtype: torch.dtype) -> torch.Tensor:
    """DGET33's 20 736 matrices ``[a b; c d]``: every entry (1, 1 + 2 ulp, 2, 2 - 4 ulp) x (tiny, 1, huge), c negative."""
    info = np.finfo(str(dtype).removeprefix("torch."))
    eps, safmin = float(info.eps), float(info.tiny)
    values = np.outer([safmin / eps, 1.0, eps / safmin], [1.0, 1 + 2 * eps, 2.0, 2 - 4 * eps]).ravel()
    a, b, c, d = np.meshgrid(values, values, -values, values, indexing="ij")
    return torch.from_numpy(np.stack([a, b, c, d], -1).reshape(-1, 2, 2)).to(dtype)


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_two_by_two_grid(dtype):
    A = standardisation_grid(dtype)
    assert A.shape[0] == 20736
    r = sk.linalg.eig_ex(A, left=True, balance=False)
    assert not r.info.any()
    for test, ratio in ratios.ddrvev(A, r.eigenvalues, r.eigenvectors, r.left_eigenvectors).items():
        worst = int(ratio.argmax())
        assert ratio.max() <= 10, f"{test}: {int((ratio > 10).sum())} of {len(ratio)}, worst {ratio.max():.3g} at {A[worst].tolist()}"
    balanced = sk.linalg.eig_ex(A)
    assert not balanced.info.any()
    assert bool(balanced.eigenvalues.isfinite().all())
