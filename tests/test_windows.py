"""Products of transitions over windows of positions, products of two, sequences joined: against the products of the dense matrices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transition_cases import DEFECTIVE, F64, REAL, decays, every, make, randn, tr

from spectral_kernels.api.testing.matching import matched_distance
from spectral_kernels.api.transitions import base

CLOSED = {
    "scalar": tr.Scalar,
    "diagonal": tr.Diagonal,
    "zero_order_hold": tr.ZeroOrderHold,
    "rotation": tr.Rotation,
    "rank_one": tr.LowRankUpdate,
    "householder": tr.LowRankUpdate,
    "low_rank": tr.LowRankUpdate,
}
every_double = pytest.mark.parametrize("case", [(name, F64) for name in REAL], ids=lambda case: case[0])


def product(A, w):
    """``A_t ... A_{t-w+1}`` of matrices ``(..., T, n, n)``, one after the other: ``(..., T - w + 1, n, n)``."""
    count = A.shape[-3] - w + 1
    window = A[..., :count, :, :]
    for s in range(1, w):
        window = A[..., s : s + count, :, :] @ window
    return window


def assert_is(t, expected, tolerance):
    assert t.shape == t.dense().shape == expected.shape
    assert float((t.dense() - expected).abs().max()) <= tolerance * float(expected.abs().max())


@every("case")
@pytest.mark.parametrize("w", [2, 3, 4, 7])
def test_windows(case, w):
    t = make(case, (2, 9), 8)
    if case[0] == "shift_register":
        t = replace(t, time=-1)
    windows = t.window(w)
    expected = product(t.dense(), w)
    assert_is(windows, expected, 1e-13 if case[1] != torch.float32 else 1e-4)
    assert windows.time == -1 and windows.batch_shape == (2, 10 - w) and windows.multiplicity == t.multiplicity
    rank = {"rank_one": 1, "rank_one_p": 1, "householder_1": 1, "householder_2": 2, "householder_4": 4, "low_rank": 2, "low_rank_symmetric": 2}.get(case[0], 0)
    kind = next((cls for prefix, cls in CLOSED.items() if case[0].startswith(prefix)), tr.Dense)
    assert type(windows) is (kind if rank * w < 8 else tr.Dense)
    if rank and rank * w < 8:
        assert windows.rank == rank * w and windows.left.shape == (2, 10 - w, rank * w, 8)
    if case[1] == F64 and case[0] not in DEFECTIVE:
        for a, x in zip(expected.reshape(-1, t.size, t.size), windows.eigvals().reshape(-1, t.size), strict=True):
            assert matched_distance(x, np.linalg.eigvals(a.numpy())) <= 1e-10 * float(a.abs().max())


@every_double
def test_one_position_and_too_few(case):
    t = make(case, (2, 4), 6)
    assert t.window(1) is t
    for w in (5, 8, 100):
        none = t.window(w)
        assert none.batch_shape == (2, 0) and none.eigvals().shape == (2, 0, t.size)
    assert t[:0].window(3).batch_shape == (0, 2)


@pytest.mark.parametrize("name", ["scalar_log", "zero_order_hold", "rank_one_p", "householder_2", "momentum", "level_merge"])
@pytest.mark.parametrize("axis", [-1, -2, -3])
def test_any_axis_is_the_position(name, axis):
    t = make((name, F64), (5, 5, 5), 6)
    t = replace(t, time=axis)
    windows = t.window(3)
    A = t.dense().movedim(3 + axis, 0)
    expected = torch.stack([A[s + 2] @ A[s + 1] @ A[s] for s in range(3)]).movedim(0, 3 + axis)
    assert_is(windows, expected, 1e-13)
    assert windows.time == axis


@every_double
def test_lti_powers(case):
    t = replace(make(case, (2, 3), 6), time=None)
    for w in (1, 2, 5):
        power = t.window(w)
        assert power.lti and power.batch_shape == (2, 3)
        assert_is(power, torch.linalg.matrix_power(t.dense(), w), 1e-12)


def test_logs_are_not_lost_to_long_sums():
    """A window of small logs between huge ones: the difference of running sums would leave nothing of it."""
    log = torch.full((64,), -1e-12, dtype=F64)
    log[:8] = -1e8
    for t in (
        tr.Scalar(log, log=True),
        tr.Diagonal(log[:, None], log=True),
        tr.ZeroOrderHold(-log[:, None], -torch.ones(1, 1, dtype=F64)),
        tr.Rotation(log, torch.zeros(64, 0, dtype=F64), 1, log=True),
    ):
        got = t.window(16).log_modulus()[:, 0]
        torch.testing.assert_close(got[8:], torch.full((41,), -16e-12, dtype=F64), rtol=1e-14, atol=0)
        assert got[0].item() == pytest.approx(-8e8, rel=1e-14)
        assert t.window(16).horizon()[-1].item() == pytest.approx(1 / 16e-12)


@pytest.mark.parametrize("name", ["rank_one", "rank_one_p", "householder_2"])
def test_windows_of_delta_rules_need_no_quotient(name):
    """alpha = 0 in the middle, which forgets all but the rank of what follows."""
    t = make((name, F64), (1, 7), 9)
    alpha = t.alpha.clone()
    alpha[0, 3] = 0
    t = replace(t, alpha=alpha)
    assert_is(t.window(4), product(t.dense(), 4), 1e-13)
    assert isinstance(t.window(4), tr.LowRankUpdate) and bool((t.window(4).alpha[0] == 0).all())


def test_windows_of_symmetric_delta_rules_hold_their_keys_once():
    t = tr.RankOne(decays(8), decays(8), randn(8, 6))
    assert t.window(3).right is None and tr.RankOne(decays(8), decays(8), randn(8, 6), randn(8, 6)).window(3).right is not None
    assert t.window(6).structure == "dense"


@every_double
def test_nan_reaches_the_windows_that_hold_it_alone(case):
    t = make(case, (2, 9), 6)
    clean = t.window(3).eigvals()
    owner = t.inner if case[0] == "level_merge" else t
    name, value = list(owner._given().items())[-1]
    value = value.clone()
    value[1, 4] = math.nan
    other = replace(owner, **{name: value})
    w = (replace(t, inner=other) if owner is not t else other).window(3).eigvals()
    hurt = torch.zeros(2, 7, dtype=torch.bool)
    hurt[1, 2:5] = True
    assert bool(w[hurt].isnan().all()) and torch.equal(w[~hurt], clean[~hurt])


@pytest.mark.parametrize("time", [-1, -2])
def test_valid(time):
    valid = torch.ones(6, 6, dtype=torch.bool)
    valid[2, 3] = False
    t = tr.RankOne(decays(6, 6), decays(6, 6), randn(6, 6, 5), valid=valid, multiplicity=3, gauge="rotated", time=time)
    for w in (2, 5):  # closed and dense
        windows = t.window(w)
        expected = torch.tensor([[bool((valid.movedim(time, -1)[i, s : s + w]).all()) for s in range(7 - w)] for i in range(6)])
        assert torch.equal(windows.valid.movedim(time, -1), expected)
        assert (windows.multiplicity, windows.gauge, windows.time) == (3, "rotated", time)
    assert t.window(7).valid.shape == t.window(7).batch_shape


@pytest.mark.parametrize("room", [1, 5, 12, 50])
@pytest.mark.parametrize("time", [-1, -2])
def test_chunks_change_nothing(monkeypatch, room, time):
    t = replace(make(("momentum", F64), (7, 7), 2), time=time)
    whole = t.window(3)
    monkeypatch.setattr(base, "_CHUNK_BYTES", room * t.size**2 * 8)
    assert torch.equal(t.window(3).dense(), whole.dense()) and torch.equal(t.window(3).eigvals(), whole.eigvals())


@pytest.mark.parametrize("name", ["scalar_log", "diagonal", "rotation", "rank_one", "householder_2", "momentum", "companion"])
def test_gradients(name):
    t = make((name, F64), (5,), 5)
    given = {f: value.detach().clone().requires_grad_() for f, value in t._given().items()}

    def function(*values):
        return replace(t, **dict(zip(given, values, strict=True))).window(2).eigvals().abs().sum(-1)

    assert torch.autograd.gradcheck(function, tuple(given.values()))


@every_double
def test_products_of_two(case):
    a, b = make(case, (2, 3), 6, seed=0), make(case, (2, 3), 6, seed=1)
    assert_is(a @ b, a.dense() @ b.dense(), 1e-13)
    one = a[0, 0] @ b[0, 0]
    assert one.time == 0 and one.batch_shape == ()
    assert_is(one, a.dense()[0, 0] @ b.dense()[0, 0], 1e-13)
    valid = torch.tensor([True, False, True])
    assert (replace(a, valid=valid.expand(2, 3)) @ b).valid.tolist() == [valid.tolist()] * 2 and (a @ b).valid is None


def test_products_of_different_structures():
    scalar, keys = tr.Scalar(decays(2, 3), 6), make(("rank_one_p", F64), (2, 3), 6)
    reflectors = make(("householder_2", F64), (2, 3), 6)
    assert isinstance(keys @ reflectors, tr.LowRankUpdate) and (keys @ reflectors).rank == 3
    for a, b in (
        (scalar, keys),
        (keys, reflectors),
        (reflectors, keys),
        (scalar, tr.Scalar(randn(2, 3), 6, log=True)),
        (make(("zero_order_hold", F64)), make(("zero_order_hold_shared", F64))),
    ):
        assert_is(a @ b, a.dense() @ b.dense(), 1e-13)
    lti = replace(keys[0], time=None)
    assert_is(lti @ reflectors, lti.dense() @ reflectors.dense(), 1e-13)
    assert (lti @ reflectors).time == -1 and (lti @ lti).lti


@every_double
def test_cat(case):
    t = make(case, (2, 7), 4)
    joined = tr.cat([t[:, :2], t[:, 2:3], t[:, 3:]])
    assert joined.batch_shape == t.batch_shape and torch.equal(joined.dense(), t.dense()) and joined.time == t.time
    valid = torch.arange(7) > 3
    parts = [t[:, :3], replace(t, valid=valid.expand(2, 7))[:, 3:]]
    assert tr.cat(parts).valid.tolist() == [[True] * 3 + valid[3:].tolist()] * 2


@pytest.mark.parametrize(
    "action, message",
    [
        (lambda t: t.window(0), "RankOne.window: expected w >= 1, got 0"),
        (lambda t: t[:, 0].window(2), "expected positions along an axis, got single ones"),
        (lambda t: t @ tr.Scalar(torch.ones(2, 3, dtype=F64)), "product of the same size, got 5 @ 1"),
        (lambda t: t @ replace(t, gauge="rotated"), "product of the same gauge, got raw @ rotated"),
        (lambda t: t @ replace(t, time=-2), "product along the same time axis, got -1 @ -2"),
        (lambda t: tr.cat([]), "at least one"),
        (lambda t: tr.cat([replace(t, time=None)]), "with a time axis, got time = None"),
        (lambda t: tr.cat([t, tr.Scalar(torch.ones(2, 3), 5)]), "of one class, got RankOne and Scalar"),
        (lambda t: tr.cat([t, replace(t, multiplicity=2)]), "the same multiplicity in all transitions, got 1 and 2"),
        (lambda t: tr.cat([t, replace(t, p=t.k)]), "the same p in all"),
    ],
)
def test_errors(action, message):
    with pytest.raises(ValueError, match=message):
        action(make(("rank_one", F64)))
    with pytest.raises(TypeError):
        make(("rank_one", F64)) @ torch.ones(5, 5)
    with pytest.raises(TypeError):
        make(("rank_one", F64)).window(1.5)


def test_compiles_as_one_graph():
    def function(alpha, beta, k):
        t = tr.RankOne(alpha, beta, k)
        return t.eigvals(), t.horizon(), t.window(3).eigvals(), t[2:].eig().eigenvectors

    inputs = decays(8), decays(8), randn(8, 6)
    for got, expected in zip(torch.compile(function, backend="eager", fullgraph=True)(*inputs), function(*inputs), strict=True):
        assert torch.equal(got, expected)
