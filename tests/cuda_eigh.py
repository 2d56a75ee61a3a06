"""The symmetric CUDA kernels under emulation, as a function of numpy arrays; no torch, so that sanitizers can run it."""

from __future__ import annotations

import functools

import numpy as np
import simt_library

DTYPES = {"float32": np.float32, "float64": np.float64, "complex64": np.complex64, "complex128": np.complex128}


@functools.cache
def kernels():
    return simt_library.load("eigh.cpp")


def eigh(A, vectors=True, upper=False, team=0, order="forward", seed=0):
    """``A (b, n, n)`` in any strides -> values, vectors (columns) or None, info; ``team``: threads of a matrix, 0 as the table has it."""
    n, batch = A.shape[-1], A.shape[:-2]
    count = int(np.prod(batch))
    values = np.full((*batch, n), 7, A.real.dtype)
    V = np.full((*batch, n, n), 7, A.dtype) if vectors else None
    info = np.full(batch, 7, np.int32)
    sizes = np.array(batch or (1,), np.int64)
    strides = np.array([s // A.itemsize for s in A.strides] if batch else [0, *(s // A.itemsize for s in A.strides)], np.int64)
    k = kernels()
    k.order, k.seed = order, seed
    double = A.real.dtype == np.float64
    assert k.call("eigh", double, np.iscomplexobj(A), A, len(sizes), sizes, strides, upper, count, n, values, V, info, team) == 0
    return values, None if V is None else V.swapaxes(-1, -2), info


def table(n, dtype, vectors=True):
    row = np.zeros(5, np.int64)
    largest = kernels().call("eigh_table", n, np.dtype(dtype).itemsize, vectors, row)
    return dict(zip(("team", "threads", "matrices", "entries", "shared_bytes"), row.tolist(), strict=True)), largest


def random_hermitian(batch, n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((batch, n, n)) + (1j * rng.standard_normal((batch, n, n)) if np.issubdtype(dtype, np.complexfloating) else 0)
    return (A + A.conj().swapaxes(-1, -2)).astype(dtype)
