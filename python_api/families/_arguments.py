"""The check that every family makes of its tensors: one way to name shapes, one wording of errors."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

_Value = TypeVar("_Value")


def tensors(family: str, shapes: dict[str, str], **given: Any) -> list[Tensor]:
    """The tensors of a family, checked, all in one precision, in the order of `shapes`.

    A shape is axes by name, as in ``"... T H K"``: an axis has one size wherever it is named, and ``...`` are any leading axes, the same
    wherever they stand.  A digit is a size of its own.  A shape that ends in ``?`` may be None and is then a zero without axes; one that begins with
    ``complex`` may be complex.  The precision is the widest of those given, float32 for float16 and bfloat16.

    >>> import torch
    >>> g, bias = tensors("example", {"g": "... T H", "bias": "H ?"}, g=torch.zeros(2, 5, 3, dtype=torch.bfloat16), bias=None)
    >>> g.dtype, g.shape, bias
    (torch.float32, torch.Size([2, 5, 3]), tensor(0.))
    >>> tensors("example", {"g": "... T H", "bias": "H ?"}, g=torch.zeros(2, 5, 3), bias=torch.zeros(4))
    Traceback (most recent call last):
    ValueError: families.example: expected bias (H) with H = 3, as in g (..., T, H) of shape (2, 5, 3); got bias of shape (4,)
    """
    device, dtype = None, torch.float32
    for name, shape in shapes.items():
        t = given[name]
        if t is None and shape.endswith("?"):
            continue
        if not isinstance(t, Tensor):
            raise TypeError(f"families.{family}: {name} must be Tensor, not {type(t).__name__}")
        if not (t.is_floating_point() or (t.is_complex() and shape.startswith("complex"))):
            raise TypeError(f"families.{family}: expected {name} of a {'real or complex' if shape.startswith('complex') else 'real'} floating dtype, got {t.dtype}")
        device = t.device if device is None else device
        if t.device != device:
            raise TypeError(f"families.{family}: expected all tensors on one device, got {name} on {t.device} beside {device}")
        dtype = torch.promote_types(dtype, t.dtype.to_real())
    sizes: dict[str, Any] = {}
    seen: dict[str, str] = {}
    checked = []
    for name, shape in shapes.items():
        t = given[name]
        if t is None:
            checked.append(torch.zeros((), dtype=dtype, device=device))
            continue
        axes = [axis for axis in shape.split() if axis not in ("complex", "?")]
        _check(family, name, t, axes, sizes, seen)
        checked.append(t.to(dtype.to_complex() if t.is_complex() else dtype))
    return checked


def _check(family: str, name: str, t: Tensor, axes: list[str], sizes: dict[str, Any], seen: dict[str, str]) -> None:
    """Binds the axes of one tensor to their sizes in `sizes`; `seen` says which tensor bound each."""
    shape, words = tuple(t.shape), f"({', '.join(axes)})"
    leading = axes[:1] == ["..."]
    fixed = axes[1:] if leading else axes
    behind = len(shape) - len(fixed)
    if behind < 0 or (behind and not leading):
        raise ValueError(f"families.{family}: expected {name} {words}, got {name} of shape {shape}")
    found = dict(zip(fixed, shape[behind:], strict=True)) | ({"...": shape[:behind]} if leading else {})
    for axis, size in found.items():
        bound = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
        source = "" if axis.isdigit() else f" with {axis} = {bound}, as in {seen.setdefault(axis, f'{name} {words} of shape {shape}')};"
        if bound != size:
            raise ValueError(f"families.{family}: expected {name} {words}{source or ','} got {name} of shape {shape}")


def one_of(family: str, **given: _Value | None) -> tuple[str, _Value]:
    """The name and the value of the one argument that is given of several that say the same."""
    present = [(name, value) for name, value in given.items() if value is not None]
    if len(present) != 1:
        got = " and ".join(name for name, _ in present) or "none"
        raise TypeError(f"families.{family}: expected exactly one of {', '.join(given)}; got {got}")
    return present[0]


def choice(family: str, name: str, value: _Value, among: tuple[_Value, ...]) -> _Value:
    """`value`, which must be one of `among`."""
    if value not in among:
        raise ValueError(f"families.{family}: expected {name} {' or '.join(map(repr, among))}, got {value!r}")
    return value


def size(family: str, name: str, value: int, least: int = 0) -> int:
    """`value`, an int of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"families.{family}: {name} must be int, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"families.{family}: expected {name} >= {least}, got {value}")
    return value
