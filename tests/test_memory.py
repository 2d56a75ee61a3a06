"""Peak memory beyond inputs and outputs: at most two lane groups per thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import re, sys, torch
import spectral_kernels as sk

def status(key):
    return int(re.search(rf"{key}:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

function, threads, n, batch = getattr(sk.linalg, sys.argv[1]), 2, 128, 256
torch.set_num_threads(threads)
A = torch.randn(batch, n, n)
if sys.argv[1].startswith("eigh") or sys.argv[1] == "eigvalsh":
    A = A + A.mT
function(A[: 2 * threads * 16, :8, :8].contiguous())  # threads, code, allocator
open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
before = status("VmRSS")
results = function(A)
outputs = sum(r.numel() * r.element_size() for r in (results if isinstance(results, tuple) else (results,)))
group = 16 * n * n * A.element_size()  # of the widest register
print((status("VmHWM") - before - outputs) / (threads * group))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", ["eigvals", "eig", "eigvalsh", "eigh"])
def test_peak(name):
    done = subprocess.run([sys.executable, "-c", SCRIPT, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # vectors of length n, padding of the leading dimension, thread stacks: a tenth of a group each
    assert float(done.stdout) <= 2.3, f"{name}: {done.stdout.strip()} lane groups per thread"
