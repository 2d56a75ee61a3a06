"""Every structure against its dense matrices: eigenvalues by numpy, residuals, gradients, indexing, bad data, edge cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transition_cases import DEFECTIVE, F64, REAL, assert_backward, assert_eigenvalues, decays, every, make, randn, tr

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance

every_double = pytest.mark.parametrize("case", [(name, F64) for name in REAL], ids=lambda case: case[0])


@every("case")
@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("batch", [(), (2, 3), (1,)])
def test_eigenvalues_are_those_of_dense(case, n, batch):
    t = make(case, batch, n)
    assert t.dense().shape == t.shape and t.dense().dtype == t.dtype
    if case[0] in DEFECTIVE:
        assert_backward(t, 1e-13 if case[1] != torch.float32 else 1e-5)
    else:
        assert_eigenvalues(t, 1e-10 if case[1] != torch.float32 else 3e-5)


@every("case")
@pytest.mark.parametrize("n", [1, 2, 5])
def test_eigenvectors(case, n):
    t = make(case, n=n)
    A = t.dense().to(t.dtype.to_complex())
    w, V, U, info = t.eig(left=True)
    eps = torch.finfo(case[1]).eps
    scale = 60 * eps * torch.linalg.matrix_norm(A)[..., None, None]
    assert bool(((A @ V - V * w[..., None, :]).abs() <= scale).all()) and bool(((U.mH @ A - w[..., :, None] * U.mH).abs() <= scale).all())
    for vectors in (V, U):
        assert vectors.shape == t.shape and float((torch.linalg.vector_norm(vectors, dim=-2) - 1).abs().max()) <= 20 * eps
        largest = vectors.gather(-2, vectors.abs().argmax(-2, keepdim=True))
        assert float(largest.imag.abs().max()) <= 4 * eps  # geev's phase
    assert info.shape == t.batch_shape and info.dtype == torch.int32 and not bool(info.any())
    assert t.eig().left_eigenvectors is None
    if case[0] not in (*DEFECTIVE, "companion"):
        assert int(torch.linalg.matrix_rank(V).min()) == t.size


@every_double
def test_closed_forms_keep_their_order(case):
    """eig gives the eigenvalues of eigvals bit for bit, where it does not use the dense solver on purpose."""
    t = make(case)
    w = t.eig().eigenvalues
    if not (case[0].startswith(("householder", "low_rank")) or case[0] == "level_merge"):
        assert torch.equal(w, t.eigvals())
    assert matched_distance(w[0, 0], t.eigvals()[0, 0]) <= (1e-10 if case[0] not in DEFECTIVE else 1e-4)


@every_double
def test_distinct(case):
    for n in (1, 2, 5):
        t = make(case, n=n)
        values, counts = t.distinct()
        assert values.shape == (*t.batch_shape, len(counts)) and sum(counts) == t.size and min(counts) >= 1
        assert torch.equal(torch.repeat_interleave(values, torch.tensor(counts), -1).to(torch.complex128), t.eigvals())
        assert torch.equal(t.spectral_radius(), t.eigvals().abs().amax(-1))
        torch.testing.assert_close(t.log_modulus().exp(), t.eigvals().abs(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(t.horizon(), tr.horizon(t.eigvals()), rtol=1e-6, atol=1e-9)


def test_real_where_the_spectrum_is():
    for name in ("scalar", "diagonal_log", "zero_order_hold", "rank_one_p", "householder_1", "kronecker"):
        assert not make((name, F64)).distinct().values.is_complex()


@pytest.mark.parametrize("case", [*((name, F64) for name in REAL), ("rank_one_p", torch.complex128), ("diagonal", torch.complex128)], ids=str)
def test_gradients(case):
    t = make(case, batch=(2,), n=3)
    factors = {name: value.detach().clone().requires_grad_() for name, value in t._given().items() if value.dtype.is_floating_point or value.is_complex()}
    if case[0] == "level_merge":
        t, factors = t.inner, {name: value.requires_grad_() for name, value in t.inner._given().items()}
    if case[0].startswith("zero_order_hold"):
        factors["rate"] = t.rate.clone().requires_grad_()
    names = list(factors)

    def on(function):
        return lambda *values: function(replace(t, **dict(zip(names, values, strict=True))))

    inputs = tuple(factors.values())
    assert torch.autograd.gradcheck(on(lambda t: t.dense()), inputs)
    if case[0] in ("shift_register", "level_merge"):
        return
    assert torch.autograd.gradcheck(on(lambda t: t.eigvals().abs().sum(-1)), inputs)
    assert torch.autograd.gradcheck(on(lambda t: torch.view_as_real(t.eigvals()).square().sum((-2, -1))), inputs)


def test_gradients_of_double_roots():
    """Of the sum, which is smooth: that of the trace; none is NaN."""
    for a, mu, b, eta in ((0.5, 0.5, 0.0, 0.3), (0.25, 1.0, 1.0, 0.25), (0.0, 0.0, 0.0, 0.0)):
        factors = [torch.tensor(x, dtype=F64, requires_grad=True) for x in (a, mu, b, eta)]
        k = torch.tensor([1.0, 0.0, 0.0], dtype=F64, requires_grad=True)
        t = tr.Momentum(*factors, k)
        got = torch.autograd.grad(t.eigvals().sum().real, [*factors, k])
        expected = torch.autograd.grad(t.dense().diagonal(dim1=-2, dim2=-1).sum(), [*factors, k])
        torch.testing.assert_close(got, expected)
    k = torch.randn(3, 5, dtype=F64, requires_grad=True)
    beta = torch.zeros(3, dtype=F64, requires_grad=True)
    got = torch.autograd.grad(tr.HouseholderProduct(torch.ones((), dtype=F64), beta, k).eigvals().sum().real, [beta, k])
    torch.testing.assert_close(got[0], -k.square().sum(-1).detach())
    assert bool(got[1].isfinite().all())


@every("case")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_bad_factor_harms_its_matrix_alone(case, bad):
    t = make(case)
    owner = t.inner if case[0] == "level_merge" else t
    clean = t.eig(left=True), t.eigvals()
    hurt = torch.zeros(2, 3, dtype=torch.bool)
    hurt[1, 2] = True
    for name, value in owner._given().items():
        if bad == -math.inf and getattr(owner, "log", False) and name in ("value", "alpha"):
            continue  # the log of 0
        value = value.clone()
        value[1, 2] = bad
        other = replace(owner, **{name: value})
        other = replace(t, inner=other) if owner is not t else other
        w = other.eigvals()
        assert bool(w[hurt].isnan().all()) and torch.equal(w[~hurt], clean[1][~hurt]), name
        assert bool(other.spectral_radius()[hurt].isnan().all()) and bool(other.log_modulus()[hurt].isnan().all())
        w, V, U, info = other.eig(left=True)
        assert torch.equal(info > 0, hurt), name
        for got, expected in zip((w, V, U), clean[0], strict=False):
            assert bool(got[hurt].isnan().all()) and torch.equal(got[~hurt], expected[~hurt]), name


@every("case")
@pytest.mark.parametrize("batch", [(0,), (2, 0), (0, 4)])
def test_empty_batch(case, batch):
    t = make(case, batch)
    assert t.dense().shape == t.shape == (*batch, t.size, t.size)
    w, V, U, info = t.eig(left=True)
    assert t.eigvals().shape == w.shape == (*batch, t.size) and V.shape == U.shape == t.shape and info.shape == batch
    assert t.spectral_radius().shape == batch and t.horizon().shape == w.shape and t.distinct().values.shape[:-1] == batch


def test_no_state():
    """n = 0 is ordinary."""
    for t in (
        tr.Scalar(torch.ones(3), 0),
        tr.Diagonal(torch.ones(3, 0)),
        tr.RankOne(torch.ones(3), torch.ones(3), torch.ones(3, 0)),
        tr.Rotation(torch.ones(3), torch.ones(3, 0)),
        tr.Momentum(*torch.ones(4, 3), torch.ones(3, 0)),
        tr.ShiftRegister(0),
        tr.Companion(torch.ones(3, 0)),
        tr.HouseholderProduct(torch.ones(3), torch.ones(3, 2), torch.ones(3, 2, 0)),
        tr.KroneckerRankOne(torch.ones(3), torch.ones(3, 0), torch.ones(3, 2, 2)),
        tr.KroneckerRankOne(torch.ones(3), torch.ones(3, 2), torch.ones(3, 0, 0)),
    ):
        assert t.eigvals().shape == (*t.batch_shape, 0) and t.dense().shape == t.eig().eigenvectors.shape == (*t.batch_shape, 0, 0), t
        assert bool((t.spectral_radius() == 0).all())


@every_double
def test_factors_broadcast(case):
    """Batch axes that are missing or of length 1 are shared, without copies."""
    t = make(case, (2, 1))
    names = list(t._given())
    if len(names) > 1 and case[0] != "level_merge":
        first = getattr(t, names[0])
        wide = replace(t, **{names[0]: first.expand(3, 2, 4, *first.shape[2:])})
        assert wide.batch_shape == (3, 2, 4) and torch.allclose(wide.dense(), t.dense().expand(3, 2, 4, t.size, t.size))
        assert getattr(wide, names[1]).untyped_storage().nbytes() == getattr(t, names[1]).untyped_storage().nbytes()


@every("case")
def test_precision_device_and_graph(case):
    t = make(case)
    other = torch.float32 if case[1] != torch.float32 else F64
    moved = t.to(other)
    assert moved.dtype == (other.to_complex() if t.dtype.is_complex else other) and moved.batch_shape == t.batch_shape
    torch.testing.assert_close(moved.dense().to(t.dtype), t.dense(), rtol=1e-5, atol=1e-5)
    assert t.to("meta").device.type == "meta" and t.to("meta").dtype == t.dtype and t.to("cpu", other).dtype == moved.dtype
    leaf = next(iter((t.inner if case[0] == "level_merge" else t)._given().values())).requires_grad_()
    assert t.dense().requires_grad or leaf.shape == ()
    assert not t.detach().dense().requires_grad and torch.equal(t.detach().dense(), t.dense())


@every_double
@pytest.mark.parametrize(
    "index",
    [0, (slice(None), slice(1, 3)), (..., -1), (1, None), torch.tensor([1, 0, 1]), (slice(None), torch.tensor([0, 2])), torch.tensor([[True, False, True], [False] * 3])],
    ids=str,
)
def test_indexing(case, index):
    t = make(case)
    picked = t[index]
    which = torch.arange(6).reshape(2, 3)[index]
    assert picked.batch_shape == which.shape
    torch.testing.assert_close(picked.dense().reshape(-1, t.size, t.size), t.dense().reshape(6, t.size, t.size)[which.reshape(-1)], rtol=0, atol=1e-14)


def test_indexing_follows_the_positions():
    """Every kind of index, against one number per position."""
    elements = [0, slice(None), slice(1, 3), None, ..., torch.tensor([0, 1]), torch.tensor([[0], [1]]), [0, 1, 1], torch.tensor(1), torch.ones(3, dtype=torch.bool), np.arange(2)]
    shape, seen = (3, 4, 5), 0
    for place in (-1, -2, -3):
        T = shape[place]
        position = torch.arange(T).reshape([T if axis == place else 1 for axis in (-3, -2, -1)]).expand(shape)
        t = tr.Scalar(position.double(), time=place)
        for index in [(a, b, c) for a in elements for b in elements for c in elements]:
            try:
                expected = t.value[index]
            except (IndexError, TypeError, RuntimeError):
                continue
            picked = t[index]
            assert torch.equal(picked.value, expected)
            if picked.time:
                assert torch.equal(
                    expected.movedim(picked.time, 0).reshape(expected.shape[picked.time], -1).amax(1),
                    expected.movedim(picked.time, 0).reshape(expected.shape[picked.time], -1).amin(1),
                )
                seen += expected.shape[picked.time] > 1
    assert seen > 500
    t = tr.Scalar(torch.rand(2, 5, 3), time=-2)
    assert (t[0].time, t[:, 1].time, t[:, :, 0].time, t[..., None].time, t[:, [0, 1]].time, t[:, :, [0, 1]].time, t[torch.ones(2, dtype=torch.bool)].time) == (
        -2,
        0,
        -1,
        -3,
        0,
        -2,
        -2,
    )
    assert tr.Scalar(torch.rand(2, 3), time=None)[0].lti and not t[:, 1].lti


def test_valid_multiplicity_gauge():
    valid = torch.tensor([[True, False, True], [True, True, True]])
    t = tr.RankOne(decays(2, 3), decays(2, 3), randn(2, 3, 5), valid=valid, multiplicity=7, gauge="normalised")
    assert torch.equal(t[:, 1:].valid, valid[:, 1:]) and t[0].valid.shape == (3,) and t[0].multiplicity == 7 and t[0].gauge == "normalised"
    assert t.state_eigenvalue_count == 35 and bool(t.eigvals().isfinite().all())
    assert tr.Scalar(torch.ones(2, 3), valid=torch.tensor([True, False, True])).valid.tolist() == [[True, False, True]] * 2


@pytest.mark.parametrize(
    "make_it, error, message",
    [
        (lambda: tr.Scalar(0.5), TypeError, "Scalar: value must be Tensor, not float"),
        (lambda: tr.Scalar(torch.ones(3, dtype=torch.float16)), TypeError, "Scalar: expected float32, float64, complex64 or complex128, got value torch.float16"),
        (lambda: tr.Scalar(torch.ones(3), -1), ValueError, "Scalar: expected n >= 0, got -1"),
        (lambda: tr.Diagonal(torch.ones(())), ValueError, r"Diagonal: expected value with at least 1 axes, got shape \(\)"),
        (lambda: tr.ZeroOrderHold(torch.ones(4, 3), torch.ones(2, 5)), ValueError, r"delta \(\.\.\., D\) or \(\.\.\., 1\) and rate \(D, N\), got \(4, 3\) and \(2, 5\)"),
        (lambda: tr.ZeroOrderHold(torch.ones(4, 2), torch.ones(2, 5, dtype=F64)), TypeError, "real delta and rate in its precision.*got torch.float32, cpu and torch.float64"),
        (lambda: tr.Rotation(torch.ones(4), torch.ones(4, 2), 3), ValueError, "Rotation: expected n >= 2 m = 4, got 3"),
        (lambda: tr.RankOne(torch.ones(4), torch.ones(3), torch.ones(4, 2)), ValueError, r"RankOne: expected factors whose batch axes broadcast, got alpha \(4,\), beta \(3,\)"),
        (lambda: tr.RankOne(torch.ones(4), torch.ones(4, dtype=F64), torch.ones(4, 2)), TypeError, "one dtype and device, got alpha torch.float32, cpu and beta torch.float64"),
        (lambda: tr.RankOne(torch.ones(4), torch.ones(4), torch.ones(4, 2), torch.ones(4, 3)), ValueError, r"p of the length of k, got \(4, 3\) and \(4, 2\)"),
        (lambda: tr.HouseholderProduct(torch.ones(4), torch.ones(4, 3), torch.ones(4, 2, 5)), ValueError, r"beta .* and k .*, got \(4, 3\) and \(4, 2, 5\)"),
        (lambda: tr.LowRankUpdate(torch.ones(4), torch.ones(4, 3, 5), torch.ones(4, 2, 2)), ValueError, r"got alpha \(4,\), left \(4, 3, 5\), core \(4, 2, 2\)"),
        (lambda: tr.Momentum(*torch.ones(4, 2), torch.ones(2, 3, dtype=torch.complex64)), TypeError, "one dtype"),
        (lambda: tr.KroneckerRankOne(torch.ones(2), torch.ones(2, 3), torch.ones(2, 3, 4)), ValueError, r"G \(\.\.\., V, V\), got \(2, 3, 4\)"),
        (lambda: tr.ShiftRegister(-1), ValueError, "ShiftRegister: expected n >= 0, got -1"),
        (lambda: tr.LevelMerge(tr.Scalar(torch.ones(3)), torch.ones(3), 4), TypeError, "LevelMerge: expected integers in level, got torch.float32"),
        (lambda: tr.LevelMerge(tr.Scalar(torch.ones(3)), torch.ones(2, dtype=torch.long), 4), ValueError, r"broadcast with the batch shape of inner, \(3,\), got \(2,\)"),
        (lambda: tr.LevelMerge(torch.ones(3), torch.ones(3), 4), TypeError, "inner must be Transition, not Tensor"),
        (lambda: tr.Scalar(torch.ones(3), time=-2), ValueError, r"time None, 0 or an axis of the batch \(3,\) counted from its end, got -2"),
        (lambda: tr.Scalar(torch.ones(3), valid=torch.ones(3)), TypeError, "valid must be a bool Tensor, not torch.float32"),
        (lambda: tr.Scalar(torch.ones(3), valid=torch.ones(2, dtype=torch.bool)), ValueError, r"valid of the batch shape \(3,\), got \(2,\)"),
        (lambda: tr.Scalar(torch.ones(3), multiplicity=0), ValueError, "multiplicity >= 1, got 0"),
        (lambda: tr.Scalar(torch.ones(3), gauge="free"), ValueError, "gauge raw, normalised, rotated, got 'free'"),
    ],
)  # fmt: skip
def test_argument_errors(make_it, error, message):
    with pytest.raises(error, match=message):
        make_it()


def test_matched_distance():
    assert matched_distance([1, 2j], [2j, 1.5]) == 0.5 and matched_distance([], []) == 0
    assert matched_distance([1.0], [1.0, 2.0]) == matched_distance([math.nan], [1.0]) == math.inf and matched_distance([math.nan, 1], [1, math.nan]) == 0


def test_everything_is_exported():
    classes = {cls.__name__ for cls in map(type, (make((name, F64)) for name in REAL))}
    assert classes <= set(dir(sk.transitions)) and {make((name, F64)).structure for name in REAL} >= {"scalar", "rank_one", "level_merge"}
