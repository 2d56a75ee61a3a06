"""Jacobian of the GRU: Cho et al., arXiv:1406.1078, in the form of torch.nn.GRU (r after the matrix product; order r, z, n)."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.reference import jacobian


def step(x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """``(1 - z) n + z h``: ``x (in,)``, ``h (n,)`` to ``(n,)``."""
    u_r, u_z, u_n = (weight_ih @ x + bias_ih).chunk(3)
    v_r, v_z, v_n = (weight_hh @ h + bias_hh).chunk(3)
    r = torch.sigmoid(u_r + v_r)
    z = torch.sigmoid(u_z + v_z)
    n = torch.tanh(u_n + r * v_n)
    return (1 - z) * n + z * h


def gru_jacobian(x: Tensor, h0: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
    """``dh_t/dh_{t-1}``: ``x (..., T, in)``, ``h0 (..., n)`` to ``(..., T, n, n)``."""
    return jacobian.along(lambda u, h: step(u, h, weight_ih, weight_hh, bias_ih, bias_hh), x, h0)
