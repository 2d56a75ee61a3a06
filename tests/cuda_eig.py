"""Batched eig as a GPU runs it, under the emulation of ``tests/simt_library.py``: launchers and kernels of ``csrc/cuda``, from numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import simt_library

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
OF_COMPLEX = {np.dtype(d): np.result_type(d, np.complex64) for d in DTYPES}


class Results(NamedTuple):
    eigenvalues: np.ndarray
    right: np.ndarray
    left: np.ndarray
    info: np.ndarray


def library(source: str, dtype: np.dtype, vectors: bool, flags: tuple[str, ...] = ()) -> simt_library.Library:
    dtype = np.dtype(dtype)
    real = "float" if dtype.itemsize == (8 if dtype.kind == "c" else 4) else "double"
    given = (f"-DREAL={real}", f"-DCOMPONENTS={2 if dtype.kind == 'c' else 1}", f"-DVECTORS={str(vectors).lower()}")
    return simt_library.load(source, flags=("-O1", *given, *flags))


def eig(
    A: np.ndarray, left: bool = False, right: bool = False, balance: bool = True, order: str = "forward", source: str = "thread_eig.cpp", flags: tuple[str, ...] = (), seed: int = 0
) -> Results:
    """``A (batch, n, n)`` in any strides; what is not written stays NaN, or -1 in ``info``."""
    batch, n = A.shape[:2]
    kernels = library(source, A.dtype, left or right, flags)
    kernels.order, kernels.seed = order, seed
    values = np.full((batch, n), np.nan, OF_COMPLEX[A.dtype])
    vectors = [np.full((batch, n, n) if wanted else 0, np.nan, values.dtype) for wanted in (right, left)]
    info = np.full(batch, -1, np.int32)
    strides = [s // A.itemsize for s in A.strides]
    pointers = [v if wanted else None for v, wanted in zip(vectors, (right, left), strict=True)]
    code = kernels.call("eig", A, batch, n, *strides, balance, values, *pointers, info)
    if code:
        raise simt_library.SimtError(f"the launcher returned the error {code}")
    return Results(values, *(v.swapaxes(-1, -2) if wanted else v for v, wanted in zip(vectors, (right, left), strict=True)), info)
