"""Eigenvalues of state transitions, fast and right: a batched eigensolver for PyTorch."""

from __future__ import annotations

import torch as torch  # the extensions need libtorch loaded first

from spectral_kernels import ops as ops
from spectral_kernels.api import families as families
from spectral_kernels.api import linalg as linalg
from spectral_kernels.api import transitions as transitions
from spectral_kernels.api.linalg import drop_in as drop_in

__version__ = "0.1.0"
__all__ = ["__version__", "build_info", "drop_in", "families", "linalg", "transitions"]


def build_info() -> dict[str, str]:
    """What is inside: versions, and the instruction set of the CPU kernels in use."""
    return {"spectral_kernels": __version__, "torch": str(torch.__version__), "cpu_isa": ops.CPU_ISA}
