"""Products of Householder reflectors: the eigenvalues of the small core, formed and solved in one pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectral_kernels.ops._library import define, implement, library, stacked_batch
from spectral_kernels.ops.dense import eig
from spectral_kernels.reference.householder import householder_core as householder_core

householder_eigvals = define("householder_eigvals(Tensor beta, Tensor k) -> (Tensor eigenvalues, Tensor info)")


def _definition(beta: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    eigenvalues, _, _, info = eig(householder_core(beta, k), False, False, True, 0.0, None)
    return eigenvalues, info


implement(householder_eigvals, _definition, unordered=True)


def _fake(beta: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    m = beta.shape[-1]
    torch._check(k.shape[-2] == m, lambda: "spectral_kernels::householder_eigvals: expected beta (..., m) and k (..., m, n)")
    batch = torch.broadcast_shapes(beta.shape[:-1], k.shape[:-2])
    return k.new_empty((*batch, m), dtype=k.dtype.to_complex()), k.new_empty(batch, dtype=torch.int32)


def _batched(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
    return householder_eigvals(*stacked_batch(in_dims, (1, 2), args)), (0, 0)


torch.library.register_fake("spectral_kernels::householder_eigvals", _fake, lib=library)
torch.library.register_vmap("spectral_kernels::householder_eigvals", _batched, lib=library)
