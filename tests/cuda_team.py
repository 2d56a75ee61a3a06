"""Batched eig by teams of threads under the emulation of ``tests/simt_library.py``, from numpy: any size of team for any size of matrix.

As a script, a small batch on ``warp`` or ``block`` teams in a dtype, for a run under a sanitizer: one library a process, since the emulation's threads are a library's own.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
import simt_library

ENTRIES = {np.float32: "float", np.float64: "double", np.complex64: "sk::Complex<float>", np.complex128: "sk::Complex<double>"}
DTYPES = tuple(ENTRIES)
BLOCK = 0  # the team is the whole block
PLACEMENTS = ("shared", "z_global", "global")


class Mapping(NamedTuple):
    team: int
    threads: int  # of a block
    placement: str = "shared"


class Results(NamedTuple):
    eigenvalues: np.ndarray
    right: np.ndarray
    left: np.ndarray
    info: np.ndarray


def eig(
    A: np.ndarray, mapping: Mapping, vectors: bool = True, left: bool = True, right: bool = True, balanced: bool = True, order: str = "forward", seed: int = 0, blocks: int = 2
) -> Results:
    """``A (batch, n, n)``, contiguous; what is not written stays NaN, or -1 in ``info``."""
    batch, n = A.shape[:2]
    # few kernels a library: each takes seconds to compile
    kind = "SK_WARPS_OF_8" if mapping.team == 8 else "SK_BLOCKS" if mapping.team == BLOCK else "SK_OTHER_WARPS"
    kernels = simt_library.load("team_eig.cpp", flags=(f"-DSK_ENTRY={ENTRIES[A.dtype.type]}", f"-D{kind}", "-O1"))
    kernels.order, kernels.seed = order, seed
    values = np.full((batch, n), np.nan, np.result_type(A.dtype, np.complex64))
    V, U = (np.full((batch, n, n) if vectors and wanted else 0, np.nan, values.dtype) for wanted in (right, left))
    info = np.full(batch, -1, np.int32)
    pointers = [v if v.size else None for v in (V, U)]
    kernels.call("team_eig_batch", np.ascontiguousarray(A), values, *pointers, info, batch, n, mapping.team, mapping.threads, blocks, balanced, PLACEMENTS.index(mapping.placement))
    return Results(values, *(v.swapaxes(-1, -2) if v.size else v for v in (V, U)), info)


def main(team: str, dtype: str) -> None:
    mapping = Mapping(8, 32) if team == "warp" else Mapping(BLOCK, 32, "z_global")
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5, 6, 6))
    A = (A + 1j * rng.standard_normal(A.shape) if dtype.startswith("complex") else A).astype(dtype)
    A[1] = np.triu(A[1])
    A[2, 0] *= 1e4
    A[3, 1, 2] = np.nan
    r = eig(A, mapping)
    assert r.info.tolist() == [0, 0, 0, 7, 0], r.info
    if team == "warp":
        eig(A, mapping, vectors=False, order="random")
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
