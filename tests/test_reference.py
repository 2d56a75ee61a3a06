"""The definition against closed forms and LAPACK's conventions, and the op against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import spectral_kernels as sk
from spectral_kernels import dispatch
from spectral_kernels.api.testing import matrices, ratios
from spectral_kernels.reference.eig import eig as reference_eig
from spectral_kernels.reference.eigh import eigh as reference_eigh
from spectral_kernels.reference.eigh import from_triangle

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]


def forward_errors(A: torch.Tensor, w: torch.Tensor) -> np.ndarray:
    """For one matrix: ``|w_i - lambda_i|`` over its first-order bound ``kappa_i |E|``, after the best assignment.

    kappa_i = |u_i| |v_i| / |u_i^H v_i| is the condition number of the eigenvalue (Golub and Van Loan, 7.2.2), and the backward
    error is granted ``|E| = max(n, 10) ulp |A|_F``: 10 is the gate of the residual ratios, n its growth.
    """
    exact, V, U, info = reference_eig(A.double() if not A.is_complex() else A.to(torch.complex128), True, True, True)
    assert int(info) == 0
    kappa = 1 / (U.conj() * V).sum(-2).abs().numpy()
    distance = np.abs(exact.numpy()[:, None] - w.to(torch.complex128).numpy()[None, :])
    i, j = linear_sum_assignment(distance)
    bound = kappa * max(len(w), 10) * torch.finfo(A.dtype).eps * float(torch.linalg.matrix_norm(A.to(exact.dtype)))
    return distance[i, j] / bound[i]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 24])
def test_op_against_reference(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(7, n, n, dtype=dtype)
    for balance in (True, False):
        w, V, U, info = dispatch.solve("eig", A, True, True, balance)
        rw, rV, rU, rinfo = reference_eig(A, True, True, balance)
        for x, y in zip((w, V, U, info), (rw, rV, rU, rinfo), strict=True):
            assert x.shape == y.shape and x.dtype == y.dtype
        assert torch.equal(info, rinfo)
        for values, right, left in ((w, V, U), (rw, rV, rU)):
            assert ratios.residual(A, values, right) <= 10
            assert ratios.residual(A.mH, values.conj(), left) <= 10
        for a, x in zip(A, w, strict=True):
            assert forward_errors(a, x).max() <= 1


@pytest.mark.parametrize("name", ["cyclic permutation", "Clement", "Lesp", "skew", "orthogonal", "Wilkinson", "graded", "upper triangular"])
def test_eigenvalues_of_named_matrices(name):
    for n in (4, 9, 20):
        for dtype in (torch.float32, torch.float64):
            A = torch.from_numpy(matrices.ADVERSARIAL[name](n)).to(dtype)
            assert forward_errors(A, sk.linalg.eigvals(A)).max() <= 1, n


def test_forward_errors_catches_a_wrong_eigenvalue():
    torch.manual_seed(0)
    A = torch.randn(8, 8)
    w = sk.linalg.eigvals(A)
    w[3] += 1e-3
    assert forward_errors(A, w).max() > 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reference_has_torchs_scale_and_phase(dtype):
    torch.manual_seed(1)
    A = torch.randn(9, 6, 6, dtype=dtype)
    w, V, U, _ = reference_eig(A, True, True, True)
    theirs = torch.linalg.eig(A.to(torch.complex128 if A.is_complex() else torch.float64))
    torch.testing.assert_close(w, theirs.eigenvalues.to(w.dtype))
    torch.testing.assert_close(V, theirs.eigenvectors.to(w.dtype))
    for X in (V, U):
        assert float((torch.linalg.vector_norm(X, dim=-2) - 1).abs().max()) <= 10 * torch.finfo(dtype).eps
        assert not bool(X.gather(-2, X.abs().argmax(-2, keepdim=True)).imag.any())


def test_reference_closed_forms():
    t = torch.tensor(0.3, dtype=torch.float64)
    rotation = torch.stack([t.cos(), -t.sin(), t.sin(), t.cos()]).reshape(2, 2)
    w, _, _, _ = reference_eig(2 * rotation, True, True, True)
    torch.testing.assert_close(w, 2 * torch.exp(torch.stack([1j * t, -1j * t])))
    jordan = 0.5 * torch.eye(4) + torch.diag(torch.ones(3), 1)
    w, V, U, info = reference_eig(jordan, True, True, True)
    assert w.tolist() == [0.5] * 4 and int(info) == 0
    assert ratios.residual(jordan, w, V) <= 10 and ratios.residual(jordan.mT, w.conj(), U) <= 10
    w, V, U, _ = reference_eig(torch.eye(3), True, True, True)
    assert torch.equal(V, torch.eye(3, dtype=V.dtype)) and torch.equal(U, V)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reference_contract_at_the_edges(dtype):
    A = torch.eye(3, dtype=dtype).repeat(4, 1, 1)
    A[1, 0, 2], A[3, 1, 1] = float("nan"), float("inf")
    w, V, U, info = reference_eig(A, True, True, True)
    assert info.tolist() == [0, 4, 0, 4]
    for x in (w, V, U):
        assert bool(x[info > 0].isnan().all()) and not bool(x[info == 0].isnan().any())
    for shape in [(0, 3, 3), (2, 0, 0), (0, 0), (3, 0, 5, 5), (2, 2, 1, 1)]:
        w, V, U, info = reference_eig(torch.ones(shape, dtype=dtype), False, True, True)
        assert w.shape == shape[:-1] and V.shape == shape and U.shape == (0,) and info.shape == shape[:-2]


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 24])
def test_symmetric_op_against_reference(n, dtype, upper):
    torch.manual_seed(n)
    A = torch.randn(7, n, n, dtype=dtype)  # only one triangle counts
    A[3, n - 1 if upper else 0, n - 1 if upper else 0] = float("nan")
    w, V, info = dispatch.solve("eigh", A, True, upper)
    rw, rV, rinfo = reference_eigh(A, True, upper)
    assert torch.equal(info, rinfo) and bool(w[3].isnan().all()) and bool(V[3].isnan().all())
    good = info == 0
    scale = rw[good].abs().amax(-1, keepdim=True).double()
    assert float(((w - rw)[good].double() / scale).abs().max()) <= 10 * n * torch.finfo(dtype).eps  # Weyl: |dw| <= |E|
    for vectors in (V[good], rV[good]):
        H = torch.stack([from_triangle(a, upper) for a in A[good]]).to(torch.complex128)
        residual = (H @ vectors.to(torch.complex128) - vectors.to(torch.complex128) * rw[good][:, None, :]).abs().amax((-2, -1), keepdim=True)[..., 0]
        assert float((residual / scale).max()) <= 20 * n * torch.finfo(dtype).eps


def test_symmetric_definition_against_closed_forms():
    n = 9
    second_difference = 2 * torch.eye(n, dtype=torch.float64) - torch.diag(torch.ones(n - 1, dtype=torch.float64), -1)  # the lower triangle
    k = torch.arange(1, n + 1, dtype=torch.float64)
    w, _, info = reference_eigh(second_difference, False, False)
    torch.testing.assert_close(w, 2 - 2 * torch.cos(k * torch.pi / (n + 1)), rtol=1e-13, atol=1e-14)
    assert int(info) == 0
    pauli_y = torch.tensor([[0, -1j], [7, 5j]], dtype=torch.complex128)  # lower entry and imaginary diagonal do not count
    assert torch.equal(reference_eigh(pauli_y, False, True)[0], torch.tensor([-1.0, 1.0], dtype=torch.float64))
