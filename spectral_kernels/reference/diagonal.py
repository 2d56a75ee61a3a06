r"""The eigenvalues of a diagonal matrix, real or given by their logs: its entries."""

from __future__ import annotations

import torch
from torch import Tensor


def diagonal_eigvals(value: Tensor, log: bool) -> Tensor:
    """The contract of the op ``spectral_kernels::diagonal_eigvals``.

    Args:
        value: ``(..., n)``, float32 or float64: the diagonal, or its logs.
        log: whether ``value`` holds logs; -inf is that of 0.

    Returns:
        ``(..., n)`` complex; all NaN for a diagonal that holds NaN or Inf.

    >>> import torch
    >>> diagonal_eigvals(torch.tensor([[0.0, -float("inf")], [1.0, float("nan")]]), True).real.tolist()
    [[1.0, 0.0], [nan, nan]]
    """
    number = value < torch.inf if log else value.isfinite()
    values = torch.where(number.all(-1, keepdim=True), value.exp() if log else value, torch.nan)
    return values.to(value.dtype.to_complex())
