"""Triton kernels, a file per kernel: `@triton.jit` functions and the launcher that is the op on CUDA tensors.

Triton is imported with the first kernel that is launched, never with the package.  Launchers run on the current stream of their tensors' device,
allocate nothing but their outputs, never wait for the device, and take the positional arguments of their op's schema.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

LAUNCHERS = {  # op -> the module of this package that holds its launcher, of the same name
    "attention_lse": "attention_lse",
    "diagonal_eigvals": "diagonal",
    "expand_exp": "diagonal",
    "householder_eigvals": "householder",
    "rank_one_eigvals": "rank_one",
    "secular": "secular",
    "secular_eig": "secular_vectors",
    "sketch": "sketch",
    "sketch_rank_one": "rank_one_sketch",
    "sketch_householder": "householder_sketch",
    "sketch_secular": "secular_sketch",
    "sketch_zero_order_hold": "zero_order_hold",
}
_LEAST_CAPABILITY = (7, 5)  # that the compiler generates code for


def version() -> str | None:
    """Of the Triton that is installed; None without one."""
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:  # builds for other vendors have other names
        return "unknown version"


@cache
def available() -> bool:
    """Whether Triton is installed and every GPU that torch sees can run its kernels."""
    if version() is None or not torch.cuda.is_available():
        return False
    return torch.version.hip is not None or all(torch.cuda.get_device_capability(i) >= _LEAST_CAPABILITY for i in range(torch.cuda.device_count()))


@cache
def launcher(op: str) -> Callable[..., Any]:
    """What runs the op of this name (of `LAUNCHERS`) on CUDA tensors; it returns NotImplemented for a size that it does not serve."""
    return getattr(importlib.import_module(f"{__name__}.{LAUNCHERS[op]}"), op)
