"""Where an axis of a tensor goes when the tensor is indexed."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor


def _as_element(i: Any) -> Any:
    """Lists, arrays and ranges as the index tensors they stand for; a tensor of one integer as that integer."""
    if isinstance(i, (list, range, np.ndarray)):
        i = torch.as_tensor(np.asarray(i))
    return 0 if isinstance(i, Tensor) and i.dim() == 0 and i.dtype != torch.bool else i


def _axes(i: Any) -> tuple[int, int]:
    """How many axes an element of an index takes, and how many it leaves."""
    if i is None or isinstance(i, bool):
        return 0, 1
    if isinstance(i, slice):
        return 1, 1
    if isinstance(i, Tensor):
        return (i.dim(), 1) if i.dtype == torch.bool else (1, i.dim())
    return 1, 0


def axis_after(index: tuple[Any, ...], dim: int, axis: int) -> int:
    """The place of an axis after ``x[index]``, counted from the end as a negative number; 0 where the index took it away.

    Integers and index tensors take an axis away, slices keep it.  Index tensors that stand together put their axes where they
    stood, apart from each other they put them in front: as torch does.

    Args:
        index: integers, slices, None, ``...``, index and boolean tensors (also as lists).
        dim: number of axes of x.
        axis: counted from the end, ``-dim`` to -1.

    >>> axis_after((slice(2), 0), 3, -1), axis_after((..., 0), 3, -2), axis_after((0,), 3, -3)
    (-1, -1, 0)
    """
    elements = [_as_element(i) for i in index]
    free = dim - sum(_axes(i)[0] for i in elements if i is not Ellipsis)
    at = next((j for j, i in enumerate(elements) if i is Ellipsis), len(elements))
    elements[at : at + 1] = [slice(None)] * free
    ends = accumulate(_axes(i)[0] for i in elements)
    j = next(k for k, end in enumerate(ends) if dim + axis < end)  # the element that the axis falls to
    if not isinstance(elements[j], slice):
        return 0
    tensors = [k for k, i in enumerate(elements) if isinstance(i, Tensor)]
    behind = sum(_axes(i)[1] for i in elements[j + 1 :] if not isinstance(i, Tensor))
    if tensors and tensors[0] > j and all(not isinstance(i, slice) and i is not None for i in elements[tensors[0] : tensors[-1]]):
        behind += max(_axes(elements[k])[1] for k in tensors)
    return -1 - behind
