"""Picks and loads the compiled backends: one CPU extension per instruction set, and the CUDA extension where it was built."""

from __future__ import annotations

import importlib
import importlib.util

import torch

_FALLBACKS = {"avx512": ("avx512", "avx2", "default"), "avx2": ("avx2", "default")}


def load_cpu() -> str:
    """Loads the extension for ``torch.backends.cpu.get_cpu_capability()`` (``ATEN_CPU_CAPABILITY`` forces it).

    Returns the name of the instruction set that was loaded.
    """
    wanted = torch.backends.cpu.get_cpu_capability().lower()
    for isa in _FALLBACKS.get(wanted, ("default",)):
        name = f"spectral_kernels._cpu_{isa}"
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name)
            return isa
    raise ImportError(f"spectral_kernels was installed without a compiled CPU backend (wanted '{wanted}'): run `make` in the checkout or reinstall the wheel")


def load_cuda() -> bool:
    """Loads the CUDA extension, which needs no GPU and no CUDA build of torch; False where it was not built."""
    if importlib.util.find_spec("spectral_kernels._cuda") is None:
        return False
    importlib.import_module("spectral_kernels._cuda")
    return True
