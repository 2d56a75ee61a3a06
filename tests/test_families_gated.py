"""xLSTM and MesaNet: families whose transition depends on the whole past."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from family_checks import Case, every, jacobian, randn

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance

F = sk.families
B, T, H, K = 2, 5, 3, 4


def eta(x, b, t, h):
    """max(|n_t q_t|, 1) in the units of the recurrence."""
    n = torch.zeros(K, dtype=torch.float64)
    for s in range(t + 1):
        n = torch.sigmoid(x["fgate"][b, s, h]) * n + x["igate"][b, s, h].exp() * x["key"][b, s, h]
    return (n @ x["query"][b, t, h] / math.sqrt(K)).abs().clamp(min=1)


def mlstm_step(x, index, C):
    """The state divided by its normaliser."""
    b, t, h = index
    return (torch.sigmoid(x["fgate"][index]) * C * eta(x, b, t - 1, h) + x["igate"][index].exp() * x["key"][index]) / eta(x, b, t, h)


def moments(x, b, t, h):
    """Lambda + sum over the past of beta k k^T, decayed."""
    S, k = torch.zeros(K, K, dtype=torch.float64), x["k"][b, :, h]
    for s in range(t + 1):
        S = (x["g"][b, s, h].exp() if "g" in x else 1) * S + x["beta"][b, s, h] * torch.outer(k[s], k[s])
    return S + torch.diag(x["lamb"][h])


def mesa_step(x, index, W):
    """W_t = (H_kk + Lambda)^-1 H_kv, from W_{t-1} by way of H_kv."""
    b, t, h = index
    H_kv = moments(x, b, t - 1, h) @ W
    return torch.linalg.solve(moments(x, b, t, h), (x["g"][index].exp() if "g" in x else 1) * H_kv + x["beta"][index] * 0.3 * x["k"][index])


gate = randn(B, T, H)
mesa = {"k": torch.nn.functional.normalize(randn(B, T, H, K), dim=-1), "beta": torch.sigmoid(gate), "lamb": torch.rand(H, K, dtype=torch.float64) + 0.25}
normalised = {"fgate": gate + 1, "igate": randn(B, T, H, seed=1, scale=2), "query": randn(B, T, H, K, seed=2), "key": randn(B, T, H, K, seed=3)}
CASES = [
    Case("mlstm", F.mlstm, {"fgate": gate}, lambda x, i, C: torch.sigmoid(x["fgate"][i]) * C + 0.3, ("fgate",), {"head_k_dim": K}),
    Case("mlstm capped", F.mlstm, {"fgate": 20 * gate}, lambda x, i, C: torch.sigmoid(15 * torch.tanh(x["fgate"][i] / 15)) * C, ("fgate",), {"soft_cap": 15.0}, low=3e-7),
    Case("mlstm exp", F.mlstm, {"fgate": gate}, lambda x, i, C: x["fgate"][i].exp() * C, ("fgate",), {"forget": "exp"}, high=math.inf),
    Case("mlstm normalised", F.mlstm, normalised, mlstm_step, tuple(normalised), {"head_k_dim": K}, high=math.inf, local=False),
    Case("slstm", F.slstm, {"f": randn(B, T, H, K)}, lambda x, i, C: torch.sigmoid(x["f"][i]) * C + 0.3, ("f",)),
    Case("slstm exp", F.slstm, {"f": randn(B, T, H, K)}, lambda x, i, C: x["f"][i].exp() * C + 0.3, ("f",), {"forget": "exp"}, high=math.inf),
    Case("mesa", F.mesa_net, {"a_proj": gate}, lambda x, i, S: torch.sigmoid(x["a_proj"][i]) * S, ("a_proj",), {"head_k_dim": K}),
    Case("mesa log", F.mesa_net, {"g": -gate.abs()}, lambda x, i, S: x["g"][i].exp() * S, ("g",)),
    Case("mesa fast weight", F.mesa_net_fast_weight, mesa, mesa_step, ("k", "beta"), local=False),
    Case("mesa fast weight, decayed", F.mesa_net_fast_weight, mesa | {"g": -gate.abs()}, mesa_step, ("k", "beta", "g"), real=False, local=False),
]


@every(CASES)
def test_family(case, check):
    check(case)


def test_recursive_least_squares():
    """The eigenvalue that is not 1: 1 - beta k R_t k = 1 / (1 + beta k R_{t-1} k); real and in (0, 1] with decay also."""
    w = F.mesa_net_fast_weight(**mesa).eigvals()
    for b, t, h in np.ndindex(B, T, H):
        k, beta = mesa["k"][b, t, h], mesa["beta"][b, t, h]
        expected = 1 / (1 + beta * k @ torch.linalg.solve(moments(mesa, b, t - 1, h), k))
        assert float((w[b, t, h].real.amin() - expected).abs()) <= 1e-12 and int((w[b, t, h] == 1).sum()) == K - 1
    decayed = F.mesa_net_fast_weight(**mesa, g=-gate.abs()).eigvals()
    assert float(decayed.imag.abs().max()) <= 1e-12 and bool(((decayed.real > 0) & (decayed.real <= 1 + 1e-12)).all())


def test_stabilised_gates_are_not_taken():
    """With a large input gate at every step the running maximum follows it, and the stabilised forget gate is far from sigma(fgate)."""
    igate = torch.arange(T, dtype=torch.float64)[None, :, None].expand(B, T, H) * 30
    t = F.mlstm(gate, igate=igate, query=normalised["query"], key=normalised["key"])
    assert t.gauge == "normalised" and bool(t.value.isfinite().all()) and not bool(t.valid[:, 0].any())
    assert torch.allclose(F.mlstm(gate).eigvals()[..., 0].real, torch.sigmoid(gate))
    huge = F.mlstm(gate, igate=igate * 1000, query=normalised["query"], key=normalised["key"])
    assert bool(huge.value[:, 1:].isfinite().all())


def slstm_step(x, R, b, state):
    """One head: state (y, C, N), each of P; x and b (4, P), R (P, 4, P)."""
    y, C, N = state.chunk(3)
    i, f, z, o = x + torch.einsum("i,igp->gp", y, R) + b
    C, N = torch.sigmoid(f) * C + i.exp() * torch.tanh(z), torch.sigmoid(f) * N + i.exp()
    return torch.cat([torch.sigmoid(o) * C / N, C, N])


def slstm_inputs(T=T):
    gates = [randn(B, T, H, K, seed=s) for s in range(4)]
    return gates, randn(H, K, 4, K, scale=0.7), randn(H, 4, K)


def test_slstm_jacobian_in_fixed_units():
    gates, R, b = slstm_inputs()
    t = F.slstm_jacobian(*gates, R, b)
    assert t.shape == (B, T, H, 3 * K, 3 * K) and t.time == -2
    for batch, head in ((0, 0), (1, 2)):
        state, m = torch.zeros(3 * K, dtype=torch.float64), torch.full((K,), -torch.inf, dtype=torch.float64)
        for s in range(T):
            x = torch.stack([g[batch, s, head] for g in gates])
            J = jacobian(lambda h, x=x, head=head: slstm_step(x, R[head], b[head], h), state)
            pre = x + torch.einsum("i,igp->gp", state[:K], R[head]) + b[head]
            m = torch.maximum(m + torch.log(torch.sigmoid(pre[1])), pre[0])
            units = torch.cat([torch.ones(K, dtype=torch.float64), m.exp(), m.exp()])
            got = t.dense()[batch, s, head]
            assert float((got - J * units / units[:, None]).abs().max()) <= 1e-12
            assert matched_distance(t.eigvals()[batch, s, head], np.linalg.eigvals(J.numpy())) <= 1e-10
            state = slstm_step(x, R[head], b[head], state)


def test_slstm_without_recurrent_weights_is_its_gates():
    gates, R, _ = slstm_inputs()
    w = F.slstm_jacobian(*gates, torch.zeros_like(R)).eigvals()
    f = torch.sigmoid(gates[1])
    assert matched_distance(w[0, 2, 1], torch.cat([f[0, 2, 1], f[0, 2, 1], torch.zeros(K)])) <= 1e-7
    assert torch.allclose(F.slstm(gates[1]).eigvals().real, f, rtol=1e-13) and F.slstm(gates[1]).multiplicity == 2


def test_slstm_survives_large_gates():
    """Input gates of e^800: the units follow."""
    gates, R, b = slstm_inputs()
    gates[0] = gates[0] + 800
    assert bool(F.slstm_jacobian(*gates, R, b).dense().isfinite().all())


def test_slstm_gradients_and_edges():
    gates, R, b = slstm_inputs(T=2)
    small = [g[:1, :, :1, :2].clone().requires_grad_() for g in gates]
    R, b = R[:1, :2, :, :2].clone().requires_grad_(), b[:1, :, :2].clone().requires_grad_()

    def spectrum(*x):  # at the first position, where the state is zero, C and N are double eigenvalues
        w = F.slstm_jacobian(*x).eigvals()[:, 1]
        return torch.stack([w.real.sum(), (w.real**2 - w.imag**2).sum()])

    assert torch.autograd.gradcheck(spectrum, [*small, R, b])
    gates, R, b = slstm_inputs()
    assert F.slstm_jacobian(*(g[:0] for g in gates), R, b).eigvals().shape == (0, T, H, 3 * K)
    assert F.slstm_jacobian(*(g[:, :0] for g in gates), R, b).dense().shape == (B, 0, H, 3 * K, 3 * K)
    clean = F.slstm_jacobian(*gates, R, b).eigvals()
    gates[2][0, 1, 1, 0] = torch.nan
    w = F.slstm_jacobian(*gates, R, b).eigvals()
    hit = torch.zeros(B, T, H, dtype=torch.bool)
    hit[0, 1:, 1] = True
    assert bool(w[hit].isnan().any(-1).all()) and torch.equal(w[~hit], clean[~hit])
    half = F.slstm_jacobian(*(g.bfloat16() for g in gates), R.bfloat16(), b.bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.mlstm(gate, igate=gate), TypeError, "families.mlstm: query must be Tensor, not NoneType"),
        (lambda: F.mlstm(gate, forget="relu"), ValueError, "expected forget 'sigmoid' or 'exp', got 'relu'"),
        (lambda: F.mlstm(gate, head_k_dim=0), ValueError, "expected head_k_dim >= 1, got 0"),
        (lambda: F.slstm_jacobian(*slstm_inputs()[0], randn(H, K, 4, 5)), ValueError, r"expected recurrent_kernel \(H, P, 4, P\), got shape \(3, 4, 4, 5\)"),
        (lambda: F.slstm_jacobian(*slstm_inputs()[0], randn(H, K, 3, K)), ValueError, r"expected recurrent_kernel \(H, P, 4, P\), got"),
        (lambda: F.mesa_net(), TypeError, "exactly one of g, a_proj; got none"),
        (lambda: F.mesa_net_fast_weight(mesa["k"], gate, mesa["lamb"][:2]), ValueError, r"expected lamb \(H, K\) with H = 3"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_singular_moments_give_nan():
    lamb = torch.zeros(H, K, dtype=torch.float64)
    w = F.mesa_net_fast_weight(mesa["k"], mesa["beta"], lamb).eigvals()
    assert bool(w[:, 0].isnan().all())  # one key in four dimensions, no regulariser
