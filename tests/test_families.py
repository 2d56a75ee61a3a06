"""Transitions of the recurrent cells: Jacobians against autograd of the definition, eigenvalues against numpy on the dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.testing.matching import matched_distance
from spectral_kernels.api.transitions import base
from spectral_kernels.reference import gru_jacobian, lstm_jacobian, rnn_jacobian

CELLS = {  # name: (gates, states, family, definition, torch's own layer, arguments)
    "rnn_tanh": (1, ("h0",), sk.families.rnn, rnn_jacobian.rnn_jacobian, torch.nn.RNN, {}),
    "rnn_relu": (1, ("h0",), sk.families.rnn, rnn_jacobian.rnn_jacobian, torch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (3, ("h0",), sk.families.gru, gru_jacobian.gru_jacobian, torch.nn.GRU, {}),
    "lstm": (4, ("h0", "c0"), sk.families.lstm, lstm_jacobian.lstm_jacobian, torch.nn.LSTM, {}),
}
cells = pytest.mark.parametrize("cell", CELLS)


def tensors(gates, n=6, inputs=3, batch=(2, 3), T=4, dtype=torch.float64):
    """x, weights and biases, and two states; large enough for gates far from 0 and 1/2."""
    generator = torch.Generator().manual_seed(n)

    def randn(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    weights = [randn(gates * n, inputs), randn(gates * n, n), randn(gates * n), randn(gates * n)]
    return randn(*batch, T, inputs), weights, {"h0": randn(*batch, n), "c0": randn(*batch, n)}


def make(cell, **sizes):
    gates, names, family, _, _, kwargs = CELLS[cell]
    x, weights, states = tensors(gates, **sizes)
    return family(x, *weights, **{s: states[s] for s in names}, **kwargs)


@cells
@pytest.mark.parametrize("bias", ["both", "ih", "hh", "none"])
@pytest.mark.parametrize("given_state", [True, False])
def test_dense_is_the_jacobian(cell, bias, given_state):
    gates, names, family, definition, _, kwargs = CELLS[cell]
    x, (w_ih, w_hh, b_ih, b_hh), states = tensors(gates)
    b_ih, b_hh = (b if bias in ("both", which) else None for b, which in ((b_ih, "ih"), (b_hh, "hh")))
    states = {s: states[s] for s in names} if given_state else {}
    t = family(x, w_ih, w_hh, b_ih, b_hh, **states, **kwargs)
    zero_b, zero_h = torch.zeros(gates * 6, dtype=x.dtype), torch.zeros(2, 3, 6, dtype=x.dtype)
    expected = definition(x, *(states.get(s, zero_h) for s in names), w_ih, w_hh, *(zero_b if b is None else b for b in (b_ih, b_hh)), **kwargs)
    assert t.shape == t.dense().shape == expected.shape == (2, 3, 4, len(names) * 6, len(names) * 6)
    assert float((t.dense() - expected).abs().max()) <= 1e-12


@cells
def test_definition_is_torchs_cell(cell):
    """Gate order, placement of r, the nonlinearity: autograd through torch's own layer, the last of four steps."""
    _, names, family, _, layer_class, kwargs = CELLS[cell]
    torch.manual_seed(0)
    layer = layer_class(3, 6, batch_first=True, dtype=torch.float64, **kwargs)
    x = torch.randn(1, 4, 3, dtype=torch.float64)
    _, state = layer(x[:, :3])
    state = torch.cat([s.reshape(-1) for s in (state if len(names) == 2 else (state,))])

    def step(s):
        parts = tuple(p.reshape(1, 1, 6) for p in s.chunk(len(names)))
        new = layer(x[:, 3:], parts if len(parts) == 2 else parts[0])[1]
        return torch.cat([p.reshape(-1) for p in (new if len(names) == 2 else (new,))])

    expected = torch.autograd.functional.jacobian(step, state.detach())
    t = family(x, *layer.all_weights[0], **kwargs)
    assert float((t.dense().detach()[0, 3] - expected).abs().max()) <= 1e-12


@cells
@pytest.mark.parametrize("n", [1, 2, 6, 20, 70, 130])
def test_eigvals_are_those_of_dense(cell, n):
    t = make(cell, n=n, batch=(), T=3)
    A, w = t.dense(), t.eigvals()
    assert w.shape == A.shape[:-1] and w.dtype == torch.complex128
    for a, w_a in zip(A, w, strict=True):
        assert matched_distance(w_a.numpy(), np.linalg.eigvals(a.numpy())) <= 1e-9 * float(torch.linalg.matrix_norm(a, 2))


@cells
def test_eig_left_and_right(cell):
    t = make(cell)
    A = t.dense().to(torch.complex128)
    w, V, U, info = t.eig(left=True)
    scale = float(torch.linalg.matrix_norm(A, 2).max())
    assert float((A @ V - V * w[..., None, :]).abs().max()) <= 1e-13 * scale
    assert float((U.mH @ A - w[..., :, None] * U.mH).abs().max()) <= 1e-13 * scale
    assert info.shape == t.batch_shape and int(info.max()) == 0
    assert torch.equal(w, t.eigvals()) and t.eig().left_eigenvectors is None


@cells
def test_chunks_change_nothing(cell, monkeypatch):
    t = make(cell)
    whole = t.eig(left=True)
    formed = []
    monkeypatch.setattr(base, "_CHUNK_BYTES", 5 * t.size**2 * 8)
    monkeypatch.setattr(base.linalg, "eig_ex", lambda A, *, eig_ex=sk.linalg.eig_ex, **kw: (formed.append(A.shape[0]), eig_ex(A, **kw))[1])
    for a, b in zip(whole, t.eig(left=True), strict=True):
        assert torch.equal(a, b)
    assert formed == [5, 5, 5, 5, 4]


