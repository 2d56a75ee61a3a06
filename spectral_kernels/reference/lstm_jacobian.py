"""Jacobian of the LSTM on its state (h, c): Hochreiter & Schmidhuber (1997), forget gate of Gers et al. (2000), torch's order i, f, g, o."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.reference import jacobian


def step(x: Tensor, state: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """``c' = f c + i g``, ``h' = o tanh(c')``: ``x (in,)``, ``state = (h, c) (2n,)`` to ``(2n,)``."""
    h, c = state.chunk(2)
    i, f, g, o = (weight_ih @ x + bias_ih + weight_hh @ h + bias_hh).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.cat([torch.sigmoid(o) * torch.tanh(c), c])


def lstm_jacobian(x: Tensor, h0: Tensor, c0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """``d(h_t, c_t)/d(h_{t-1}, c_{t-1})``: ``x (..., T, in)``, ``h0, c0 (..., n)`` to ``(..., T, 2n, 2n)``."""
    return jacobian.along(lambda u, s: step(u, s, weight_ih, weight_hh, bias_ih, bias_hh), x, torch.cat([h0, c0], -1))
