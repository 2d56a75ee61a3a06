"""Derivatives: gradcheck of every result, torch's own gradients as the reference, degenerate spectra, phase-dependent losses."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import spectral_kernels as sk

DTYPES = [torch.float64, torch.complex128]


def matrices(dtype, *shape, seed=0):
    torch.manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def left_and_right(A, **kwargs):
    r = sk.linalg.eig_ex(A, left=True, **kwargs)
    cosines = (r.left_eigenvectors.conj() * r.eigenvectors).sum(-2).abs()  # 1 / condition of each eigenvalue
    return r.eigenvalues, r.eigenvectors.abs(), r.left_eigenvectors.abs(), cosines


def left_alone(A):
    return sk.linalg.eig_ex(A, left=True, right=False).left_eigenvectors.abs()


def hermitian(A):
    w, V = sk.linalg.eigh(A + A.mH)
    return w, V.abs()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("function", [left_and_right, left_alone, hermitian, sk.linalg.eigvals, lambda A: sk.linalg.eigvalsh(A + A.mH, UPLO="U")])
def test_first_and_second_order(function, dtype):
    A = matrices(dtype, 2, 3, 3)
    assert gradcheck(function, (A,), check_forward_ad=True)
    assert gradgradcheck(function, (A,), check_fwd_over_rev=True, fast_mode=True)


@pytest.mark.parametrize("n", [1, 2, 8, 33, 130])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["eig", "eigvals", "eigh", "eigvalsh"])
def test_gradient_is_torchs(name, dtype, n):
    def gradient(function):
        A = matrices(dtype, 2, n, n)
        result = function(A + A.mH if name.endswith("h") else A)
        w, V = result if isinstance(result, tuple) else (result, torch.zeros(1, dtype=dtype))
        return torch.autograd.grad((w * w.conj()).real.sum() + (V.abs() ** 3).sum(), A)[0]

    expected, got = gradient(getattr(torch.linalg, name)), gradient(getattr(sk.linalg, name))
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-9 * float(expected.abs().max()))


def test_eigenvalue_gradient_of_repeated_eigenvalues():
    """The trace's gradient is I whatever the basis of an eigenspace is."""
    torch.manual_seed(0)
    for spectrum in ([1.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0]):
        X = torch.randn(4, 4, dtype=torch.float64)
        A = (X @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ torch.linalg.inv(X)).requires_grad_()
        (g,) = torch.autograd.grad(sk.linalg.eigvals(A).sum().real, A)
        assert float((g - torch.eye(4)).abs().max()) <= 1e-6
    A = torch.eye(3, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(sk.linalg.eigvals(A).sum().real, A)
    assert torch.equal(g, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["eig", "eigh"])
def test_phase_dependent_loss(name):
    A = matrices(torch.complex128, 4, 4)
    for module in (torch.linalg, sk.linalg):
        _, V = getattr(module, name)(A + A.mH)
        with pytest.raises(RuntimeError, match=f"linalg_{name}_backward: The eigenvectors in the complex case .* ill-defined"):
            V.sum().abs().backward()


def lorentzian(d, e):
    return d.conj() / (d.abs() ** 2 + e**2)


@pytest.mark.parametrize("broadening", [1e-3, 0.5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_broadening_is_its_formula(dtype, broadening):
    A = matrices(dtype, 4, 4)
    w, V = sk.linalg.eig(A, broadening=broadening)
    weight = torch.rand(4, 4, dtype=torch.float64)
    (g,) = torch.autograd.grad((V.abs() * weight).sum(), A)
    with torch.no_grad():
        F = lorentzian(w[None, :] - w[:, None], broadening)
        gV = weight * V / V.abs()
        G = V.mH @ gV
        inner = (G - V.mH @ V @ torch.diag(G.diagonal().real).to(V.dtype)) * F.conj()
        expected = torch.linalg.solve(V.mH, inner @ V.mH)
    torch.testing.assert_close(g, expected if dtype.is_complex else expected.real)
    B = A + A.mH
    w, V = sk.linalg.eigh(B, broadening=broadening)
    (g,) = torch.autograd.grad((V.abs() * weight).sum(), B)
    G = (V.mH @ (weight * V / V.abs())).detach()
    torch.testing.assert_close(g, (V @ ((G - G.mH) / 2 * lorentzian(w[None, :] - w[:, None], broadening)) @ V.mH).detach())


def test_broadening_is_finite_where_eigenvalues_meet():
    A = torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)).requires_grad_()
    for function in (sk.linalg.eig, sk.linalg.eigh):
        loss = lambda V: (V.real**3 @ torch.ones(3, dtype=torch.float64) * torch.arange(3)).sum()  # noqa: E731
        (g,) = torch.autograd.grad(loss(function(A, broadening=1e-6)[1]), A)
        assert bool(g.isfinite().all())
        (g,) = torch.autograd.grad(loss(function(A)[1]), A)
        assert not bool(g.isfinite().all())
    with pytest.raises(ValueError, match="broadening must be >= 0, got -1"):
        sk.linalg.eig(A, broadening=-1.0)


def test_a_bad_matrix_keeps_its_gradient_to_itself():
    A = matrices(torch.float64, 3, 4, 4)
    B = A.detach().clone()
    B[1, 0, 0] = float("nan")
    B.requires_grad_()
    (clean,) = torch.autograd.grad(sk.linalg.eig_ex(A).eigenvalues.abs().sum(), A)
    (g,) = torch.autograd.grad(sk.linalg.eig_ex(B).eigenvalues.abs().sum(), B)
    assert torch.equal(g[[0, 2]], clean[[0, 2]]) and bool(g[1].isnan().all())
    with pytest.raises(torch.linalg.LinAlgError, match="element 1"):
        sk.linalg.eigvals(B)
