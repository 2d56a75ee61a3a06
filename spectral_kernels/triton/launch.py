"""What the launchers share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

REAL = (torch.float32, torch.float64)


def launch(kernel: Any, programs: int, like: Tensor, *args: Any, **options: Any) -> None:
    """Runs a kernel on the current stream of the device of ``like``: ``programs`` programs, or nothing where there are none."""
    if programs:
        with torch.cuda.device_of(like):
            kernel[(programs,)](*args, **({"enable_fp_fusion": True} | options))


def check(op: str, holds: bool, expected: Callable[[], str]) -> None:
    """Raises as the kernels of the CPU do."""
    torch._check(holds, lambda: f"spectral_kernels::{op}: expected {expected()}")


def check_real(op: str, *tensors: Tensor) -> None:
    dtypes = {t.dtype for t in tensors}
    check(op, len(dtypes) == 1 and dtypes <= set(REAL), lambda: f"float32 or float64, all of one dtype, got {sorted(map(str, dtypes))}")


def rows(t: Tensor, core: int, batch: torch.Size | tuple[int, ...] | None = None) -> Tensor:
    """``t (..., *core axes)`` broadcast to ``batch``, its batch axes as one; a copy only where one stride does not describe them."""
    own = t.shape[t.dim() - core :]
    shape = t.shape[: t.dim() - core] if batch is None else batch
    return t.expand(*shape, *own).reshape(math.prod(shape), *own)


def power_of_2(n: int) -> int:
    """The least power of 2 that is >= n and >= 1."""
    return 1 << max(n - 1, 0).bit_length()
