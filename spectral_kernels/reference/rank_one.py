r"""The eigenvalues of a multiple of the identity and a matrix of rank one.

:math:`A = \alpha I - \beta k p^T` is :math:`\alpha` on the complement of p, which has dimension n - 1, and
:math:`A k = (\alpha - \beta\, p^T k)\, k`; where :math:`p^T k = 0` the trace, :math:`n \alpha - \beta\, p^T k`, says the same of the n-th eigenvalue.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rank_one_eigvals(alpha: Tensor, beta: Tensor, k: Tensor, p: Tensor | None = None, distinct: bool = False) -> Tensor:
    """The contract of the op ``spectral_kernels::rank_one_eigvals``.

    Args:
        alpha, beta: ``(...)``, float32 or float64.
        k, p: ``(..., n)``; without p, k.  The batch axes broadcast.
        distinct: alpha once instead of n - 1 times.

    Returns:
        ``(..., n)`` complex: alpha n - 1 times, then ``alpha - beta p^T k``; all NaN where that is not finite.  With `distinct`,
        ``(..., min(n, 2))``.

    >>> import torch
    >>> rank_one_eigvals(torch.tensor(1.0), torch.tensor(2.0), torch.tensor([1.0, 0.0, 0.0])).real.tolist()
    [1.0, 1.0, -1.0]
    """
    last = alpha - beta * (k * (k if p is None else p)).sum(-1)
    n = min(k.shape[-1], 2) if distinct else k.shape[-1]
    repeated = alpha.expand(last.shape)[..., None].expand(*last.shape, max(n - 1, 0))
    values = torch.cat([repeated, last[..., None]], -1)[..., :n]
    return torch.where(last.isfinite()[..., None], values, torch.nan).to(k.dtype.to_complex())
