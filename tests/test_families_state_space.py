"""State spaces: selective and time-invariant, and convolutions as recurrences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from family_checks import Case, dense_is_the_jacobian_of_a_step, eigenvalues_lie_in_the_range, every, randn

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance

F = sk.families
B, T, H, D, N = 2, 5, 3, 3, 4


def softplus(x):
    return torch.log(1 + torch.exp(x))


def mamba_step(x, index, h):
    delta = softplus(x["dt"][index] + x["delta_bias"])
    return ((delta[:, None] * -x["A_log"].exp()).exp() * h.reshape(D, N)).reshape(-1) + 0.3


def mamba3_step(x, index, h):
    """On pairs as complex numbers: S = alpha exp(-i theta) S, and alpha S for what is not rotated."""
    b, t, head = index
    delta = softplus(x["DT"][index] + x["dt_bias"][head])
    alpha = torch.exp(-softplus(x["dd_A"][index]).clamp(min=1e-4) * delta)
    theta = math.pi * torch.tanh(x["Angles"][b, t, 0]) * delta
    turned = torch.view_as_complex(h[:4].reshape(2, 2)) * torch.exp(-1j * theta)
    return alpha * torch.cat([torch.view_as_real(turned).reshape(-1), h[4:]])


def longhorn_step(x, index, S, exact):
    """The implicit update: S minimises |S - S_{t-1}|^2 + beta (k^T S - x)^2; its diagonal approximation."""
    b, t, d = index
    k, beta = x["k"][b, t], torch.sigmoid(x["dt"][b, t, d])
    if exact:
        return torch.linalg.solve(torch.eye(N, dtype=k.dtype) + beta * torch.outer(k, k), S + beta * 0.3 * k)
    return S - beta / (1 + beta * k @ k) * k * k * S


def bilinear(rate, step):
    return (2 / step + rate) / (2 / step - rate)


def s4d_rate(x, h):
    half = torch.complex(-x["log_A_real"][h].exp(), x["A_imag"][h])
    return torch.cat([half, half.conj()])


def s4_step(x, index, h):
    """The bilinear rule with a solve: (2/Delta - A) h_t = (2/Delta + A) h_{t-1}."""
    (feature,) = index
    A = torch.diag(torch.complex(x["Lambda_re"][feature].clamp(max=-1e-4), x["Lambda_im"][feature])) - torch.outer(x["P"][feature], x["P"][feature].conj())
    rate, eye = 2 / x["log_step"][feature, 0].exp(), torch.eye(N, dtype=A.dtype)
    return torch.linalg.solve(rate * eye - A, (rate * eye + A) @ h)


def s5_step(x, index, h):
    half = bilinear(torch.complex(x["Lambda_re"].clamp(max=-1e-4), x["Lambda_im"]), x["log_step"].exp())
    return torch.cat([half, half.conj()]) * h


def shift(x, index, h):
    return torch.cat([torch.full((1,), 0.3, dtype=h.dtype), h[:-1]])


row = randn(B, T, D)
imag, half = randn(H, N), randn(H, N, seed=1)
s4_inputs = {"Lambda_re": half, "Lambda_im": 3 * imag, "P": torch.complex(randn(H, N, seed=2), randn(H, N, seed=3)), "log_step": randn(H, 1)}
CASES = [
    Case("mamba", F.mamba, {"dt": row, "A_log": randn(D, N), "delta_bias": randn(D)}, mamba_step, ("dt",), {"delta_softplus": True}),
    Case("mamba delta", F.mamba, {"dt": row.abs(), "A": -randn(D, N).abs()}, lambda x, i, h: ((x["dt"][i][:, None] * x["A"]).exp() * h.reshape(D, N)).reshape(-1), ("dt",)),
    Case(
        "mamba2",
        F.mamba2,
        {"dt": row, "A_log": randn(D), "dt_bias": randn(D)},
        lambda x, i, S: torch.exp(-x["A_log"][i[2]].exp() * softplus(x["dt"][i] + x["dt_bias"][i[2]]).clamp(0.2, 0.9)) * S,
        ("dt",),
        {"dt_softplus": True, "dt_limit": (0.2, 0.9), "d_state": N},
    ),
    Case("mamba2 delta", F.mamba2, {"dt": row.abs(), "A": -randn(D).abs()}, lambda x, i, S: torch.exp(x["dt"][i] * x["A"][i[2]]) * S, ("dt",)),
    Case("mamba2 pseudo-LTI", F.mamba2_pseudo_lti, {"A": randn(H)}, lambda x, i, S: S / (1 + x["A"][i[0]].exp()), options={"d_state": N}),
    Case(
        "mamba3",
        F.mamba3,
        {"DT": row, "Angles": randn(B, T, 1, 2), "dd_A": randn(B, T, D, seed=2), "dt_bias": randn(D)},
        mamba3_step,
        ("DT", "Angles", "dd_A"),
        {"d_state": 5, "dt_softplus": True},
        real=False,
    ),
    Case("longhorn", F.longhorn, {"k": randn(B, T, N), "dt": row}, lambda *a: longhorn_step(*a, False), ("k", "dt")),
    Case("longhorn exact", F.longhorn, {"k": randn(B, T, N), "dt": row}, lambda *a: longhorn_step(*a, True), ("k", "dt"), {"exact": True}),
    Case("s4", F.s4, s4_inputs, s4_step, real=False),
    Case("s4d", F.s4d, {"log_A_real": half, "A_imag": imag, "log_dt": randn(H)}, lambda x, i, h: torch.exp(s4d_rate(x, i[0]) * x["log_dt"][i].exp()) * h, real=False),
    Case(
        "s4d bilinear",
        F.s4d,
        {"log_A_real": half, "A_imag": imag, "log_dt": randn(H)},
        lambda x, i, h: bilinear(s4d_rate(x, i[0])[:N], x["log_dt"][i].exp()) * h,
        options={"disc": "bilinear", "conjugates": False},
        real=False,
    ),
    Case(
        "dss exp",
        F.dss,
        {"Lambda_re": randn(N), "Lambda_im": randn(N, seed=1), "log_dt": randn(H)},
        lambda x, i, h: torch.exp(torch.complex(-x["Lambda_re"].exp(), x["Lambda_im"]) * x["log_dt"][i].exp()) * h,
        real=False,
    ),
    Case(
        "dss softmax",
        F.dss,
        {"Lambda_re": randn(N, scale=0.3), "Lambda_im": randn(N, seed=1), "log_dt": randn(H, scale=0.3)},
        lambda x, i, h: torch.exp(torch.complex(x["Lambda_re"], x["Lambda_im"]) * x["log_dt"][i].exp()) * h,
        options={"version": "softmax"},
        high=math.inf,
        real=False,
    ),
    Case(
        "s5",
        F.s5,
        {"Lambda_re": -randn(N).abs(), "Lambda_im": randn(N, seed=1), "log_step": randn(N, 1)},
        lambda x, i, h: torch.exp(torch.complex(x["Lambda_re"], x["Lambda_im"]) * 0.5 * x["log_step"][:, 0].exp()) * h,
        options={"step_scale": 0.5},
        real=False,
    ),
    Case(
        "s5 bilinear pairs",
        F.s5,
        {"Lambda_re": randn(N), "Lambda_im": randn(N, seed=1), "log_step": randn(N)},
        s5_step,
        options={"disc": "bilinear", "clip_eigs": True, "conj_sym": True},
        real=False,
    ),
    Case(
        "lru",
        F.lru,
        {"nu_log": randn(N), "theta_log": randn(N, seed=1)},
        lambda x, i, h: torch.exp(-x["nu_log"].exp()) * torch.polar(torch.ones(N, dtype=torch.float64), x["theta_log"].exp()) * h,
        real=False,
    ),
    Case(
        "mega",
        F.mega_ema,
        {"damping_factor": randn(D, N, 1), "decay_factor": randn(D, N, 1, seed=1)},
        lambda x, i, h: (1 - torch.sigmoid(x["damping_factor"][i][:, 0]) * torch.sigmoid(x["decay_factor"][i][:, 0])) * h,
    ),
    Case(
        "autoregression",
        F.autoregression,
        {"coefficients": randn(D, N)},
        lambda x, i, h: torch.cat([(x["coefficients"][i] @ h + 0.3).reshape(1), h[:-1]]),
        high=math.inf,
        real=False,
    ),
    Case("iir", F.iir, {"a": randn(D, N + 1)}, lambda x, i, h: torch.cat([-(x["a"][i][1:] @ h / x["a"][i][0]).reshape(1), h[:-1]]), high=math.inf, real=False),
]


REGISTERS = [
    Case("short_conv", F.short_conv, {"weight": randn(D, 1, 4)}, shift, high=0.0),
    Case("long_conv", F.long_conv, {"k": randn(D, 6)}, shift, high=0.0),
    Case("sliding_buffer", F.sliding_buffer, {}, shift, options={"window": 5, "dtype": torch.float64}, high=0.0),
]


@every(CASES)
def test_family(case, check):
    check(case)


@pytest.mark.parametrize("case", REGISTERS, ids=lambda c: c.name)
def test_registers(case):
    """Nilpotent: numpy finds eigenvalues of modulus eps^(1/n) on such a Jordan block, so the power is what is checked."""
    t = case.make()
    for check in (dense_is_the_jacobian_of_a_step, eigenvalues_lie_in_the_range):
        check(case)
    assert bool((torch.linalg.matrix_power(t.dense(), t.size) == 0).all()) and bool((torch.linalg.matrix_power(t.dense(), t.size - 1) != 0).any())
    assert t.lti and not t.eigvals().requires_grad and t.eigvals().dtype == torch.complex128


def test_step_sizes_at_their_limits():
    """delta -> 0 gives 1, a huge one underflows to 0 but keeps its logarithm and its horizon."""
    A = -torch.tensor([[1.0, 4.0]])
    t = F.mamba(torch.tensor([[[0.0], [1e-9], [1e4]]]), A)
    assert t.eigvals()[0, 0].tolist() == [1, 1] and t.eigvals()[0, 2].tolist() == [0, 0]
    assert t.log_modulus()[0, 2].tolist() == [-1e4, -4e4] and t.log_modulus()[0, 1].tolist() == pytest.approx([-1e-9, -4e-9])
    assert t.horizon()[0, 0].tolist() == [math.inf] * 2 and t.horizon()[0, 1].tolist() == pytest.approx([1e9, 2.5e8])
    two = F.mamba2(torch.tensor([[[0.0, 1e4]]]), torch.tensor([-1.0, -1.0]))
    assert two.eigvals().real.flatten().tolist() == [1, 0] and two.log_modulus().flatten().tolist() == [0, -1e4]
    assert two.window(1).horizon()[0, 0, 1].item() == pytest.approx(1e-4)


def test_mamba_holds_factors_only():
    t = F.mamba(torch.rand(1, 1000, 64), -torch.rand(64, 16))
    assert sum(f.numel() for f in (t.delta, t.rate)) == 1000 * 64 + 64 * 16 and t.size == 1024


def test_dt_limit_clamps():
    t = F.mamba2(torch.tensor([[[-50.0, 0.0, 50.0]]]), -torch.ones(3), dt_softplus=True, dt_limit=(0.01, 0.1))
    assert t.value.flatten().tolist() == pytest.approx([-0.01, -0.1, -0.1])


def test_s5_and_lru_at_any_depth():
    assert F.lru(randn(6, N), randn(6, N)).shape == (6, N, N)
    pairs = F.s5(-torch.ones(N), torch.arange(1.0, N + 1), torch.zeros(N), conj_sym=True).eigvals()
    assert matched_distance(pairs, pairs.conj().resolve_conj()) <= 1e-7


def test_s4_parameters_in_both_forms():
    t = F.s4(**s4_inputs)
    P, step = s4_inputs["P"], s4_inputs["log_step"]
    again = F.s4(half, 3 * imag, torch.view_as_real(P), step[:, 0])
    assert torch.equal(t.dense(), again.dense()) and t.lti and t.shape == (H, N, N)
    assert float(F.s4(half, imag, P, step, clip=None).spectral_radius().max()) > float(F.s4(half, imag, P, step).spectral_radius().max())
    assert F.s4(half.float(), imag.float(), P.to(torch.complex64), step.float()).dtype == torch.complex64


def test_s4_at_its_initialisation_says_what_it_knows():
    """HiPPO-LegS as diagonal plus rank one: the spectrum of its continuous matrix is -1, ..., -N."""
    for n, correct in ((4, 1e-10), (24, None)):
        i = np.arange(n)
        p = np.sqrt(i + 0.5)
        S = -0.5 * np.eye(n) - np.where(i[:, None] > i, 1.0, -1.0) * np.outer(p, p) * (i[:, None] != i)  # skew plus -1/2: normal
        w, V = np.linalg.eig(S)
        P = torch.from_numpy(V.conj().T @ p).reshape(1, n)
        t = F.s4(torch.from_numpy(w.real)[None], torch.from_numpy(w.imag)[None], P, torch.tensor([math.log(0.01)], dtype=torch.float64))
        exact = torch.from_numpy((1 - 0.005 * (i + 1)) / (1 + 0.005 * (i + 1)))
        error, worst = matched_distance(t.eigvals()[0], exact), float(t.condition().max())
        assert (error <= correct and worst < 1e5) if correct else worst > 1e9, (n, error, worst)


def test_mamba3_given_activated_gates():
    DT, Angles, dd_A = row.abs(), randn(B, T, D, 2), randn(B, T, D, seed=2)
    A = -softplus(dd_A).clamp(min=1e-4)
    a, b = F.mamba3(DT, Angles, 6, dd_A=dd_A), F.mamba3(DT, Angles, 6, ADT=A * DT)
    assert torch.allclose(a.dense(), b.dense(), rtol=1e-13) and a.gauge == "rotated" and a.time == -2
    assert torch.allclose(a.log_modulus(), (A * DT)[..., None].expand(B, T, D, 6))
    assert float(F.mamba3(DT, Angles, 4, dd_A=torch.full_like(dd_A, -50)).log_modulus().max()) <= -1e-4 * float(DT.min())


def test_poles_are_those_of_scipy():
    signal = pytest.importorskip("scipy.signal")
    b, a = signal.butter(5, 0.2)
    assert matched_distance(F.iir(torch.from_numpy(a)).eigvals(), torch.from_numpy(signal.tf2zpk(b, a)[1])) <= 1e-10
    assert float(F.iir(torch.from_numpy(a)).spectral_radius()) < 1
    assert np.abs(F.autoregression(torch.tensor([2.0, -1.0], dtype=torch.float64)).eigvals().numpy() - 1).max() <= 1e-7  # defective: x_t = 2 x_{t-1} - x_{t-2}


def test_a_register_forgets_after_its_length():
    t = F.short_conv(randn(D, 4))
    assert t.shape == (D, 3, 3) and t.lti and bool((t.window(3).dense() == 0).all()) and bool((t.window(2).dense() != 0).any())
    assert F.short_conv(randn(D, 1)).shape == (D, 0, 0) and F.sliding_buffer(0).shape == (0, 0) and F.long_conv(randn(D, 0)).shape == (D, 0, 0)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: F.mamba(row), TypeError, "families.mamba: expected exactly one of A, A_log; got none"),
        (lambda: F.mamba(row, randn(D, N), A_log=randn(D, N)), TypeError, "exactly one of A, A_log; got A and A_log"),
        (lambda: F.mamba(row, randn(N, N)), ValueError, r"expected A \(D, N\) with D = 3, as in dt \(..., T, D\) of shape \(2, 5, 3\); got A of shape \(4, 4\)"),
        (lambda: F.mamba2(row, randn(D), d_state=0), ValueError, "expected d_state >= 1, got 0"),
        (lambda: F.mamba3(row, randn(B, T, 1, 2), 3, dd_A=row), ValueError, "expected d_state >= 2 S = 4, got 3"),
        (lambda: F.longhorn(randn(B, T, N), randn(B, 4, D)), ValueError, r"expected dt \(..., T, D\) with T = 5"),
        (lambda: F.s4(half, imag, half.to(torch.complex128)[:, :2], randn(H)), ValueError, r"expected P \(..., N\) with N = 4"),
        (lambda: F.s4(half, imag, half, randn(H)), ValueError, r"expected P \(..., N, 2\), got P of shape \(3, 4\)"),
        (lambda: F.s4d(half, imag, randn(H), disc="euler"), ValueError, "expected disc 'zoh' or 'bilinear', got 'euler'"),
        (lambda: F.dss(randn(N), randn(N), randn(H), version="x"), ValueError, "expected version 'exp' or 'softmax', got 'x'"),
        (lambda: F.s5(randn(N), randn(N), randn(N, 2)), ValueError, r"expected log_step \(P, 1\), got log_step of shape \(4, 2\)"),
        (lambda: F.mega_ema(randn(D, N), randn(D, N, 1)), ValueError, r"expected decay_factor \(D, N\), got decay_factor of shape \(3, 4, 1\)"),
        (lambda: F.iir(torch.zeros(0)), ValueError, "at least a_0"),
        (lambda: F.sliding_buffer(2.0), TypeError, "window must be int, not float"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
