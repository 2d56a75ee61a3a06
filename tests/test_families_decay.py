"""Families with scalar and diagonal decays: linear attention with gates, RWKV, slots, gated recurrences."""

from __future__ import annotations

import math

import pytest
import torch
from family_checks import Case, every, randn

import spectral_kernels as sk
from spectral_kernels.api.transitions import Diagonal

F = sk.families
B, T, H, K, D = 2, 5, 3, 4, 6


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def running(k, t):
    """log of the sum of exp(k) up to and including position t."""
    return k[: t + 1].exp().sum(0).log()


def scalar(decay):
    return lambda x, index, S: decay(x, *index) * S + 0.3


def averaged(x, index, state):
    """RWKV-4's num_t / den_t from num_{t-1} / den_{t-1}."""
    b, t = index
    rate, k = torch.exp(-torch.exp(x["time_decay"])), x["key"][b]
    den = torch.stack([sum(rate ** (s - j) * k[j].exp() for j in range(s + 1)) for s in (t - 1, t)])
    return (rate * state * den[0] + k[t].exp() * 0.3) / den[1]


def route(x, index, S, score):
    b, t, h = index
    r = x["router"][b, t, h]
    scores = sigmoid(r) if score == "sigmoid" else r.exp() / r.exp().sum()
    keep = (scores + x["r_bias"][h]).argsort(descending=True)[:2]
    weights = torch.zeros(K, dtype=r.dtype)
    weights[keep] = scores[keep] / (scores[keep].sum() + 1e-9) if score == "sigmoid" else scores[keep]
    log = -x["A_log"][h].exp() * torch.log1p(torch.exp(x["a"][b, t, h] + x["dt_bias"][h])) if "a" in x else torch.log(sigmoid(x["f"][b, t, h])) / 8
    return torch.exp(log * weights) * S


