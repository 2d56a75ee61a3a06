"""Jacobian of the Elman RNN: Elman, Finding Structure in Time (1990), as torch.nn.RNN parametrises it."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.reference import jacobian


def step(x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, nonlinearity: str = "tanh") -> Tensor:
    """``f(W_ih x + b_ih + W_hh h + b_hh)``: ``x (in,)``, ``h (n,)`` to ``(n,)``."""
    f = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
    return f(weight_ih @ x + bias_ih + weight_hh @ h + bias_hh)


def rnn_jacobian(
    x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, nonlinearity: str = "tanh"
) -> Tensor:
    """``dh_t/dh_{t-1}``: ``x (..., T, in)``, ``h0 (..., n)`` to ``(..., T, n, n)``."""
    return jacobian.along(lambda u, h: step(u, h, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity), x, h0)
