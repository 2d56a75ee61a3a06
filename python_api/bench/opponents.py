"""What the kernels are measured against.  A provider is a function of tensors whose first dimension is the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spectral_kernels import lapack

Function = Callable[..., Any]


class Opponent(NamedTuple):
    name: str
    what: str
    function: Function
    serial: bool  # one matrix after another: on a wide machine it gets a part of the batch, see `runner`


def batch_parallel(function: Function) -> Function:
    """``function`` on pieces of the batch, on all cores with one thread each; its results joined again.

    torch releases the GIL inside a call.  Four pieces per core, so that no core waits long for the slowest piece.
    """

    def parallel(*inputs: Tensor) -> Any:
        threads = torch.get_num_threads()
        pieces = min(4 * threads, len(inputs[0]))
        results = list(lapack.workers(threads).map(function, *(tensor.tensor_split(pieces) for tensor in inputs)))
        return torch.cat(results) if isinstance(results[0], Tensor) else tuple(torch.cat(parts) for parts in zip(*results, strict=True))

    return parallel


def on_numpy(function: Function) -> Function:
    """A numpy function of arrays, as a function of tensors; the arrays share the tensors' memory."""
    return lambda *inputs: function(*(tensor.numpy() for tensor in inputs))


def dense_opponents(torch_function: Function, numpy_function: Function) -> tuple[Opponent, ...]:
    """torch as shipped, the same LAPACK parallel over the batch, and numpy."""
    return (
        Opponent("torch", "torch as shipped", torch_function, serial=True),
        Opponent("lapack", "LAPACK through torch, parallel over the batch: all cores, one thread each", batch_parallel(torch_function), serial=False),
        Opponent("numpy", "numpy as shipped", on_numpy(numpy_function), serial=True),
    )
