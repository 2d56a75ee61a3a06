"""Recurrent cells: Jacobians of one step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Jacobian


def _prepare_cell(
    family: str,
    gates: int,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    states: dict[str, Tensor | None],
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Checks the tensors of a recurrent cell and fills in what was left out; float16 and bfloat16 are computed in float32.

    Returns the input half of the pre-activations ``W_ih x_t + b_ih (..., T, gates n)``, weight_hh, bias_hh and the states ``(..., n)``.
    """
    given = {"x": x, "weight_ih": weight_ih, "weight_hh": weight_hh, "bias_ih": bias_ih, "bias_hh": bias_hh, **states}
    for name, t in given.items():
        if t is None and name in ("bias_ih", "bias_hh", *states):
            continue
        if not isinstance(t, Tensor):
            raise TypeError(f"families.{family}: {name} must be Tensor, not {type(t).__name__}")
        if not t.is_floating_point() or t.dtype != x.dtype or t.device != x.device:
            raise TypeError(f"families.{family}: expected real floating tensors, all of the dtype and device of x ({x.dtype}, {x.device}); got {name} {t.dtype}, {t.device}")
    if x.dim() < 2 or weight_hh.dim() != 2:
        raise ValueError(f"families.{family}: expected x (..., T, in) and weight_hh ({gates} n, n), got {tuple(x.shape)} and {tuple(weight_hh.shape)}")
    n, batch = weight_hh.shape[1], x.shape[:-2]
    expected = {"weight_ih": (gates * n, x.shape[-1]), "weight_hh": (gates * n, n), "bias_ih": (gates * n,), "bias_hh": (gates * n,)}
    for name, shape in (expected | dict.fromkeys(states, (*batch, n))).items():
        t = given[name]
        if t is not None and t.shape != shape:
            raise ValueError(f"families.{family}: expected {name} of shape {shape} beside x {tuple(x.shape)} and n = {n}, got {tuple(t.shape)}")
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    inputs = linear(x.to(dtype), weight_ih.to(dtype), None if bias_ih is None else bias_ih.to(dtype))
    bias = inputs.new_zeros(gates * n) if bias_hh is None else bias_hh.to(dtype)
    return inputs, weight_hh.to(dtype), bias, [inputs.new_zeros(*batch, n) if s is None else s.to(dtype) for s in states.values()]


@family("RNN (tanh, relu)", "C8", cost="O(n^3)", range="any, |lambda| <= |W_hh|", source="Elman (1990); torch.nn.RNN")
def rnn(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    h0: Tensor | None = None,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
) -> Jacobian:
    """Elman RNN (`torch.nn.RNN`): ``h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``, f = tanh or relu.

    ``dh_t/dh_{t-1} = Diag(f') W_hh``, where f' is ``1 - h_t^2`` for tanh, and for relu 1 if ``h_t > 0``, else 0.

    Args:
        x: ``(..., T, in)``, the inputs of one layer.
        weight_ih, weight_hh, bias_ih, bias_hh: ``(n, in)``, ``(n, n)``, ``(n,)``, ``(n,)``, as torch names them, so that
            ``rnn(x, *layer.all_weights[0])`` serves an `nn.RNN` with `batch_first`.  A bias may be None.
        h0: ``(..., n)``, the state before the first position; None: zeros.
        nonlinearity: "tanh" or "relu".

    Returns:
        `Jacobian` of shape ``(..., T, n, n)``.  Eigenvalues: complex, ``|lambda| <= |W_hh|_2``.  Gauge: raw, the cell's own units.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for the nonlinearity.

    Source: Elman, Finding Structure in Time (1990); torch.nn.RNN.

    >>> import torch, spectral_kernels as sk
    >>> layer = torch.nn.RNN(3, 5, batch_first=True)
    >>> sk.families.rnn(torch.randn(2, 7, 3), *layer.all_weights[0])
    Jacobian(shape=(2, 7, 5, 5), dtype=torch.float32)
    """
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"families.rnn: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
    inputs, W, b, (h,) = _prepare_cell("rnn", 1, x, weight_ih, weight_hh, bias_ih, bias_hh, {"h0": h0})
    f = torch.tanh if nonlinearity == "tanh" else torch.relu
    states = [h]
    for u in inputs.unbind(-2):
        states.append(f(u + linear(states[-1], W, b)))
    h = torch.stack(states, -2)[..., 1:, :]
    slope = 1 - h * h if nonlinearity == "tanh" else (h > 0).to(h.dtype)
    coefficient = slope[..., None, None, :]
    return Jacobian(weight=W[None], coefficient=coefficient, diagonal=coefficient.new_zeros(()).expand_as(coefficient))


