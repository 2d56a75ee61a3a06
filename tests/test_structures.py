"""The edge cases of the structures, one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transition_cases import F64, assert_backward, assert_eigenvalues, make, randn, tr

from spectral_kernels.api.testing.matching import matched_distance


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 0.3])
@pytest.mark.parametrize("length", [1.0, 1.7, 0.0])
def test_rank_one_symmetric(beta, length):
    k = length * torch.nn.functional.normalize(randn(6), dim=0)
    t = tr.RankOne(torch.tensor(0.9, dtype=F64), torch.tensor(0.9 * beta, dtype=F64), k)
    assert_eigenvalues(t, 1e-14)
    assert t.eigvals()[-1].real.item() == pytest.approx(0.9 * (1 - beta * length**2), abs=1e-14)
    _, V, U, _ = t.eig(left=True)
    assert float((V.mH @ V - torch.eye(6)).abs().max()) <= 1e-14 and torch.equal(U, V)


@pytest.mark.parametrize("dtype", [F64, torch.complex128])
def test_rank_one_degenerate(dtype):
    """p orthogonal to k (defective), and what is a multiple of the identity because a factor is 0, whatever p^T k is."""
    k, p, one = torch.zeros(3, dtype=dtype), torch.zeros(3, dtype=dtype), torch.ones((), dtype=dtype)
    k[0], p[1] = 2.0, 3.0
    t = tr.RankOne(0.5 * one, one, k, p)
    assert torch.equal(t.eigvals(), torch.full((3,), 0.5 + 0j, dtype=torch.complex128))
    assert_backward(t)
    w, V, U, _ = t.eig(left=True)
    A = t.dense().to(torch.complex128)
    assert float((A @ V - V * w).abs().max()) <= 1e-14 and float((U.mH @ A - w[:, None] * U.mH).abs().max()) <= 1e-14
    assert int(torch.linalg.matrix_rank(V)) == 2
    for beta, a, b in ((0 * one, k, p), (one, 0 * k, p), (one, k, 0 * p), (one, 0 * k, 0 * p)):
        w, V, U, info = tr.RankOne(0.5 * one, beta, a, b).eig(left=True)
        assert bool((w == 0.5).all()) and int(info) == 0
        assert torch.allclose(V.mH @ V, torch.eye(3, dtype=torch.complex128)) and torch.allclose(U.mH @ U, torch.eye(3, dtype=torch.complex128))


def test_rank_one_of_extreme_length():
    """Vectors of lengths whose squares leave the range keep their directions."""
    for length in (1e-200, 1e200):
        t = tr.RankOne(torch.ones((), dtype=F64), torch.full((), 1 / length, dtype=F64), length * randn(4), randn(4))
        w, V, U, _ = t.eig(left=True)
        A = t.dense().to(torch.complex128)
        assert float((A @ V - V * w).abs().max()) <= 1e-13 and float((U.mH @ A - w[:, None] * U.mH).abs().max()) <= 1e-13


def test_householder_edge_cases():
    alpha = torch.tensor(0.8, dtype=F64)
    k = torch.nn.functional.normalize(randn(3, 6), dim=-1)
    beta = torch.tensor([0.7, 0.0, 1.9], dtype=F64)
    for b, vectors in (
        (beta, k),
        (torch.zeros(3, dtype=F64), k),
        (beta, k[[0, 0, 1]]),
        (torch.full((3,), 1.0, dtype=F64), k[[0, 0, 0]]),
        (beta, torch.eye(6, dtype=F64)[:3]),
        (beta, torch.nn.functional.normalize(randn(3, 2), dim=-1)),
        (beta, torch.ones(3, 1, dtype=F64)),
        (beta, torch.zeros(3, 6, dtype=F64)),
        (beta, 1.7 * k),
    ):
        t = tr.HouseholderProduct(alpha, b, vectors)
        expected = alpha * torch.eye(vectors.shape[-1], dtype=F64)
        for b_j, k_j in zip(b, vectors, strict=True):
            expected = (torch.eye(vectors.shape[-1]) - b_j * torch.outer(k_j, k_j)) @ expected
        assert torch.allclose(t.dense(), expected, rtol=0, atol=1e-15)
        assert torch.allclose(t.low_rank().dense(), expected, rtol=0, atol=1e-14)
        assert_eigenvalues(t, 1e-7 if b is not beta else 1e-10)  # equal k and beta = 1: semi-simple 0, or 1 thrice


def test_householder_rotation():
    """Two reflections turn by twice the angle between their vectors; beta <= 2 and unit k: no eigenvalue leaves the disc of radius alpha."""
    angle = 0.4
    k = torch.tensor([[1.0, 0.0, 0.0], [math.cos(angle), math.sin(angle), 0.0]], dtype=F64)
    t = tr.HouseholderProduct(torch.tensor(0.9, dtype=F64), torch.full((2,), 2.0, dtype=F64), k)
    assert matched_distance(t.eigvals(), 0.9 * np.exp([0, 2j * angle, -2j * angle])) <= 1e-15
    many = make(("householder_4", F64), (500,), 8)
    assert bool((many.spectral_radius() <= many.alpha * (1 + 1e-12)).all()) and float(many.eigvals().imag.abs().max()) > 0.1
    assert_eigenvalues(many)


def test_momentum_edge_cases():
    k = torch.tensor([0.6, 0.8, 0.0], dtype=F64)
    orthogonal = torch.tensor([0.0, 0.0, 2.0], dtype=F64)
    for a, mu, b, eta, p in (
        (0.9, 0.8, 1.0, 0.3, None),
        (0.9, 0.0, 1.0, 0.3, None),
        (0.9, 0.8, 0.0, 0.3, None),
        (0.9, 0.8, 1.0, 0.0, None),
        (0.0, 0.0, 1.0, 0.3, None),
        (0.0, 0.8, 1.0, 1e-9, None),
    ):
        t = tr.Momentum(*(torch.tensor(x, dtype=F64) for x in (a, mu, b, eta)), k, p)
        assert_eigenvalues(t, 1e-7 if mu == a else 1e-10)
        w, V, U, _ = t.eig(left=True)
        A = t.dense().to(torch.complex128)
        assert float((A @ V - V * w).abs().max()) <= 1e-14 and float((U.mH @ A - w[:, None] * U.mH).abs().max()) <= 1e-14
    for a, mu, b, eta, p in ((0.7, 0.7, 1.0, 0.3, None), (0.9, 0.8, 1.0, 0.3, orthogonal), (0.25, 1.0, 1.0, 0.25, None), (0.9, 0.8, 1.0, 0.5, 0 * k)):
        t = tr.Momentum(*(torch.tensor(x, dtype=F64) for x in (a, mu, b, eta)), k, p)
        assert_backward(t, 1e-8 if a == 0.25 else 1e-13)  # a double root moves by the square root of rounding errors
        w, V, U, _ = t.eig(left=True)
        A = t.dense().to(torch.complex128)
        assert float((A @ V - V * w).abs().max()) <= 1e-7 and float((U.mH @ A - w[:, None] * U.mH).abs().max()) <= 1e-7
    complex_pair = (t_all := make(("momentum", F64), (400,), 3)).distinct().values[:, -1].imag != 0
    predicted = (t_all.a + t_all.mu - t_all.b * t_all.eta * t_all.k.square().sum(-1)) ** 2 < 4 * t_all.a * t_all.mu
    assert torch.equal(complex_pair, predicted) and 0 < int(predicted.sum()) < 400


def test_kronecker_reads_a_symmetric_matrix():
    t = make(("kronecker", F64), n=3)
    G = t.G.tril() + t.G.tril(-1).mT
    assert torch.equal(t.dense(), replace(t, G=G).dense()) and torch.equal(t.eigvals(), replace(t, G=G).eigvals())
    state = randn(2, 3, 3, 2)
    stepped = state - t.eta[..., None, None] * t.k[..., :, None] * (t.k[..., None, :] @ state) @ G
    assert torch.allclose((t.dense() @ state.reshape(2, 3, 6, 1)).reshape(2, 3, 3, 2), stepped)


def test_level_merge_counts_like_a_binary_counter():
    """At t the levels below ctz(t) + 1 are added up there: the levels hold the bits of t."""
    levels, T = 5, 15
    level = torch.tensor([(t & -t).bit_length() - 1 for t in range(1, T + 1)])
    t = tr.LevelMerge(tr.Scalar(torch.ones(T, dtype=F64)), level, levels)
    state = torch.zeros(levels, dtype=F64)
    for step, A in enumerate(t.dense(), start=1):
        state[0] += 1  # the token of the position before
        state = A @ state
        assert state.tolist() == [0, *(float(step & (1 << bit)) for bit in range(levels - 1))]
    assert [(row == 0).sum().item() for row in t.eigvals()] == [min(l + 2, levels) for l in level]  # noqa: E741
    assert tr.LevelMerge(tr.Scalar(torch.ones(3)), torch.tensor(-2), 4).eigvals().real.sum().item() == 12
    by_head = tr.LevelMerge(tr.Scalar(torch.rand(2)), level[:, None], levels, time=-2)
    assert by_head.batch_shape == (T, 2) and by_head.inner.time == -2 and by_head.window(2).batch_shape == (T - 1, 2)


def test_shift_register_is_nilpotent():
    t = tr.ShiftRegister(4, torch.zeros(3, dtype=F64))
    assert torch.equal(torch.linalg.matrix_power(t.dense(), 4), torch.zeros(3, 4, 4, dtype=F64)) and float(torch.linalg.matrix_power(t.dense(), 3).abs().max()) == 1
    assert t.lti and t.window(4).lti and bool((t.window(4).dense() == 0).all()) and bool((t.eigvals() == 0).all())
    inputs = torch.arange(5.0, 9.0, dtype=F64)
    assert (t.dense()[0] @ inputs).tolist() == [0, 5, 6, 7]


def test_companion_has_the_roots_it_was_given():
    roots = torch.tensor([0.9, -0.5, 0.3 + 0.4j, 0.3 - 0.4j], dtype=torch.complex128)
    t = tr.Companion(torch.tensor(-np.poly(roots.numpy()).real[1:]))
    assert matched_distance(t.eigvals(), roots) <= 1e-14
    assert t.dense()[0].tolist() == t.coefficients.tolist() and torch.equal(t.dense()[1:, :-1], torch.eye(3, dtype=F64))


def test_logs_reach_where_values_do_not():
    log = torch.tensor([-1e-12, -2000.0, -math.inf, 0.0, 2000.0])
    for t in (
        tr.Scalar(log, log=True),
        tr.Diagonal(log[:, None], log=True),
        tr.ZeroOrderHold(log[[0, 1, 3, 4], None].abs(), torch.tensor([[-1.0]])),
        tr.Rotation(log, torch.zeros(5, 0), 1, log=True),
    ):
        expected = torch.tensor([1e12, 1 / 2000, 0.0, math.inf, math.inf])
        if isinstance(t, tr.ZeroOrderHold):
            expected = torch.tensor([1e12, 1 / 2000, math.inf, 1 / 2000])
        torch.testing.assert_close(t.horizon()[:, 0], expected, rtol=1e-6, atol=0)
    assert tr.Scalar(log, log=True).eigvals()[:, 0].real.tolist() == [1.0, 0.0, 0.0, 1.0, math.inf]
    assert tr.Scalar(log, log=True).eig().info.tolist() == [0] * 5
    assert tr.Scalar(torch.tensor([math.nan, math.inf]), log=True).eig().info.tolist() == [2, 2]


def test_zero_order_hold():
    delta, rate = torch.tensor([[0.0, 1e-30], [1e4, 0.5]], dtype=F64), -torch.arange(1.0, 7.0, dtype=F64).reshape(2, 3)
    t = tr.ZeroOrderHold(delta, rate)
    assert torch.equal(t.eigvals().real, (delta[..., None] * rate).exp().flatten(-2)) and t.size == 6
    assert t.eigvals()[0].real.tolist() == [1.0] * 6 and t.eigvals()[1, :3].real.tolist() == [0.0] * 3 and t.log_modulus()[1, 0].item() == -1e4
    assert bool(replace(t, rate=rate * math.nan).eigvals().isnan().all()) and int(replace(t, rate=rate * math.nan).eig().info.min()) == 7
    assert torch.equal(tr.ZeroOrderHold(delta[:, :1], rate).eigvals(), tr.ZeroOrderHold(delta[:, :1].expand(2, 2), rate).eigvals())


def test_rotation_eigenvectors_are_real_where_eigenvalues_are():
    t = tr.Rotation(torch.tensor([0.5, 0.0]), torch.tensor([[0.0, 1.0], [2.0, 1.0]]), 5)
    V = t.eig().eigenvectors
    assert bool((V[0, :, :2].imag == 0).all()) and bool((V[0, :, 2:4].imag != 0).any()) and bool((V[1].imag == 0).all())


def test_horizon_has_a_gradient_where_nothing_decays():
    value = torch.tensor([0.5, 1.0, -1.0, 2.0], dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(tr.Scalar(value).horizon()[:1].sum() + tr.Scalar(value).horizon()[1:].clamp_max(5).sum(), value)
    assert gradient.tolist() == [pytest.approx(1 / (0.5 * math.log(0.5) ** 2)), 0, 0, 0]
