"""The transitions on the secular solver: diagonal plus rank one, and S4's bilinear form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from secular_cases import dense, secular, signed_case

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance


def test_transition():
    d, b, c = (x.reshape(2, 3, 5) for x in signed_case("kda", 5, batch=6))
    t = sk.transitions.DiagonalPlusRankOne(d, b, c, sign=-1)
    assert t.shape == (2, 3, 5, 5) and t.batch_shape == (2, 3) and t.dtype == torch.float64
    assert torch.equal(t.dense(), dense(d, b, c))
    assert not t.distinct().values.is_complex() and torch.equal(t.distinct().values, secular(d, b * c)[0])
    r = t.eig(left=True)
    assert torch.equal(r.eigenvalues, t.eigvals()) and r.eigenvectors.is_complex() and not r.info.any()
    A = t.dense().to(torch.complex128)
    assert float((A @ r.eigenvectors - r.eigenvectors * r.eigenvalues.unsqueeze(-2)).abs().max()) <= 1e-14
    assert float((r.left_eigenvectors.mH @ A - r.eigenvalues.unsqueeze(-1) * r.left_eigenvectors.mH).abs().max()) <= 1e-14
    assert torch.equal(t[1].eigvals(), t.eigvals()[1])
    free = sk.transitions.DiagonalPlusRankOne(d, b, c)
    assert free.distinct().values.is_complex() and torch.equal(free.eigvals(), t.eigvals())
    assert free.eig().eigenvectors.shape == t.shape
    x = d.clone().requires_grad_()
    sk.transitions.DiagonalPlusRankOne(x, b, c, sign=-1).eig().eigenvectors.abs().sum().backward()
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.ones(3), torch.ones(4), torch.ones(3)), ValueError, "one length"),
        ((torch.ones(3), torch.ones(3), torch.ones(3).double()), TypeError, "one dtype"),
        ((torch.ones(3), torch.ones(3), torch.ones(3), 0), ValueError, "sign -1, 1 or None"),
        ((*[torch.ones(3, dtype=torch.complex64)] * 3, -1), TypeError, "real d, b and c"),
    ],
)
def test_transition_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        sk.transitions.DiagonalPlusRankOne(*arguments)


def bilinear(n=8, batch=3):
    rng = np.random.default_rng(n)
    Lambda = torch.tensor(-0.5 - rng.random((batch, n)) + 1j * n * rng.standard_normal((batch, n)))
    P = torch.tensor(rng.standard_normal((batch, n)) + 1j * rng.standard_normal((batch, n)))
    return Lambda, P, torch.tensor(0.01 + rng.random(batch))


@pytest.mark.parametrize("n", [1, 5, 16, 64])
def test_bilinear_low_rank(n):
    t = sk.transitions.BilinearLowRank(*bilinear(n))
    assert t.shape == (3, n, n)
    for ours, A in zip(t.eigvals().numpy(), t.dense().numpy(), strict=True):
        assert matched_distance(ours, np.linalg.eigvals(A)) <= 1e-10
    assert bool((t.spectral_radius() < 1).all())  # Re mu < 0
    condition = t.condition()
    M = torch.diag_embed(t.Lambda) - t.P.unsqueeze(-1) * t.P.conj().unsqueeze(-2)
    r = sk.linalg.eig_ex(M, left=True)
    expected = 1 / (r.left_eigenvectors.conj() * r.eigenvectors).sum(-2).abs()
    assert torch.allclose(condition.sort().values, expected.sort().values, rtol=1e-6)


def test_bilinear_low_rank_gradients():
    inputs = tuple(x.requires_grad_() for x in bilinear(3, 2))

    def smooth(*factors):
        return torch.view_as_real((sk.transitions.BilinearLowRank(*factors).eigvals() ** 3).sum(-1))

    assert torch.autograd.gradcheck(smooth, inputs)


def test_bilinear_low_rank_refuses():
    Lambda, P, delta = bilinear()
    for arguments, error in [((Lambda, P[..., :2], delta), ValueError), ((Lambda, P, delta[:2]), ValueError), ((Lambda.real, P.real, delta), TypeError)]:
        with pytest.raises(error, match="BilinearLowRank"):
            sk.transitions.BilinearLowRank(*arguments)
