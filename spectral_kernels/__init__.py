"""Eigenvalues of state transitions, fast and right: a batched eigensolver for PyTorch."""

from __future__ import annotations

import torch as torch  # the extensions need libtorch loaded first

from spectral_kernels import ops as ops
from spectral_kernels._version import __version__ as __version__
from spectral_kernels.api import families as families
from spectral_kernels.api import linalg as linalg
from spectral_kernels.api import report as report
from spectral_kernels.api import spectrum as spectrum
from spectral_kernels.api import transitions as transitions
from spectral_kernels.api.capture import Record as Record
from spectral_kernels.api.capture import Run as Run
from spectral_kernels.api.capture import capture as capture
from spectral_kernels.api.info import build_info as build_info
from spectral_kernels.api.linalg import drop_in as drop_in
from spectral_kernels.api.spectrum import Spectrum as Spectrum

__all__ = ["Record", "Run", "Spectrum", "__version__", "build_info", "capture", "drop_in", "families", "linalg", "report", "spectrum", "transitions"]
