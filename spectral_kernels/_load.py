"""Picks and loads the compiled CPU backend: one extension per instruction set."""

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
