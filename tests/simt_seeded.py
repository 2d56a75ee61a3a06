"""Runs kernels of ``tests/cuda/simt/seeded_bugs.cpp`` under a sanitizer: the script of `test_simt`.

Arguments: 0 or 1 (with the bug), then names of kernels.
"""

import sys

import numpy as np
import simt_library

kernels = simt_library.load("simt/seeded_bugs.cpp")
for name in sys.argv[2:]:
    for kernels.order in simt_library.ORDERS:
        kernels.call(f"run_{name}", np.zeros(64), int(sys.argv[1]))
print("done")
