"""What is particular to complex input: agreement with the real solver, Hermitian matrices, conjugate views, isolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.testing import matrices, ratios

DTYPES = [torch.complex64, torch.complex128]
pytestmark = pytest.mark.isa
SIZES = [*range(1, 21), 31, 32, 33, 64, 75, 96, 128]


def sorted_eigenvalues(w: torch.Tensor) -> np.ndarray:
    """Each spectrum in an order that rounding does not change: by distance from a point on no axis of symmetry."""
    values = w.numpy().astype(np.complex128)
    return np.take_along_axis(values, np.argsort(np.abs(values - (0.37 + 91.3j)), axis=-1), axis=-1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", SIZES)
def test_random(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(37, n, n, dtype=dtype)
    r = sk.linalg.eig_ex(A, left=True)
    assert r.info.abs().max() == 0
    for test, ratio in ratios.ddrvev(A, r.eigenvalues, r.eigenvectors, r.left_eigenvectors).items():
        assert ratio.max() <= 10, test
    assert torch.equal(sk.linalg.eigvals(A), r.eigenvalues)
    # the same bits alone, in another place of the batch, and beside other neighbours
    alone = [sk.linalg.eig_ex(a, left=True) for a in A[:3]]
    assert torch.equal(torch.stack([a.eigenvalues for a in alone]), r.eigenvalues[:3])
    assert torch.equal(torch.stack([a.eigenvectors for a in alone]), r.eigenvectors[:3])
    assert torch.equal(torch.stack([a.left_eigenvectors for a in alone]), r.left_eigenvectors[:3])
    order = torch.randperm(37)
    shuffled = sk.linalg.eig_ex(A[order], left=True)
    assert torch.equal(shuffled.eigenvalues, r.eigenvalues[order])
    assert torch.equal(shuffled.eigenvectors, r.eigenvectors[order])
    assert torch.equal(shuffled.left_eigenvectors, r.left_eigenvectors[order])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [2, 5, 16, 33])
def test_types_in_any_company(n, dtype):
    """Matrices of every type beside each other, and each alone: the same bits."""
    A, names = matrices.lapack_batch(n, torch.empty((), dtype=dtype).numpy().dtype, 1)
    A = torch.from_numpy(A)
    together = sk.linalg.eig_ex(A, left=True)
    for b, name in enumerate(names):
        alone = sk.linalg.eig_ex(A[b], left=True)
        assert torch.equal(alone.eigenvalues, together.eigenvalues[b]), name
        assert torch.equal(alone.eigenvectors, together.eigenvectors[b]), name
        assert torch.equal(alone.left_eigenvectors, together.left_eigenvectors[b]), name


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_threads_change_nothing(dtype):
    torch.manual_seed(0)
    A = torch.randn(203, 12, 12, dtype=dtype)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        w1, V1 = sk.linalg.eig(A)
        torch.set_num_threads(3)
        w3, V3 = sk.linalg.eig(A)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(w1, w3) and torch.equal(V1, V3)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 32, 64])
def test_agrees_with_the_real_solver(n):
    torch.manual_seed(n)
    A = torch.randn(9, n, n, dtype=torch.float64)
    real, as_complex = sk.linalg.eigvals(A), sk.linalg.eigvals(A.to(torch.complex128))
    np.testing.assert_allclose(sorted_eigenvalues(as_complex), sorted_eigenvalues(real), rtol=0, atol=1e-11 * n)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 8, 17, 32, 64, 128])
def test_hermitian(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(5, n, n, dtype=dtype)
    A = A + A.mH
    w, V = sk.linalg.eig(A)
    exact = torch.linalg.eigvalsh(A.to(torch.complex128))
    scale = 4 * n * torch.finfo(dtype).eps * float(exact.abs().max())
    assert float(w.imag.abs().max()) <= scale
    assert float((w.real.double().sort(-1).values - exact).abs().max()) <= scale
    gram = (V.mH @ V).to(torch.complex128) - torch.eye(n)
    gap = (exact[:, 1:] - exact[:, :-1]).min() if n > 1 else torch.tensor(1.0)
    assert float(gram.abs().max()) <= 4 * scale / float(gap) + 10 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_phase_is_torchs(dtype):
    """Vectors of well-separated eigenvalues agree with torch's entry by entry: same norm, same phase."""
    n = 6
    torch.manual_seed(0)
    X = torch.linalg.qr(torch.randn(4, n, n, dtype=torch.complex128)).Q
    A = (X @ torch.diag_embed(torch.arange(1.0, n + 1).to(torch.complex128)) @ X.mH).to(dtype)
    w, V = sk.linalg.eig(A)
    w0, V0 = torch.linalg.eig(A)
    V = torch.take_along_dim(V, w.real.argsort(-1)[:, None, :], dim=-1)
    V0 = torch.take_along_dim(V0, w0.real.argsort(-1)[:, None, :], dim=-1)
    assert float((V - V0).abs().max()) <= 100 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bad_matrix_harms_nobody(dtype):
    torch.manual_seed(0)
    A = torch.randn(19, 6, 6, dtype=dtype)
    clean = sk.linalg.eig_ex(A, left=True)
    A[4, 2, 3] = complex(float("nan"), 0)
    A[7, 0, 0] = complex(0, float("inf"))
    A[18, 5, 0] = complex(0, float("nan"))
    r = sk.linalg.eig_ex(A, left=True)
    bad = torch.zeros(19, dtype=torch.bool)
    bad[[4, 7, 18]] = True
    assert torch.equal(r.info, torch.where(bad, 7, 0).to(torch.int32))
    for name in ("eigenvalues", "eigenvectors", "left_eigenvectors"):
        got, expected = getattr(r, name), getattr(clean, name)
        assert torch.equal(got[~bad], expected[~bad])
        assert bool(torch.view_as_real(got[bad]).isnan().all())
    with pytest.raises(torch.linalg.LinAlgError, match="element 4"):
        sk.linalg.eigvals(A)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_views(dtype):
    torch.manual_seed(0)
    A = torch.randn(4, 3, 5, 5, dtype=dtype)
    expected = sk.linalg.eigvals(A)
    assert torch.equal(sk.linalg.eigvals(A.transpose(0, 1)), expected.transpose(0, 1))
    assert torch.equal(sk.linalg.eigvals(A.mT.contiguous().mT), expected)
    assert torch.equal(sk.linalg.eigvals(A[::2, 1]), expected[::2, 1])
    assert torch.equal(sk.linalg.eigvals(A.conj()), sk.linalg.eigvals(A.conj().resolve_conj()))
    assert torch.equal(sk.linalg.eigvals(A.mH), sk.linalg.eigvals(A.mH.resolve_conj()))
    w, V = sk.linalg.eig(A[0].mH)
    assert ratios.dget22(A[0].mH.resolve_conj().numpy(), V.numpy(), w.numpy()).max() <= 10


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [3, 8, 20])
def test_without_balancing(n, dtype):
    torch.manual_seed(n)
    A = torch.randn(18, n, n, dtype=dtype)
    r = sk.linalg.eig_ex(A, left=True, balance=False)
    for test, ratio in ratios.ddrvev(A, r.eigenvalues, r.eigenvectors, r.left_eigenvectors).items():
        assert ratio.max() <= 10, test


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype):
    A = torch.randn(3, 4, 4, dtype=dtype)
    for left, right in [(False, False), (False, True), (True, True)]:
        torch.library.opcheck(torch.ops.spectral_kernels.eig_batched, (A, left, right, True), test_utils=("test_schema", "test_faketensor"))
