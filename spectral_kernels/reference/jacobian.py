"""The Jacobian of a recurrence by its definition: autograd, one step and one sequence at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor], Tensor]


def along(step: Step, x: Tensor, state: Tensor) -> Tensor:
    """``J_t = d step(x_t, s) / d s`` at ``s = s_{t-1}``, where ``s_t = step(x_t, s_{t-1})``.

    Args:
        step: maps an input ``(in,)`` and a state ``(n,)`` to the next state ``(n,)``.
        x: ``(..., T, in)``.
        state: ``(..., n)``, the state before the first position.

    Returns:
        ``(..., T, n, n)``; row i, column j: of unit i of the new state by unit j of the old one.
    """
    J = x.new_empty(*x.shape[:-1], state.shape[-1], state.shape[-1])
    for J_b, x_b, s in zip(J.view(-1, *J.shape[-3:]), x.reshape(-1, *x.shape[-2:]), state.reshape(-1, state.shape[-1]), strict=True):
        for t in range(x.shape[-2]):
            J_b[t] = torch.autograd.functional.jacobian(lambda s, u=x_b[t]: step(u, s), s)
            s = step(x_b[t], s)
    return J
