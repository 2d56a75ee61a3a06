"""Which implementation serves a dense eigenproblem: data, read from the top, first match wins."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from spectral_kernels import lapack

EigFunction = Callable[[Tensor, bool, bool, bool], tuple[Tensor, Tensor, Tensor, Tensor]]


class Rule(NamedTuple):
    device: str | None  # None: any
    dtypes: frozenset[torch.dtype] | None
    n_max: int | None
    name: str
    eig: EigFunction


def _eig_simd(A: Tensor, left: bool, right: bool, balance: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.ops.spectral_kernels.eig_simd.default(A, left, right, balance)  # by name: `ops` stands above this module


REAL = frozenset({torch.float32, torch.float64})

DENSE_EIG = (
    Rule("cpu", REAL, 128, "simd", _eig_simd),
    Rule(None, None, None, "lapack", lapack.eig),
)


def dense_eig(A: Tensor) -> Rule:
    """The first rule of ``DENSE_EIG`` that matches the device, dtype and size of ``A``."""
    device, dtype, n = A.device.type, A.dtype, A.shape[-1]
    for rule in DENSE_EIG:
        if rule.device in (None, device) and (rule.dtypes is None or dtype in rule.dtypes) and (rule.n_max is None or n <= rule.n_max):
            return rule
    raise LookupError(f"no rule of DENSE_EIG serves {dtype} on {device}, n = {n}")
