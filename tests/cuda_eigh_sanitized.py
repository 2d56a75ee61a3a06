"""Small batches of every mapping for a sanitizer: `simt_library.sanitized` runs it."""

from __future__ import annotations

import numpy as np
import simt_library

kernels = simt_library.load("eigh_small.cpp")
rng = np.random.default_rng(0)
for mapping, n, dtype in ((1, 3, np.float64), (8, 1, np.complex128), (8, 9, np.complex128), (64, 8, np.float64), (64, 9, np.float64)):
    for batch in (1, 11):
        A = rng.standard_normal((batch, n, n)) + (1j * rng.standard_normal((batch, n, n)) if dtype == np.complex128 else 0)
        A = (A + A.conj().swapaxes(1, 2)).astype(dtype)
        w, V, info = np.full((batch, n), np.nan), np.full((batch, n, n), np.nan, dtype), np.full(batch, -1, np.int32)
        kernels.order, kernels.seed = simt_library.ORDERS[n % 3], n
        assert kernels.call("eigh_small", mapping, A, batch, n, n % 2, w, V, info) == 0
        V = V.swapaxes(1, 2)
        assert not info.any() and np.abs(A @ V - V * w[:, None, :]).max() < 1e-13 * n * np.abs(A).max()