def test_bad_step_harms_no_other_sequence():
    x, weights, _ = tensors(3)
    clean = sk.families.gru(x, *weights).eigvals()
    x[1, 2, 3, 0] = float("nan")
    w, _, _, info = sk.families.gru(x, *weights).eig()
    bad = torch.zeros(2, 3, 4, dtype=torch.bool)
    bad[1, 2, 3] = True
    assert torch.equal(info > 0, bad) and bool(w[bad].isnan().all()) and torch.equal(w[~bad], clean[~bad])
    assert bool(sk.families.gru(x, *weights).spectral_radius()[1, 2, 3].isnan())


@pytest.mark.parametrize(
    "index", [0, -1, (1, 2), (..., 2), (slice(None), 1), (..., slice(1, 3)), (0, ..., None), torch.tensor([1, 0, 1]), torch.arange(24).reshape(2, 3, 4) % 3 == 0], ids=str
)
def test_indexing_is_that_of_the_batch(index):
    for t in (make("lstm"), sk.transitions.Dense(make("gru").dense())):
        names = torch.arange(24).reshape(2, 3, 4)
        expected = t.dense().reshape(24, t.size, t.size)[names[index].reshape(-1)].reshape(*names[index].shape, t.size, t.size)
        assert t[index].shape == expected.shape
        assert torch.allclose(t[index].dense(), expected, rtol=0, atol=1e-14)
    assert make("lstm")[index].weight.shape == (4, 6, 6)


@pytest.mark.parametrize("batch, T", [((0,), 4), ((2,), 0), ((), 0), ((3, 0), 2)])
@cells
def test_empty(cell, batch, T):
    t = make(cell, batch=batch, T=T)
    assert t.dense().shape == t.shape == (*batch, T, t.size, t.size)
    assert t.eigvals().shape == (*batch, T, t.size) and t.spectral_radius().shape == (*batch, T) and t.horizon().shape == (*batch, T, t.size)


def test_holds_no_matrices():
    t = make("lstm", n=16, batch=(5,), T=50)
    assert sum(f.numel() for f in (t.coefficient, t.diagonal)) == 5 * 50 * 12 * 16 and t.weight.numel() == 4 * 16 * 16
    with pytest.raises(AttributeError):
        t.weight = t.weight + 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_is_computed_in_float32(dtype):
    x, weights, states = tensors(3, dtype=dtype)
    wide = sk.families.gru(x.float(), *(w.float() for w in weights), h0=states["h0"].float())
    narrow = sk.families.gru(x, *weights, h0=states["h0"])
    assert narrow.dtype == torch.float32 and torch.equal(narrow.dense(), wide.dense())


@cells
def test_gradient_flows(cell):
    gates, _, family, _, _, kwargs = CELLS[cell]
    x, weights, _ = tensors(gates, n=2, batch=(), T=3)
    inputs = [t.requires_grad_() for t in (x, *weights)]
    assert torch.autograd.gradcheck(lambda *a: family(*a, **kwargs).dense(), inputs)
    assert torch.autograd.gradcheck(lambda *a: family(*a, **kwargs).eigvals().abs().sum(-1), inputs)


def test_dense_keeps_what_it_is_given():
    A = torch.randn(3, 2, 5, 5)
    t = sk.transitions.Dense(A)
    assert t.dense() is A and t.structure == "dense" and t.batch_shape == (3, 2)
    assert torch.equal(t.eigvals(), sk.linalg.eigvals(A))
    assert torch.equal(t.spectral_radius(), sk.linalg.eigvals(A).abs().amax(-1))
    assert sk.transitions.Dense(torch.empty(2, 0, 0)).spectral_radius().tolist() == [0, 0]


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"weight_hh": torch.zeros(18, 5, dtype=torch.float64)}, ValueError, r"weight_ih of shape \(15, 3\)"),
        ({"weight_ih": torch.zeros(18, 4, dtype=torch.float64)}, ValueError, r"expected weight_ih of shape \(18, 3\).*got \(18, 4\)"),
        ({"bias_hh": torch.zeros(6, dtype=torch.float64)}, ValueError, r"expected bias_hh of shape \(18,\)"),
        ({"h0": torch.zeros(6, dtype=torch.float64)}, ValueError, r"expected h0 of shape \(2, 3, 6\)"),
        ({"x": torch.zeros(3, dtype=torch.float64)}, ValueError, r"expected x \(..., T, in\)"),
        ({"bias_ih": torch.zeros(18)}, TypeError, "got bias_ih torch.float32"),
        ({"x": torch.zeros(2, 3, 4, 3, dtype=torch.complex128)}, TypeError, "expected real floating"),
        ({"weight_hh": None}, TypeError, "weight_hh must be Tensor, not NoneType"),
    ],
)
def test_argument_errors(change, error, message):
    x, weights, _ = tensors(3)
    given = dict(zip(("x", "weight_ih", "weight_hh", "bias_ih", "bias_hh"), (x, *weights), strict=True)) | change
    with pytest.raises(error, match=message):
        sk.families.gru(**given)


def test_transition_errors():
    with pytest.raises(ValueError, match="nonlinearity 'tanh' or 'relu', got 'gelu'"):
        x, weights, _ = tensors(1)
        sk.families.rnn(x, *weights, nonlinearity="gelu")
    with pytest.raises(ValueError, match=r"\(\.\.\., n, n\), got \(2, 3\)"):
        sk.transitions.Dense(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"coefficient of shape \(\.\.\., S, 1, 4\), got \(2, 1, 1, 3\)"):
        sk.transitions.Jacobian(torch.zeros(1, 4, 4), torch.zeros(2, 1, 1, 3), torch.zeros(2, 1, 1, 3))
