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
    per_thread: int = 0  # fewest matrices per thread
    op: str | None = None  # serves where the compiled extensions have a kernel of this op for the device


def _eig_batched(A: Tensor, left: bool, right: bool, balance: bool) -> Results:
    return torch.ops.spectral_kernels.eig_batched.default(A, left, right, balance)  # by name: `ops` stands above this module


def _eigh_batched(A: Tensor, vectors: bool, upper: bool) -> Results:
    return torch.ops.spectral_kernels.eigh_batched.default(A, vectors, upper)


REAL = frozenset({torch.float32, torch.float64})
SIMD_DTYPES = REAL | {torch.complex64, torch.complex128}
ANY_BATCH = 128  # up to this size no rule asks for a number of matrices: results do not depend on the batch size
LANES = 16  # beyond it a lane group must be full to beat LAPACK

# solve(A, left, right, balance) -> eigenvalues, right, left, info
DENSE_EIG = (
    Rule("cpu", SIMD_DTYPES, ANY_BATCH, "simd", _eig_batched),
    Rule("cpu", REAL, 512, "simd", _eig_batched, LANES),
    Rule("cpu", SIMD_DTYPES, 256, "simd", _eig_batched, LANES),
    Rule("cuda", SIMD_DTYPES, 128, "cuda", _eig_batched, op="eig_batched"),
    Rule(None, None, None, "lapack", lapack.eig),
)

# solve(A, vectors, upper) -> eigenvalues, eigenvectors, info
DENSE_EIGH = (
    Rule("cpu", SIMD_DTYPES, ANY_BATCH, "simd", _eigh_batched),
    Rule("cpu", SIMD_DTYPES, 256, "simd", _eigh_batched, LANES),
    Rule("cuda", SIMD_DTYPES, 64, "cuda", _eigh_batched, op="eigh_batched"),
    Rule(None, None, None, "lapack", lapack.eigh),
)

TABLES: dict[str, tuple[Rule, ...]] = {"eig": DENSE_EIG, "eigh": DENSE_EIGH}


def has_kernel(op: str, device: str) -> bool:
    """Whether a loaded extension has a kernel of ``op`` for ``device`` (``cpu``, ``cuda``)."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"spectral_kernels::{op}", device.upper())


@lru_cache(maxsize=4096)
def rule(table: str, device: str, dtype: torch.dtype, n: int, per_thread: int = 0) -> Rule:
    """The first rule of ``TABLES[table]`` that matches, for ``per_thread`` matrices on each thread."""
    for r in TABLES[table]:
        fits = r.device in (None, device) and (r.dtypes is None or dtype in r.dtypes) and (r.n_max is None or n <= r.n_max) and per_thread >= r.per_thread
        if fits and (r.op is None or has_kernel(r.op, device)):
            return r
    raise LookupError(f"no rule of the table '{table}' serves {dtype} on {device}, n = {n}")


def solve(table: str, A: Tensor, *args: Any) -> Results:
    """Runs the rule that serves ``A`` (..., n, n)."""
    n = A.shape[-1]
    per_thread = min(A.numel() // (n * n) // torch.get_num_threads(), LANES) if n > ANY_BATCH else 0
    return rule(table, A.device.type, A.dtype, n, per_thread).solve(A, *args)