gate = randn(B, T, H, K)
head_gate = randn(B, T, H)
row = randn(B, T, D)
bound = torch.rand(D, dtype=torch.float64)
CASES = [
    Case("retnet", F.retnet, {}, scalar(lambda x, h: 1 - 2.0 ** (-5 - h)), options={"num_heads": H, "head_k_dim": K, "dtype": torch.float64}, low=0.9),
    Case(
        "lightning",
        F.lightning_attention,
        {},
        scalar(lambda x, h: math.exp(-8 / H * (1 - 1 / 4) * h)),
        options={"num_heads": H, "layer_idx": 1, "num_layers": 4, "head_k_dim": 2, "dtype": torch.float64},
    ),
    Case("minimax", F.minimax_lightning_attention, {"slope_rate": randn(H, 1, 1).abs()}, scalar(lambda x, h: torch.exp(-x["slope_rate"][h, 0, 0]))),
    Case("simple_gla", F.simple_gla, {"g": -head_gate.abs()}, scalar(lambda x, *i: x["g"][i].exp()), ("g",), {"head_k_dim": K}),
    Case("simple_gla raw", F.simple_gla, {"gk_proj": head_gate}, scalar(lambda x, *i: sigmoid(x["gk_proj"][i]) ** (1 / 16)), ("gk_proj",)),
    Case("gla", F.gla, {"gk": -gate.abs()}, scalar(lambda x, *i: x["gk"][i].exp()), ("gk",)),
    Case("gla raw", F.gla, {"gk_proj": gate}, scalar(lambda x, *i: sigmoid(x["gk_proj"][i]) ** (1 / 4)), ("gk_proj",), {"gate_logit_normalizer": 4}),
    Case(
        "gla clamped",
        F.gla,
        {"gk_proj": 30 * gate},
        scalar(lambda x, *i: torch.clamp(sigmoid(x["gk_proj"][i]).log() / 16, min=-0.5).exp()),
        ("gk_proj",),
        {"clamp_min": -0.5},
        low=0.6,
    ),
    Case("hgrn", F.hgrn, {"g": -row.abs()}, scalar(lambda x, *i: x["g"][i].exp()), ("g",)),
    Case(
        "hgrn raw",
        F.hgrn,
        {"f": row, "lower_bound": bound},
        scalar(lambda x, *i: x["lower_bound"] + (1 - x["lower_bound"]) * sigmoid(x["f"][i])),
        ("f",),
        low=float(bound.min()),
    ),
    Case("hgrn unbounded", F.hgrn, {"f": row}, scalar(lambda x, *i: sigmoid(x["f"][i])), ("f",)),
    Case(
        "hgrn2",
        F.hgrn2,
        {"f": gate, "lower_bound": bound.expand(H, D)[:, :K].contiguous()},
        scalar(lambda x, b, t, h: x["lower_bound"][h] + (1 - x["lower_bound"][h]) * sigmoid(x["f"][b, t, h])),
        ("f",),
    ),
    Case(
        "rodimus",
        F.rodimus,
        {"g_gate": gate, "tau_gate": randn(B, T, H, K, seed=1)},
        scalar(lambda x, *i: (1 + x["g_gate"][i].exp()) ** -sigmoid(x["tau_gate"][i])),
        ("g_gate", "tau_gate"),
    ),
    Case("lightnet", F.lightnet, {"k": gate}, scalar(lambda x, b, t, h: torch.exp(running(x["k"][b, :, h], t - 1) - running(x["k"][b, :, h], t))), ("k",), local=False),
    Case("rwkv4", F.rwkv4, {"time_decay": randn(D)}, scalar(lambda x: torch.exp(-torch.exp(x["time_decay"])))),
    Case("rwkv4 normalised", F.rwkv4, {"time_decay": randn(D), "key": row}, averaged, ("key",), local=False),
    Case("rwkv5", F.rwkv5, {"time_decay": randn(H, K)}, scalar(lambda x, h: torch.exp(-torch.exp(x["time_decay"][h])))),
    Case("rwkv5 log", F.rwkv5, {"w": -randn(H, K).abs()}, scalar(lambda x, h: torch.exp(x["w"][h]))),
    Case("rwkv6", F.rwkv6, {"w_proj": gate}, scalar(lambda x, *i: torch.exp(-torch.exp(x["w_proj"][i]))), ("w_proj",)),
    Case("rwkv6 log", F.rwkv6, {"w": -gate.abs()}, scalar(lambda x, *i: torch.exp(x["w"][i])), ("w",)),
    Case("gsa", F.gsa, {"f": gate}, scalar(lambda x, *i: sigmoid(x["f"][i]) ** (1 / 8)), ("f",)),
    Case("gsa log", F.gsa, {"g": -gate.abs()}, scalar(lambda x, *i: x["g"][i].exp()), ("g",)),
    Case("abc", F.abc, {"s": gate}, scalar(lambda x, b, t, h: torch.exp(running(x["s"][b, :, h], t - 1) - running(x["s"][b, :, h], t))), ("s",), local=False),
    Case("raven", F.raven, {"router": gate, "f": randn(B, T, H, K, seed=2), "r_bias": randn(H, K)}, lambda *a: route(*a, "sigmoid"), ("router", "f"), {"topk": 2}),
    Case(
        "raven mamba2",
        F.raven,
        {"router": gate, "a": head_gate, "A_log": randn(H), "dt_bias": randn(H), "r_bias": randn(H, K)},
        lambda *a: route(*a, "softmax"),
        ("router", "a"),
        {"topk": 2, "router_score": "softmax"},
    ),
    Case(
        "rg_lru",
        F.rg_lru,
        {"recurrent_gate": sigmoid(row), "recurrent_param": randn(D)},
        scalar(lambda x, *i: torch.exp(-8 * x["recurrent_gate"][i] * torch.log1p(x["recurrent_param"].exp()))),
        ("recurrent_gate",),
    ),
    Case(
        "rg_lru raw",
        F.rg_lru,
        {"recurrent_gate_logits": row, "recurrent_param": randn(D)},
        scalar(lambda x, *i: torch.exp(-8 * sigmoid(x["recurrent_gate_logits"][i]) * torch.log1p(x["recurrent_param"].exp()))),
        ("recurrent_gate_logits",),
    ),
    Case("min_gru", F.min_gru, {"gate": row}, scalar(lambda x, *i: 1 - sigmoid(x["gate"][i])), ("gate",)),
    Case("min_lstm", F.min_lstm, {"f": row, "i": randn(B, T, D, seed=3)}, scalar(lambda x, *i: sigmoid(x["f"][i]) / (sigmoid(x["f"][i]) + sigmoid(x["i"][i]))), ("f", "i")),
    Case("qlstm", F.qlstm, {"f": row}, scalar(lambda x, *i: sigmoid(x["f"][i])), ("f",)),
    Case("qlstm reversed", F.qlstm, {"f": row, "alpha": randn(D)}, scalar(lambda x, *i: sigmoid(-x["f"][i]) ** x["alpha"].clamp(min=0)), ("f",)),
]


@every(CASES)
def test_family(case, check):
    check(case)


def test_what_no_position_changes_is_time_invariant():
    for case in CASES:
        t = case.make()
        assert t.lti == (not case.batched) and t.time in (None, -1, -2)
        assert t.time is None or t.batch_shape[t.time] == T


def test_retnet_unrotated():
    theta = randn(2)
    t = F.retnet(3, 5, theta=theta)
    gamma = 1 - 2.0 ** (-5 - torch.arange(3.0, dtype=torch.float64))
    assert t.gauge == "rotated" and t.dtype == torch.float64 and t.shape == (3, 5, 5)
    expected = gamma[:, None] * torch.cat([torch.exp(1j * theta), torch.exp(-1j * theta), torch.ones(1)])
    assert torch.allclose(torch.view_as_real(t.eigvals()).sum(-2), torch.view_as_real(expected).sum(-2), atol=1e-14)
    assert torch.allclose(t.eigvals().abs(), gamma[:, None].expand(3, 5))
    with pytest.raises(ValueError, match="2 m <= head_k_dim = 4, got 3"):
        F.retnet(3, 4, theta=torch.zeros(3))


