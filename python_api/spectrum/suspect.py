"""Which eigenvalues may belong to a defective matrix, seen from the eigenvalues alone."""

from __future__ import annotations

import torch
from torch import Tensor

_PAIRS = 1 << 18  # distances in memory at once


def near_defective(eigenvalues: Tensor) -> Tensor:
    """Where another eigenvalue of the same matrix is as close as rounding leaves those of a Jordan block of size 2: boolean ``(..., n)``.

    The two eigenvalues of a Jordan block come apart by ``2 sqrt(eps |A|)`` under a perturbation of relative size eps, so suspects lie
    within ``4 sqrt(eps) max|lambda|``.  Repeated eigenvalues of a matrix that can be diagonalised, of the identity, are suspects too: only vectors tell them apart.

    >>> import torch, spectral_kernels as sk
    >>> sk.spectrum.near_defective(torch.tensor([1.0, 0.5, 0.5001], dtype=torch.complex64)).tolist()
    [False, True, True]
    """
    n = eigenvalues.shape[-1]
    flat = eigenvalues.reshape(-1, n) if n else eigenvalues.reshape(0, 0)
    result = torch.zeros(flat.shape, dtype=torch.bool, device=flat.device)
    reach = 4 * torch.finfo(eigenvalues.dtype).eps ** 0.5
    step = max(1, _PAIRS // max(1, n * n))
    for i in range(0, len(flat), step):
        w = flat[i : i + step]
        close = (w[:, :, None] - w[:, None, :]).abs() <= reach * w.abs().amax(-1)[:, None, None]
        result[i : i + step] = close.sum(-1) > 1
    return result.reshape(eigenvalues.shape)
