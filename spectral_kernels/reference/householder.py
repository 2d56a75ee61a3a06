r"""The small eigenproblem of a product of Householder reflectors.

With :math:`P_j = I - \beta_j k_j k_j^T` and the vectors as the columns of K, :math:`P_m \cdots P_1 = I - K T K^T` where T is lower triangular:

.. math::  T = (I + \mathrm{Diag}(\beta)\,\mathrm{stril}(G))^{-1} \mathrm{Diag}(\beta), \qquad G = K^T K .

For :math:`m \le n` Sylvester's identity :math:`\det(\lambda I - (I - K T K^T)) = (\lambda - 1)^{n-m} \det(\lambda I - (I_m - T G))` leaves an
eigenproblem of size m; 1 is an eigenvalue n - m times more.  There is no :math:`1/\beta`: a :math:`\beta_j` may be 0, vectors may be
equal.  For m > n the m eigenvalues are those of the product and m - n ones.

Reference: Schreiber and Van Loan, A storage-efficient WY representation for products of Householder transformations (1989).
"""

from __future__ import annotations

import torch
from torch import Tensor


def householder_core(beta: Tensor, k: Tensor) -> Tensor:
    """``I - T G``: ``beta (..., m)`` and the vectors ``k (..., m, n)`` in rows to ``(..., m, m)``; the product is ``P_m ... P_1``.

    >>> import torch
    >>> householder_core(torch.tensor([2.0]), torch.tensor([[0.6, 0.8]])).round(decimals=3).tolist()
    [[-1.0]]
    """
    G = k @ k.mT
    identity = torch.eye(k.shape[-2], dtype=k.dtype, device=k.device)
    unit_lower = identity + beta[..., None] * G.tril(-1)
    return identity - torch.linalg.solve_triangular(unit_lower, beta[..., None] * G, upper=False, unitriangular=True)