def test_first_position_of_a_ratio_is_not_valid():
    for t in (F.lightnet(gate), F.abc(gate), F.rwkv4(torch.zeros(D), key=row)):
        assert t.gauge == "normalised" and not bool(t.valid[:, 0].any()) and bool(t.valid[:, 1:].all())
    carried = F.lightnet(gate, z0=randn(B, 1, H, K))
    assert carried.valid is None and bool((carried.value < 0).all())
    whole = F.abc(gate).value
    halves = F.abc(gate[:, 3:], z0=gate[:, :3].logcumsumexp(1)[:, -1:])
    assert torch.allclose(halves.value, whole[:, 3:], rtol=1e-13)


def test_ratios_keep_their_last_digits():
    """One more of 1e6 equal keys: 1 - lambda = 1e-6 to float32's precision, which a difference of float32 logs has lost."""
    k = torch.zeros(2, 1, 1)
    value = F.lightnet(k[1:], z0=torch.full((1, 1, 1), math.log(1e6))).value
    assert float(value) == pytest.approx(math.log1p(-1 / 1000001), rel=1e-5)
    drift = (torch.full((), math.log(1e6)) - torch.tensor([math.log(1e6), 0.0]).logsumexp(0)).item()
    assert abs(drift / math.log1p(-1 / 1000001) - 1) > 1e-3


def test_abc_clamps_as_the_layer():
    s = 100 * gate
    assert torch.equal(F.abc(s, clamp_min=-32, clamp_max=32).value, F.abc(s.clamp(-32, 32)).value)


def test_lower_bound_keeps_small_decay_and_small_forgetting():
    """float32: log of a decay within 1e-9 of 1, and of one of e^-60."""
    f = torch.tensor([[[25.0, -60.0]]])
    exact = torch.log(0.5 + 0.5 * torch.sigmoid(f[..., :1].double()))
    assert float(F.hgrn(f=f[..., :1], lower_bound=torch.tensor([0.5])).value) == pytest.approx(float(exact), rel=1e-5)
    assert float(F.hgrn(f=f[..., 1:], lower_bound=torch.tensor([0.0])).value) == pytest.approx(-60, rel=1e-6)


def test_rg_lru_reset():
    reset = torch.zeros(B, T, dtype=torch.bool)
    reset[0, 0] = reset[1, 2] = True
    t = F.rg_lru(sigmoid(row), randn(D), reset=reset)
    assert torch.equal(t.valid, ~reset) and bool((t.eigvals()[reset] == 0).all()) and bool((t.eigvals()[~reset] != 0).all())
    assert bool((t.horizon()[reset] == 0).all()) and bool((t.spectral_radius()[reset] == 0).all())
    with pytest.raises(TypeError, match=r"bool Tensor reset, got torch\.float64"):
        F.rg_lru(sigmoid(row), randn(D), reset=reset.double())
    with pytest.raises(ValueError, match=r"reset of shape \(2, 5\), got \(5,\)"):
        F.rg_lru(sigmoid(row), randn(D), reset=reset[0])


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.gla(), TypeError, "families.gla: expected exactly one of gk, gk_proj; got none"),
        (lambda: F.hgrn(row, f=row), TypeError, "exactly one of g, f; got g and f"),
        (lambda: F.simple_gla(torch.zeros(3)), ValueError, r"families.simple_gla: expected g \(..., T, H\), got g of shape \(3,\)"),
        (lambda: F.hgrn2(f=gate, lower_bound=bound), ValueError, r"expected lower_bound \(H, K\), got lower_bound of shape \(6,\)"),
        (lambda: F.retnet(True), TypeError, "num_heads must be int, not bool"),
        (lambda: F.lightning_attention(2, 3, 3), ValueError, "expected num_layers >= 4, got 3"),
        (lambda: F.raven(router=gate, f=gate, topk=9), ValueError, "topk from 1 to the 4 slots, got 9"),
        (lambda: F.raven(router=gate, f=gate), ValueError, "topk from 1 to the 4 slots, got None"),
        (lambda: F.raven(router=gate, topk=1), TypeError, "exactly one of f, a; got none"),
        (lambda: F.raven(router=gate, f=gate, topk=1, router_score="relu"), ValueError, "router_score 'sigmoid' or 'softmax', got 'relu'"),
        (lambda: F.rwkv4(torch.zeros(6), key=row.to(torch.complex128)), TypeError, "expected key of a real floating dtype"),
        (lambda: F.min_lstm(row, row[:, :, :2]), ValueError, r"expected i \(..., T, D\) with D = 6, as in f \(..., T, D\) of shape \(2, 5, 6\)"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_huge_decays_keep_their_logs():
    """float32 exp(-1000) is 0; horizon and windows still see it."""
    t = F.gla(torch.full((1, 3, 1, 1), -1000.0))
    assert isinstance(t, Diagonal) and float(t.spectral_radius().max()) == 0
    assert t.log_modulus().flatten().tolist() == [-1000.0] * 3 and t.horizon().flatten().tolist() == pytest.approx([1e-3] * 3)
    assert t.window(2).log_modulus().flatten().tolist() == [-2000.0] * 2
