"""Which implementation serves a dense eigenproblem: data, read from the top, first match wins."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spectral_kernels import lapack

Results = tuple[Tensor, ...]


class Rule(NamedTuple):
    device: str | None  # None: any
    dtypes: frozenset[torch.dtype] | None
    n_max: int | None
    name: str
    solve: Callable[..., Results]


def _eig_simd(A: Tensor, left: bool, right: bool, balance: bool) -> Results:
    return torch.ops.spectral_kernels.eig_simd.default(A, left, right, balance)  # by name: `ops` stands above this module


def _eigh_simd(A: Tensor, vectors: bool, upper: bool) -> Results:
    return torch.ops.spectral_kernels.eigh_simd.default(A, vectors, upper)


SIMD_DTYPES = frozenset({torch.float32, torch.float64, torch.complex64, torch.complex128})

# solve(A, left, right, balance) -> eigenvalues, right, left, info
DENSE_EIG = (
    Rule("cpu", SIMD_DTYPES, 128, "simd", _eig_simd),
    Rule(None, None, None, "lapack", lapack.eig),
)

# solve(A, vectors, upper) -> eigenvalues, eigenvectors, info
DENSE_EIGH = (
    Rule("cpu", SIMD_DTYPES, 128, "simd", _eigh_simd),
    Rule(None, None, None, "lapack", lapack.eigh),
)

TABLES: dict[str, tuple[Rule, ...]] = {"eig": DENSE_EIG, "eigh": DENSE_EIGH}


@lru_cache(maxsize=4096)
def rule(table: str, device: str, dtype: torch.dtype, n: int) -> Rule:
    """The first rule of ``TABLES[table]`` that matches."""
    for r in TABLES[table]:
        if r.device in (None, device) and (r.dtypes is None or dtype in r.dtypes) and (r.n_max is None or n <= r.n_max):
            return r
    raise LookupError(f"no rule of the table '{table}' serves {dtype} on {device}, n = {n}")


def solve(table: str, A: Tensor, *args: Any) -> Results:
    """Runs the rule that serves ``A`` (..., n, n)."""
    return rule(table, A.device.type, A.dtype, A.shape[-1]).solve(A, *args)
