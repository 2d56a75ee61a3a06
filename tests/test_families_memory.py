"""Memories that learn while they read: Jacobians of written-out training steps, eigenvalues, and fla's references."""

from __future__ import annotations

import importlib
import math

import pytest
import torch
from family_checks import Case, every, randn

import spectral_kernels as sk

F = sk.families
B, T, H, K = 2, 5, 2, 3
M = 2  # of a mini-batch: the last one of T is not full


def uniform(*shape, seed=0, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def unit(x):
    return x / x.square().sum(-1, keepdim=True).sqrt()


def normed(x):
    return x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def momentum(S, moment, k, p, alpha, mu, beta, eta):
    moment = mu * moment + eta * k * (p @ S)
    return torch.cat([alpha * S - beta * moment, moment])


def momentum_kernel(x, i, state):
    k, alpha = normed(x["k"][i]), x["log_alpha"][i].exp()
    return momentum(*state.chunk(2), k, alpha * k, alpha, x["log_mu"][i].exp(), 1.0, 1.0)


def momentum_reference(x, i, state):
    return momentum(*state.chunk(2), x["k"][i], x["p"][i], x["log_alpha"][i].exp(), x["log_mu"][i].exp(), x["beta"][i], x["eta"][i])


def ttt(x, i, S):
    return S - x["eta"][i] * x["k"][i] * (x["k"][i] @ S)


def ttt_mini_batch(x, i, S):
    b, c, h = i
    tokens = range(c * M, min(c * M + M, T))
    return S - x["eta"][b, tokens[-1], h] * sum(x["k"][b, t, h] * (x["k"][b, t, h] @ S) for t in tokens)


def loss(x, b, t, h, u):
    """What the small model with norm is trained on at one token, of its input u to the norm."""
    mean = u.mean()
    y = x["w"][h] * (u - mean) / torch.sqrt(((u - mean) ** 2).mean() + 1e-6) + x["b"][h]
    return 0.5 * ((y - (x["v"][b, t, h] - x["k"][b, t, h])) ** 2).sum()


def train(x, b, c, h, m, W):
    """One mini-batch of TTT on W, whose last row is the bias."""
    tokens = range(c * m, min(c * m + m, T))
    rate, step = x["eta"][b, tokens[-1], h, 0], torch.zeros_like(W)
    for t in tokens:
        key = torch.cat([x["k"][b, t, h], torch.ones(1, dtype=W.dtype)])
        step = step + torch.func.grad(lambda W, key=key, t=t: loss(x, b, t, h, key @ W))(W)
    return W - rate * step


def titans(x, b, t, h, state):
    """One token of Titans on (M, -S)."""
    memory, moment = state
    gradient = torch.func.grad(lambda W: loss(x, b, t, h, x["k"][b, t, h] @ W))(memory)
    moment = x["eta"][b, t, h, 0] * moment + 2 * x["theta"][b, t, h, 0] * gradient
    return torch.stack([(1 - x["alpha"][b, t, h, 0]) * memory - moment, moment])


def linearised(step, start):
    """The derivative of `step` at the state that it has reached from ``start(x, h)`` before position c, times a state."""

    def derivative(x, i, state):
        b, c, h = i
        reached = start(x, h)
        for earlier in range(c):
            reached = step(x, b, earlier, h, reached)
        return torch.func.jacrev(lambda W: step(x, b, c, h, W))(reached).reshape(state.shape[0], -1) @ state

    return derivative


def titans_linear(x, i, state):
    k = x["k"][i]
    return momentum(*state.chunk(2), k, k, 1 - x["alpha"][i][0], x["eta"][i][0], 1.0, 2 * x["theta"][i][0])


k, v = randn(B, T, H, K), randn(B, T, H, K, seed=1)
rate = uniform(B, T, H, 1, high=0.2)
norm = {"v": v, "w": randn(H, K, shift=1), "b": randn(H, K), "initial_state": 2 * randn(H, K, K)}
bias = {"initial_state_bias": 2 * randn(H, 1, K)}


def weights(x, h):
    return torch.cat([x["initial_state"][h], x["initial_state_bias"][h]])


def memory(x, h):
    return torch.stack([x["initial_state"][h], torch.zeros(K, K, dtype=torch.float64)])


logs = {"log_alpha": -uniform(B, T, H), "log_mu": -uniform(B, T, H, seed=1)}
titan = {"k": unit(k), "theta": rate, "alpha": rate, "eta": uniform(B, T, H, 1)}
per_token = ("k", "eta")
CASES = [
    Case("momentum_deltanet", F.momentum_deltanet, {"k": k} | logs, momentum_kernel, ("k", "log_alpha", "log_mu"), real=False),
    Case(
        "momentum_deltanet reference",
        F.momentum_deltanet,
        {"k": unit(k), "p": unit(v), "beta": uniform(B, T, H), "eta": uniform(B, T, H, seed=1)} | logs,
        momentum_reference,
        ("k", "p", "beta", "eta", "log_alpha", "log_mu"),
        {"use_qk_l2norm_in_kernel": False, "use_p_times_alpha": False},
        high=2.0,
        real=False,
    ),
    Case("ttt_linear", F.ttt_linear, {"k": unit(k), "eta": rate}, ttt, per_token),
    Case(
        "ttt_linear norm",
        F.ttt_linear,
        {"k": k, "eta": rate} | norm | bias,
        linearised(lambda *a: train(*a[:4], 1, a[4]), weights),
        ("k", "eta", "v"),
        low=-math.inf,
        high=math.inf,
        local=False,
    ),
    Case("ttt_linear_mini_batch", F.ttt_linear_mini_batch, {"k": unit(k), "eta": rate}, ttt_mini_batch, (), {"mini_batch_size": M}, real=False),
    Case(
        "ttt_linear_mini_batch norm",
        F.ttt_linear_mini_batch,
        {"k": k, "eta": rate} | norm | bias,
        linearised(lambda *a: train(*a[:4], M, a[4]), weights),
        (),
        {"mini_batch_size": M},
        high=math.inf,
        real=False,
    ),
    Case("titans_linear", F.titans_linear, titan, titans_linear, ("k", "theta", "alpha", "eta"), real=False),
    Case(
        "titans_linear norm",
        F.titans_linear,
        titan | norm,
        linearised(titans, memory),
        ("k", "theta", "alpha", "eta", "v"),
        high=math.inf,
        real=False,
        local=False,
    ),
]


@every(CASES)
def test_family(case, check):
    check(case)


def test_momentum_replays_the_reference():
    torch.manual_seed(0)
    q, keys, p, log_alpha, log_mu = (torch.randn(2, 20, 3, 8), *torch.nn.functional.normalize(torch.randn(2, 2, 20, 3, 8), dim=-1), *-torch.rand(2, 2, 20, 3))
    values, beta, eta = torch.randn(2, 20, 3, 5), torch.rand(2, 20, 3), torch.rand(2, 20, 3)
    naive = importlib.import_module("fla.ops.momentum_delta_rule.naive")
    expected, final = naive.recurrent_momentum_delta_rule_ref(q, keys, values, log_alpha, log_mu, p, beta, eta, output_final_state=True)
    A = F.momentum_deltanet(keys, log_alpha, log_mu, beta, eta, p, use_qk_l2norm_in_kernel=False, use_p_times_alpha=False).dense()
    moment = -torch.einsum("bth,bthk,bthv->bthkv", eta, keys, values)
    inputs = torch.cat([-beta[..., None, None] * moment, moment], -2)
    state, out = torch.zeros(2, 3, 16, 5), []
    for t in range(20):
        state = A[:, t] @ state + inputs[:, t]
        out.append(torch.einsum("bhk,bhkv->bhv", q[:, t], state[:, :, :8]) * 8**-0.5)
    assert float((torch.stack(out, 1) - expected).abs().max()) <= 1e-5
    assert float((state - torch.cat(final.unbind(0), -2)).abs().max()) <= 1e-5


@pytest.mark.parametrize("m", [1, 4])
def test_ttt_carries_states_as_the_reference_does(m):
    """The derivative of fla's final state by its initial state is the product of the transitions in between."""
    torch.manual_seed(0)
    length, D = 12, 4
    q, keys, values = torch.randn(3, 1, length, 2, D)
    eta, w, b = 0.1 * torch.rand(1, length, 2, 1), 1 + 0.1 * torch.randn(2, D), torch.randn(2, D)
    W, c = torch.randn(1, 2, D, D), torch.randn(1, 2, 1, D)
    reference = importlib.import_module("fla.ops.ttt.naive").chunk_ttt_linear_ref

    def final(state):
        _, h, hb = reference(q.clone(), keys, values, w, b, eta, mini_batch_size=m, initial_state=state[:, :, :-1], initial_state_bias=state[:, :, -1:], output_final_state=True)
        return torch.cat([h, hb], -2)

    jacobian = torch.autograd.functional.jacobian(final, torch.cat([W, c], -2))[0, :, :, :, 0]
    given = {"v": values, "w": w, "b": b, "initial_state": W, "initial_state_bias": c}
    t = F.ttt_linear(keys, eta, **given) if m == 1 else F.ttt_linear_mini_batch(keys, eta, m, **given)
    A = t.dense()
    assert A.shape[:3] == (1, length // m, 2)
    for h in range(2):
        product = torch.eye(t.size)
        for s in range(length // m):
            product = A[0, s, h] @ product
        expected = jacobian[h, :, :, h].reshape(t.size, t.size)
        assert float((product - expected).abs().max()) <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_titans_without_norm_is_momentum_deltanet():
    one = F.titans_linear(**titan)
    rates = {name: titan[name][..., 0] for name in ("theta", "alpha", "eta")}
    other = F.momentum_deltanet(
        titan["k"], (1 - rates["alpha"]).log(), rates["eta"].log(), eta=2 * rates["theta"], use_qk_l2norm_in_kernel=False, use_p_times_alpha=False
    )
    assert torch.allclose(one.dense(), other.dense(), rtol=0, atol=1e-15)


def test_momentum_gives_complex_pairs_where_the_discriminant_says():
    t = F.momentum_deltanet(k, **logs)
    alpha, mu = logs["log_alpha"].exp(), logs["log_mu"].exp()
    squared = (alpha + mu - alpha * normed(k).square().sum(-1)) ** 2
    w = t.eigvals()
    assert torch.equal((w.imag != 0).sum(-1) == 2, squared < 4 * alpha * mu)
    pairs = w.imag != 0
    assert torch.allclose(w.abs()[pairs], (alpha * mu).sqrt()[..., None].expand_as(w.abs())[pairs], rtol=0, atol=1e-14)


@pytest.mark.parametrize("eta", [0.0, 1.0, 2.0])
def test_ttt_at_the_ends_of_the_rate(eta):
    w = F.ttt_linear(unit(k), torch.full_like(rate, eta)).eigvals().real.sort(-1).values
    assert torch.allclose(w[..., 0], torch.full_like(w[..., 0], 1 - eta), rtol=0, atol=1e-14) and bool((w[..., 1:] == 1).all())


def test_eigenvectors_and_indexing_with_norm():
    t = F.titans_linear(**titan, **norm)
    A, (w, right, left, info) = t.dense().to(torch.complex128), t.eig(left=True)
    scale = float(torch.linalg.matrix_norm(A, 2).max())
    assert float((A @ right - right * w[..., None, :]).abs().max()) <= 1e-12 * scale
    assert float((left.mH @ A - w[..., :, None] * left.mH).abs().max()) <= 1e-12 * scale and not bool(info.any())
    assert torch.equal(t[1, 2:].dense(), t.dense()[1, 2:]) and t[1, 2:].time == -2
    with pytest.raises(ValueError, match=r"expected G \(..., V, V\), got \(2, 3\)"):
        sk.transitions.KroneckerMomentum(*torch.rand(4), torch.rand(3), torch.rand(2, 3))


def test_mini_batches_of_one_are_tokens():
    given = {"k": k, "eta": rate} | norm | bias
    assert torch.allclose(F.ttt_linear_mini_batch(mini_batch_size=1, **given).dense(), F.ttt_linear(**given).dense(), rtol=0, atol=1e-14)
    assert torch.allclose(F.ttt_linear_mini_batch(k, rate, 1).dense(), F.ttt_linear(k, rate).dense(), rtol=0, atol=1e-15)


def test_symmetric_maps_have_real_spectra():
    for t in (F.ttt_linear_mini_batch(k, rate, M), F.ttt_linear_mini_batch(k, rate, M, **norm, **bias), F.ttt_linear(k, rate, **norm, **bias)):
        A = t.dense()
        assert torch.allclose(A, A.mT, rtol=0, atol=1e-14)
        expected = torch.linalg.eigvalsh(A)
        assert torch.allclose(t.eigvals().real.sort(-1).values, expected, rtol=0, atol=1e-11 * float(expected.abs().max()))
        assert float(t.eigvals().imag.abs().max()) <= 1e-7  # of the mini-batches' cores, which are not symmetric


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("batch", [0, 2])
def test_empty_and_single_mini_batches(batch, length):
    given = {name: x[:batch, :length] for name, x in {"k": k, "eta": rate, "v": v}.items()} | {"w": norm["w"]}
    for options in (given, {name: given[name] for name in ("k", "eta")}):
        t = F.ttt_linear_mini_batch(mini_batch_size=4, **options)
        assert t.batch_shape == (batch, math.ceil(length / 4), H) and t.eigvals().shape == t.shape[:-1]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.ttt_linear(k, rate, v=v), ValueError, "expected w, the weight of the norm, with v"),
        (lambda: F.ttt_linear(k, rate, w=norm["w"]), ValueError, "expected v with w"),
        (lambda: F.ttt_linear(k, rate[..., 0]), ValueError, r"expected eta \(..., T, H, 1\)"),
        (lambda: F.ttt_linear_mini_batch(k, rate, 0), ValueError, "mini_batch_size >= 1, got 0"),
        (lambda: F.titans_linear(k, rate, rate, rate, v=v, w=norm["w"], b=k), ValueError, r"expected b \(H, K\)"),
        (lambda: F.momentum_deltanet(k, rate, rate), ValueError, r"expected log_alpha \(..., T, H\)"),
        (lambda: F.momentum_deltanet(k, None, rate), TypeError, "log_alpha must be Tensor, not NoneType"),
    ],
)
def test_argument_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
