"""Runs one kernel with a thread per matrix of each kind under a sanitizer: the script of `test_cuda_thread`.  Arguments: dtype, size."""

import sys

import cuda_eig
import numpy as np
import simt_library

dtype, n = np.dtype(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
A = rng.standard_normal((70, n, n)).astype(dtype)
A[3] = np.tril(A[3])  # permuted by the balancing
A[40, 0, 1] = np.nan
A[69] = np.eye(n, k=1) + np.eye(n, k=1 - n)  # exceptional shifts
for order in simt_library.ORDERS:
    r = cuda_eig.eig(A, left=True, right=True, order=order, flags=(f"-DSIZE={n}",))
    assert r.info.tolist() == [n + 1 if b == 40 else 0 for b in range(len(A))]
print("done")