def _gru_gates(u: Tensor, h: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """r, z, n and the recurrent half of n's pre-activation, from the input halves ``u (..., 3 n)`` and the state before."""
    u_r, u_z, u_n = u.chunk(3, -1)
    v_r, v_z, v_n = linear(h, W, b).chunk(3, -1)
    r, z = torch.sigmoid(u_r + v_r), torch.sigmoid(u_z + v_z)
    return r, z, torch.tanh(u_n + r * v_n), v_n


@family("GRU", "C8", cost="O(n^3)", range="any", source="arXiv:1406.1078; torch.nn.GRU")
def gru(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    h0: Tensor | None = None,
) -> Jacobian:
    """GRU (`torch.nn.GRU`), gates in torch's order (r, z, n)::

        r_t = sigma(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)            n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))
        z_t = sigma(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)            h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    ``dh_t/dh_{t-1} = Diag(z) + Diag((h_{t-1} - n) z (1-z)) W_hz + Diag((1-z)(1-n^2)) [Diag(r) W_hn + Diag((W_hn h_{t-1} + b_hn) r (1-r)) W_hr]``

    Args:
        x: ``(..., T, in)``, the inputs of one layer.
        weight_ih, weight_hh, bias_ih, bias_hh: ``(3n, in)``, ``(3n, n)``, ``(3n,)``, ``(3n,)``, as torch names them, so that
            ``gru(x, *layer.all_weights[0])`` serves an `nn.GRU` with `batch_first`.  A bias may be None.
        h0: ``(..., n)``, the state before the first position; None: zeros.

    Returns:
        `Jacobian` of shape ``(..., T, n, n)``.  Eigenvalues: complex, near z in (0, 1) where the recurrent weights are small, of
        any modulus where they are not.  Gauge: raw, the cell's own units.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Cho et al., arXiv:1406.1078, with r applied after the matrix product, as in torch.nn.GRU.

    >>> import torch, spectral_kernels as sk
    >>> layer = torch.nn.GRU(3, 5, batch_first=True)
    >>> sk.families.gru(torch.randn(2, 7, 3), *layer.all_weights[0])
    Jacobian(shape=(2, 7, 5, 5), dtype=torch.float32)
    """
    inputs, W, b, (h,) = _prepare_cell("gru", 3, x, weight_ih, weight_hh, bias_ih, bias_hh, {"h0": h0})
    states = [h]
    for u in inputs.unbind(-2):
        _, z, n, _ = _gru_gates(u, states[-1], W, b)
        states.append((1 - z) * n + z * states[-1])
    h = torch.stack(states, -2)[..., :-1, :]  # h_{t-1}
    r, z, n, v_n = _gru_gates(inputs, h, W, b)
    through_n = (1 - z) * (1 - n * n)  # of h_t, by the pre-activation of n
    coefficient = torch.stack([through_n * v_n * r * (1 - r), (h - n) * z * (1 - z), through_n * r], -2)
    return Jacobian(weight=W.unflatten(0, (3, -1)), coefficient=coefficient[..., None, :, :], diagonal=z[..., None, None, :])


def _lstm_gates(u: Tensor, h: Tensor, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """i, f, g, o from the input halves ``u (..., 4 n)`` and the state before."""
    i, f, g, o = (u + linear(h, W, b)).chunk(4, -1)
    return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)


@family("LSTM", "C8", cost="O((2n)^3)", range="any", source="Hochreiter & Schmidhuber (1997), Gers et al. (2000); torch.nn.LSTM")
def lstm(
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
) -> Jacobian:
    """LSTM (`torch.nn.LSTM`, no projection), gates in torch's order (i, f, g, o)::

        i, f, o = sigma(W_i. x_t + b_i. + W_h. h_{t-1} + b_h.)        c_t = f_t * c_{t-1} + i_t * g_t
        g       = tanh (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)        h_t = o_t * tanh(c_t)

    On the state (h, c), with ``R = Diag(g i (1-i)) W_hi + Diag(c_{t-1} f (1-f)) W_hf + Diag(i (1-g^2)) W_hg`` and
    ``E = Diag(o (1 - tanh^2 c_t))``, the Jacobian is ``[[Diag(tanh(c_t) o (1-o)) W_ho + E R, E Diag(f)], [R, Diag(f)]]``.

    Args:
        x: ``(..., T, in)``, the inputs of one layer.
        weight_ih, weight_hh, bias_ih, bias_hh: ``(4n, in)``, ``(4n, n)``, ``(4n,)``, ``(4n,)``, as torch names them, so that
            ``lstm(x, *layer.all_weights[0])`` serves an `nn.LSTM` with `batch_first`.  A bias may be None.
        h0, c0: ``(..., n)``, the state before the first position; None: zeros.

    Returns:
        `Jacobian` of shape ``(..., T, 2n, 2n)``.  Eigenvalues: complex; without recurrent weights n of them are f in (0, 1) and
        n are 0; of any modulus with them.  Gauge: raw, the coordinates (h, c).

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000); torch.nn.LSTM.

    >>> import torch, spectral_kernels as sk
    >>> layer = torch.nn.LSTM(3, 5, batch_first=True)
    >>> sk.families.lstm(torch.randn(2, 7, 3), *layer.all_weights[0])
    Jacobian(shape=(2, 7, 10, 10), dtype=torch.float32)
    """
    inputs, W, b, (h, c) = _prepare_cell("lstm", 4, x, weight_ih, weight_hh, bias_ih, bias_hh, {"h0": h0, "c0": c0})
    hidden, cells = [h], [c]
    for u in inputs.unbind(-2):
        i, f, g, o = _lstm_gates(u, hidden[-1], W, b)
        cells.append(f * cells[-1] + i * g)
        hidden.append(o * cells[-1].tanh())
    h, c = (torch.stack(states, -2)[..., :-1, :] for states in (hidden, cells))  # h_{t-1}, c_{t-1}
    i, f, g, o = _lstm_gates(inputs, h, W, b)
    t = (f * c + i * g).tanh()
    E, zero = o * (1 - t * t), torch.zeros_like(t)
    R = torch.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), zero], -2)  # of c_t, by each pre-activation
    of_h = E[..., None, :] * R + torch.stack([zero, zero, zero, t * o * (1 - o)], -2)
    diagonal = torch.stack([torch.stack([zero, E * f], -2), torch.stack([zero, f], -2)], -3)
    return Jacobian(weight=W.unflatten(0, (4, -1)), coefficient=torch.stack([of_h, R], -3), diagonal=diagonal)
