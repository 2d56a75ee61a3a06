"""Jacobians of gated recurrent cells from their factors, as `families.recurrent` gives them; `reference.jacobian` is the definition by autograd."""

from __future__ import annotations

import torch
from torch import Tensor


def gated_jacobian(weight: Tensor, coefficient: Tensor, diagonal: Tensor) -> Tensor:
    """``J_ij = Diag(diagonal_ij) + [j = 0] sum_g Diag(coefficient_ig) W_g``, in n x n blocks over the S parts of the state.

    Args:
        weight: ``(G, n, n)``, of the gates.
        coefficient: ``(..., S, G, n)``, what each gate's pre-activation does to each part.
        diagonal: ``(..., S, S, n)``, what each unit's parts do to each other directly.

    Returns:
        ``(..., S n, S n)``.

    >>> import torch
    >>> gated_jacobian(torch.ones(1, 2, 2), torch.tensor([[[2.0, 3.0]]]), torch.ones(1, 1, 2)).tolist()
    [[3.0, 2.0], [3.0, 4.0]]
    """
    batch, (parts, n) = coefficient.shape[:-3], diagonal.shape[-2:]
    J = coefficient.new_zeros(*batch, parts, n, parts, n)
    J[..., 0, :] = torch.einsum("...ign,gnm->...inm", coefficient, weight)
    J.diagonal(dim1=-3, dim2=-1).add_(diagonal)  # the view is (..., S, S, n)
    return J.reshape(*batch, parts * n, parts * n)
