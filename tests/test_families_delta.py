"""Delta rules: dense() against one written-out step, eigenvalues against numpy, edge cases."""

from __future__ import annotations

import math

import pytest
import torch
from family_checks import Case, eigvals_are_those_of_dense, every, randn

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance

F = sk.families
B, T, H, K, V = 2, 5, 2, 4, 3


def uniform(*shape, seed=0, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def unit(x):
    return x / x.square().sum(-1, keepdim=True).sqrt()


def normed(x):
    """What the kernels' l2norm gives."""
    return x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def softplus(x):
    return torch.log1p(torch.exp(x))


def delta(S, k, beta, read=None):
    """The state read at `read` (k), and corrected by beta along k."""
    return S - beta * k * ((k if read is None else read) @ S)


def deltanet(x, i, S):
    return delta(S, normed(x["k"][i]), 2 * sigmoid(x["beta"][i]))


def gated(x, i, S):
    b, t, h = i
    alpha = torch.exp(-x["A_log"][h].exp() * softplus(x["g"][i] + x["dt_bias"][h]))
    return delta(alpha * S, normed(x["k"][b, t, h // 2]), 2 * sigmoid(x["beta"][i]))


def comba(x, i, S):
    return x["g"][i].exp() * S - x["beta"][i] * x["k"][i] * (x["p"][i] @ S)


def product(m):
    def step(x, i, S):
        b, t, h = i
        S = x["g"][i].exp() * S if "g" in x else S
        for j in range(t * m, t * m + m):
            S = delta(S, normed(x["k"][b, j, h]), 2 * sigmoid(x["beta"][b, j, h]))
        return S

    return step


def kda(gate):
    def step(x, i, S):
        b, t, h = i
        return delta(gate(x, i).exp() * S, normed(x["k"][b, t, h // (x["g"].shape[2] // x["k"].shape[2])]), sigmoid(x["beta"][i]) * 2)

    return step


def preconditioner(x, i, k):
    """M of one position and head, from the start."""
    b, t, h = i
    average = torch.zeros(K, dtype=k.dtype)
    for s in range(t + 1):
        average = x["g_atk"][b, s, h].exp() * average + x["beta_atk"][b, s, h] * normed(x["k"][b, s, h]) ** 2
    r = torch.log(average + 1e-6) - x["log_atk_scale"][h]
    return 1.5 ** (-r / (1 + r.abs()))


def precond_gdn(x, i, S):
    b, t, h = i
    k = normed(x["k"][b, t, h // 2])
    return delta(x["g"][i].exp() * S, preconditioner(x, (b, t, h // 2), k) * k, x["beta"][i], k)


def precond_kda(x, i, S):
    k = normed(x["k"][i])
    return delta(x["g"][i].exp() * S, preconditioner(x, i, k) * k, x["beta"][i], k)


def levels(inner):
    """Position t on states level by level: the levels 0 to l are added up in level l + 1, which is empty, and cleared; all then decay."""

    def step(x, i, S):
        states = list(S.reshape(-1, K))
        if i[1] > 0:
            last = (i[1] & -i[1]).bit_length()  # l + 1
            states[last] = sum(states[:last])
            states[:last] = [torch.zeros_like(states[0])] * last
        return torch.cat([inner(x, i, s) for s in states])

    return step


beta, beta2 = uniform(B, T, H), uniform(B, T, H, high=2.0)
g, gk, gv = -uniform(B, T, H), -2 * uniform(B, T, H, K), -uniform(B, T, 2 * H)
k, raw = unit(randn(B, T, H, K)), randn(B, T, H, K)
wide = {"g": randn(B, T, 2 * H), "k": raw, "beta": randn(B, T, 2 * H, seed=1), "A_log": randn(2 * H), "dt_bias": randn(2 * H, seed=1)}
kernel = {"use_qk_l2norm_in_kernel": True, "use_beta_sigmoid_in_kernel": True, "allow_neg_eigval": True}
channel = {"g": randn(B, T, H, K, seed=2), "k": raw, "beta": randn(B, T, H), "A_log": randn(H), "dt_bias": randn(H * K)}
atk = {"k": raw, "g_atk": g, "beta_atk": beta, "log_atk_scale": randn(H)}
of_atk = ("k", "g_atk", "beta_atk", "g", "beta")
sub = {"k": randn(B, 3 * T, H, K), "beta": randn(B, 3 * T, H)}


def softplus_gate(x, i):
    h = i[2]
    return -x["A_log"][h].exp() * softplus(x["g"][i] + x["dt_bias"].reshape(H, K)[h])


def safe_gate(x, i):
    return -5 * sigmoid(x["A_log"][i[2]].exp() * (x["g"][i] + x["dt_bias"].reshape(H, K)[i[2]]))


CASES = [
    Case("deltanet", F.deltanet, {"k": raw, "beta": randn(B, T, H)}, deltanet, ("k", "beta"), kernel, low=-1),
    Case("gated_deltanet", F.gated_deltanet, wide, gated, ("g", "k", "beta"), kernel | {"use_gate_in_kernel": True}, low=-1),
    Case("gated_deltanet ready", F.gated_deltanet, {"g": g, "k": k, "beta": beta}, lambda x, i, S: delta(x["g"][i].exp() * S, x["k"][i], x["beta"][i]), ("g", "k", "beta")),
    Case("comba", F.comba, {"g": g, "k": k, "beta": beta, "p": unit(raw.flip(-1))}, comba, ("g", "k", "beta", "p"), low=-2, high=2),
    Case("comba p = k", F.comba, {"g": g, "k": k, "beta": beta}, lambda x, i, S: comba(x | {"p": x["k"]}, i, S), ("g", "k", "beta"), low=-1),
    Case(
        "comba decay first",
        F.comba,
        {"g": gv, "k": raw, "p": raw.flip(-1)},
        lambda x, i, S: delta(x["g"][i].exp() * S, normed(x["k"][i[0], i[1], i[2] // 2]), 1.0, normed(x["p"][i[0], i[1], i[2] // 2])),
        ("g", "k", "p"),
        {"decay_first": True, "use_qk_l2norm_in_kernel": True},
        low=-2,
        high=2,
    ),
    Case("deltaproduct", F.deltaproduct, sub, product(3), (), kernel | {"num_householder": 3}, real=False),
    Case("gated_deltaproduct", F.gated_deltaproduct, sub | {"g": g}, product(3), (), kernel | {"num_householder": 3}, real=False),
    Case("path", F.path_transition, {"w": k, "beta": beta2}, lambda x, i, S: delta(S, x["w"][i], x["beta"][i]), ("w", "beta"), low=-1),
    Case(
        "rwkv7 recurrent",
        F.rwkv7,
        {"w": -0.6065 * uniform(B, T, H, K), "a": uniform(B, T, H, K, seed=1), "kk": k},
        lambda x, i, S: x["w"][i].exp() * S - x["kk"][i] * x["a"][i] * (x["kk"][i] @ S),
        ("w", "a", "kk"),
        low=-0.455,
    ),
    Case(
        "rwkv7 chunk",
        F.rwkv7,
        {"w": -0.6065 * uniform(B, T, H, K), "a": -k, "b": k * uniform(B, T, H, K, seed=1)},
        lambda x, i, S: x["w"][i].exp() * S + x["b"][i] * (x["a"][i] @ S),
        ("w", "a", "b"),
        low=-0.455,
    ),
    Case(
        "dplr", F.dplr_delta_rule, {"gk": gk, "a": raw, "b": k}, lambda x, i, S: x["gk"][i].exp() * S + x["b"][i] * (x["a"][i] @ S), ("gk", "a", "b"), high=9, real=False
    ),
    Case("iplr", F.iplr_delta_rule, {"a": raw, "b": k}, lambda x, i, S: S + x["b"][i] * (x["a"][i] @ S), ("a", "b"), low=-9, high=9),
    Case("kda", F.kda, {"g": -uniform(B, T, 2 * H, K), "k": raw, "beta": randn(B, T, 2 * H)}, kda(lambda x, i: x["g"][i]), ("g", "k", "beta"), kernel, low=-1),
    Case("kda raw", F.kda, channel, kda(softplus_gate), ("g", "k", "beta"), kernel | {"use_gate_in_kernel": True}, low=-1),
    Case("kda safe", F.kda, channel, kda(safe_gate), ("g", "k", "beta"), kernel | {"use_gate_in_kernel": True, "lower_bound": -5.0}, low=-1),
    Case(
        "gated_deltanet2",
        F.gated_deltanet2,
        {"g": gk, "k": raw, "b": uniform(B, T, H, K)},
        lambda x, i, S: delta(x["g"][i].exp() * S, normed(x["k"][i]), 1.0, x["b"][i] * normed(x["k"][i])),
        ("g", "k", "b"),
        {"use_qk_l2norm_in_kernel": True},
    ),
    Case("oja", F.gated_oja_rule, {"gv": gk, "v": k, "beta": beta}, lambda x, i, S: delta(x["gv"][i].exp() * S, x["v"][i], x["beta"][i]), ("gv", "v", "beta")),
    Case("precond_gated_deltanet", F.precond_gated_deltanet, atk | {"g": gv, "beta": uniform(B, T, 2 * H)}, precond_gdn, of_atk, low=-0.5, local=False),
    Case("precond_kda", F.precond_kda, atk | {"g": gk, "beta": beta}, precond_kda, of_atk, low=-0.5, local=False),
]
LOG_LINEAR = [
    Case("log_linear_mamba2", F.log_linear_mamba2, {"g": g}, levels(lambda x, i, s: x["g"][i].exp() * s), ("g",), {"head_k_dim": K, "levels": 4}),
    Case(
        "log_linear_gated_deltanet",
        F.log_linear_gated_deltanet,
        {"g": g, "k": k, "beta": beta},
        levels(lambda x, i, s: delta(x["g"][i].exp() * s, x["k"][i], x["beta"][i])),
        ("g", "k", "beta"),
        {"levels": 4},
    ),
]
@every(CASES)
def test_family(case, check):
    check(case)


@every(LOG_LINEAR)
def test_log_linear(case, check):
    if check is not eigvals_are_those_of_dense:  # numpy splits the Jordan chain of a merge by a root of the rounding error: see below
        check(case)


@pytest.mark.parametrize("case", LOG_LINEAR, ids=lambda c: c.name)
def test_log_linear_eigenvalues(case):
    """Each is one of a matrix next door, and their products and powers are those of the matrix."""
    t = case.make()
    A, w = t.dense(), t.eigvals()
    shifted = A[..., None, :, :] - w.real[..., None, None] * torch.eye(t.size, dtype=A.dtype)
    assert float(torch.linalg.svdvals(shifted)[..., -1].max()) <= 1e-14
    power = A
    for j in range(1, 4):
        assert torch.allclose(power.diagonal(dim1=-2, dim2=-1).sum(-1), (w**j).real.sum(-1), rtol=0, atol=1e-12)
        power = power @ A
    assert not bool(t.valid[:, 0].any()) and bool(t.valid[:, 1:].all())


@pytest.mark.parametrize("name, beta", [("deltanet", 0.0), ("deltanet", 1.0), ("deltanet", 2.0), ("kda", 0.0), ("kda", 1.0), ("kda", 2.0)])
def test_beta_of_zero_one_and_two(name, beta):
    strength = torch.full((B, T, H), beta, dtype=torch.float64)
    w = F.deltanet(k, strength).eigvals() if name == "deltanet" else F.kda(torch.zeros(B, T, H, K, dtype=torch.float64), k, strength).eigvals()
    expected = torch.tensor([1.0 - beta] + [1.0] * (K - 1), dtype=torch.float64).expand(B, T, H, K)
    assert torch.allclose(w.real.sort(-1).values, expected, rtol=0, atol=1e-14) and not bool(w.imag.any())


def test_one_negative_eigenvalue_iff_beta_k_squared_exceeds_one():
    long, strength = 1.3 * randn(B, T, H, K), uniform(B, T, H, high=2)
    negative = (strength * long.square().sum(-1) > 1).long()
    alpha = -uniform(B, T, H, K)
    for t in (F.deltanet(long, strength), F.gated_deltanet(g, long, strength), F.kda(alpha, long, strength), F.gated_oja_rule(alpha, long, strength)):
        assert torch.equal((t.eigvals().real < 0).sum(-1), negative)
    w = F.kda(alpha, long, strength).eigvals().real.sort(-1).values
    d = alpha.exp().sort(-1).values
    assert bool((w <= d + 1e-14).all() & (w[..., 1:] >= d[..., :-1] - 1e-14).all())  # interlacing
    assert torch.allclose(w.prod(-1), d.prod(-1) * (1 - strength * long.square().sum(-1)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("m", [1, 2, 5])
def test_products_at_the_edges(m):
    """More rules than channels, equal and orthogonal keys, reflections, rules that do nothing; no token, one token, none but one that is bad."""
    keys, ones = unit(randn(B, 2 * m, H, K)), torch.ones(B, 2 * m, H, dtype=torch.float64)
    equal = F.deltaproduct(keys[:, :1].expand(B, 2 * m, H, K), ones, m)  # the same projector m times
    assert torch.allclose(equal.eigvals().real.sort(-1).values, torch.tensor([0.0] + [1] * (K - 1), dtype=torch.float64).expand(B, 2, H, K), rtol=0, atol=1e-14)
    reflections = F.deltaproduct(keys, 2 * ones, m)
    assert torch.allclose(reflections.eigvals().abs(), torch.ones(B, 2, H, K, dtype=torch.float64), rtol=0, atol=1e-13)
    assert torch.allclose(F.deltaproduct(keys, 0 * ones, m).eigvals(), torch.ones(B, 2, H, K, dtype=torch.complex128), rtol=0, atol=1e-15)
    for b, rows in ((0, 2), (B, 0), (B, 1)):
        t = F.gated_deltaproduct(g[:b, :rows], keys[:b, : rows * m], ones[:b, : rows * m], m)
        assert t.eigvals().shape == (b, rows, H, K) and t.time == -2
    bad = keys.clone()
    bad[0, 2 * m - 1, 1, 0] = torch.nan
    w, clean = F.deltaproduct(bad, ones, m).eigvals(), F.deltaproduct(keys, ones, m).eigvals()
    assert bool(w[0, 1, 1].isnan().all()) and torch.equal(w[1], clean[1]) and torch.equal(w[0, 0], clean[0, 0]) and torch.equal(w[0, 1, 0], clean[0, 1, 0])


def test_orthogonal_keys_commute():
    eye = torch.eye(K, dtype=torch.float64)[:3].reshape(1, 3, 1, K)
    w = F.gated_deltaproduct(torch.full((1, 1, 1), -0.5, dtype=torch.float64), eye, torch.tensor([0.5, 1.5, 2.0]).reshape(1, 3, 1).double(), 3).eigvals()
    expected = torch.tensor([-1.0, -0.5, 0.5, 1.0], dtype=torch.float64) * math.exp(-0.5)
    assert matched_distance(w.flatten(), expected) <= 1e-15


def test_rwkv_layout_of_values_by_keys():
    """RWKV's own package: state [V, K], ``state * w + state @ (-kk)^T (kk * a) + v k^T``, w no logarithm."""
    w, a, kk, state = -0.6065 * uniform(K), uniform(K), unit(randn(K)), randn(V, K)
    own = state * w.exp() + state @ (-kk[:, None] @ (kk * a)[None])
    A = F.rwkv7(w.reshape(1, 1, K), a.reshape(1, 1, K), kk=kk.reshape(1, 1, K)).dense()[0, 0]
    assert torch.allclose(own, (A @ state.T).T, rtol=0, atol=1e-15)


def test_gated_oja_rule_is_on_the_value_axis():
    keys, values, S = randn(K), randn(V), randn(K, V)
    gates, strength = -uniform(V), torch.tensor(0.7, dtype=torch.float64)
    decayed = S * gates.exp()
    new = decayed + strength * torch.outer(keys - decayed @ values, values)  # as the recurrent kernel
    t = F.gated_oja_rule(gates.reshape(1, 1, V), values.reshape(1, 1, V), strength.reshape(1, 1))
    assert torch.allclose(new.T, t.dense()[0, 0] @ S.T + strength * torch.outer(values, keys), rtol=0, atol=1e-14)
    none = F.gated_oja_rule(None, values.reshape(1, 1, V), strength.reshape(1, 1))
    zero = F.gated_oja_rule(torch.zeros(1, 1, V, dtype=torch.float64), values.reshape(1, 1, V), strength.reshape(1, 1))
    assert torch.allclose(none.dense(), zero.dense(), rtol=0, atol=1e-15) and none.structure == "rank_one"


def test_zero_keys_forgotten_channels_and_ties():
    zero, none = torch.zeros(B, T, H, K, dtype=torch.float64), torch.full((B, T, H, K), -torch.inf, dtype=torch.float64)
    assert torch.equal(F.kda(gk, zero, beta2).eigvals().real.sort(-1).values, gk.exp().sort(-1).values)
    assert torch.equal(F.deltanet(zero, beta2).eigvals().real, torch.ones(B, T, H, K, dtype=torch.float64))
    assert not bool(F.kda(none, k, beta2).eigvals().any()) and not bool(F.gated_deltanet(none[..., 0], k, beta2).eigvals().any())
    tied = gk.clone()
    tied[..., 1:3] = tied[..., :1]
    w = F.kda(tied, k, beta).eigvals().real
    assert torch.allclose(torch.sort((w - tied[..., :1].exp()).abs(), -1).values[..., :2], torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-15)


def test_p_orthogonal_to_k_is_defective():
    one = torch.tensor([1.0, 2, 0, 0], dtype=torch.float64).expand(1, 1, 1, K)
    other = torch.tensor([2.0, -1, 3, 0], dtype=torch.float64).expand(1, 1, 1, K)
    for t in (F.iplr_delta_rule(one, other), F.comba(torch.zeros(1, 1, 1, dtype=torch.float64), one, p=other)):
        assert torch.equal(t.eigvals().real, torch.ones(1, 1, 1, K, dtype=torch.float64))


def test_norm_inside_the_kernel_is_shorter_than_one():
    short = torch.full((1, 1, 1, 1), 1e-3, dtype=torch.float64)
    w = F.deltanet(short, torch.ones(1, 1, 1, dtype=torch.float64), use_qk_l2norm_in_kernel=True).eigvals()
    assert abs(float(w.real) - 0.5) <= 1e-15  # |k|^2 = 1e-6 / (1e-6 + 1e-6)


def test_broken_promises_give_nan_or_the_right_number():
    """The real solver is asked for what has one sign: anything else must not come out as a number that looks right."""
    some = beta[..., None] * torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)
    for t, general in (
        (F.kda(gk, k, -beta), F.dplr_delta_rule(gk, gk.exp() * k, beta[..., None] * k)),
        (F.rwkv7(gk, some, kk=k), F.dplr_delta_rule(gk, -k, some * k)),
        (F.gated_deltanet2(gk, k, some), F.dplr_delta_rule(gk, gk.exp() * some * k, -k)),
    ):
        assert torch.allclose(t.dense(), general.dense(), rtol=0, atol=1e-15)
        for w, expected in zip(t.eigvals().flatten(0, -2), general.eigvals().flatten(0, -2), strict=True):
            assert bool(w.isnan().all()) or matched_distance(w, expected) <= 1e-13
        assert not bool(general.eigvals().isnan().any())


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.gated_deltanet(g, k, beta, allow_neg_eigval=True), ValueError, "use_beta_sigmoid_in_kernel=True with allow_neg_eigval=True"),
        (lambda: F.gated_deltanet(g, k, beta, use_gate_in_kernel=True), ValueError, "expected A_log with use_gate_in_kernel=True, got None"),
        (lambda: F.gated_deltanet(g, k, beta, A_log=g[0, 0]), ValueError, "expected use_gate_in_kernel=True with A_log or dt_bias"),
        (lambda: F.gated_deltanet(-uniform(B, T, 3), k, uniform(B, T, 3)), ValueError, "k with a number of heads that divides the 3 of g and beta, got 2"),
        (lambda: F.kda(gk, k, beta, use_gate_in_kernel=True, A_log=g[0, 0], dt_bias=randn(7)), ValueError, r"expected dt_bias \(H\w* K\) with H\w* K = 8.*\(7,\)"),
        (lambda: F.kda(gk, k, beta, use_gate_in_kernel=True, A_log=g[0, 0], dt_bias=randn(H, K + 1)), ValueError, r"expected dt_bias \(HV, K\) with K = 4"),
        (lambda: F.kda(gk, k, beta, use_gate_in_kernel=True, lower_bound=5.0), ValueError, "expected lower_bound < 0, got 5.0"),
        (lambda: F.kda(g, k, beta), ValueError, r"expected k \(..., T, H, K\) with"),
        (lambda: F.rwkv7(gk, k), TypeError, "exactly one of kk, b; got none"),
        (lambda: F.rwkv7(gk, k, kk=k, b=k), TypeError, "exactly one of kk, b; got kk and b"),
        (lambda: F.deltaproduct(k, beta, 2), ValueError, r"k \(..., T m, H, K\) with m = num_householder = 2, got \(2, 5, 2, 4\)"),
        (lambda: F.deltaproduct(k, beta, 0), ValueError, "num_householder >= 1, got 0"),
        (lambda: F.gated_deltaproduct(g[:, :2], k, beta, 1), ValueError, r"g \(..., T, H\) or \(..., T m, H\) with T = 5"),
        (lambda: F.deltanet(k, None), TypeError, "beta must be Tensor, not NoneType"),
        (lambda: F.comba(g, k, p=k[..., :2]), ValueError, r"expected p \(..., T, H, K\) with K = 4"),
    ],
)
def test_argument_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
