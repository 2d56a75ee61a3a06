"""Arrays that are not torch's: numpy's, and all that speak DLPack.  Shared memory in, the caller's kind of array out."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from torch import Tensor


def _from_numpy(x: np.ndarray[Any, Any]) -> Tensor:
    """Copies only what torch cannot view: negative strides and the other byte order."""
    if not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    if any(s < 0 for s in x.strides):
        x = x.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a read-only array is as good: nothing here writes to its input
        return torch.from_numpy(x)


def _to_numpy(x: Tensor) -> Any:
    return x.numpy()


def _from_dlpack_of(x: Any) -> Callable[[Tensor], Any]:
    namespace = x.__array_namespace__() if hasattr(x, "__array_namespace__") else sys.modules[type(x).__module__.partition(".")[0]]
    if not hasattr(namespace, "from_dlpack"):
        raise TypeError(f"expected an array whose library has from_dlpack, got {type(x).__module__}.{type(x).__name__}")
    return namespace.from_dlpack


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or hasattr(x, "__dlpack__")


def through(function: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    """``function(tensor of x, *args, **kwargs)`` with the tensors of its result as arrays of the kind of ``x``."""
    if kwargs.get("out") is not None:
        raise TypeError(f"{function.__name__}: out= expects tensors in and out, got {type(x).__name__}")
    numpy = isinstance(x, np.ndarray)
    tensor = _from_numpy(x) if numpy else torch.utils.dlpack.from_dlpack(x)
    back = _to_numpy if numpy else _from_dlpack_of(x)
    result = function(tensor, *args, **kwargs)
    if isinstance(result, Tensor):
        return back(result)
    make: Any = getattr(type(result), "_make", type(result))
    return make([back(r) if isinstance(r, Tensor) else r for r in result])
