"""Eigenvalues that a structure gives in closed form: which stand how often, and what they say about memory."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128, torch.complex64: torch.complex64, torch.complex128: torch.complex128}


def spectral_radius(eigenvalues: Tensor) -> Tensor:
    """``max |lambda|`` over the last axis: ``(..., n)`` to ``(...)`` real; NaN where any is NaN, 0 where n = 0."""
    magnitude = eigenvalues.abs()
    return magnitude.amax(-1) if magnitude.shape[-1] else magnitude.sum(-1)


def horizon(eigenvalues: Tensor) -> Tensor:
    """``-1 / ln|lambda|``: after how many tokens a mode has decayed to 1/e; ``(..., n)`` real, of the same shape.

    0 where lambda is 0, and inf where ``|lambda| >= 1``: that mode never decays.

    >>> import torch
    >>> horizon(torch.tensor([0.0, 0.9, -1.0, 1.5])).round(decimals=2)
    tensor([0.0000, 9.4900,    inf,    inf])
    """
    return horizon_of_log(eigenvalues.abs().log())  # ln 0 = -inf gives 0


def horizon_of_log(log_modulus: Tensor) -> Tensor:
    """`horizon` from ``ln|lambda|``."""
    endless = log_modulus >= 0
    return (-1 / log_modulus.masked_fill(endless, -1)).masked_fill(endless, math.inf)  # -1: no gradient 0 * inf at |lambda| = 1


class Distinct(NamedTuple):
    """Eigenvalues that a structure tells apart: ``values (..., m)``, of which number j stands ``counts[j]`` >= 1 times in the spectrum.

    Values that the structure tells apart may still be equal: it knows no more than that they need not be.
    """

    values: Tensor
    counts: tuple[int, ...]


def repeated(*groups: tuple[Tensor, int]) -> Distinct:
    """`Distinct` of groups ``(values (..., m), count)``, all m values of a group with the same count; a count of 0 leaves a group out.

    >>> import torch
    >>> repeated((torch.ones(1), 0), (torch.zeros(2), 3))
    Distinct(values=tensor([0., 0.]), counts=(3, 3))
    """
    kept = [(values, count) for values, count in groups if count > 0] or [(groups[0][0][..., :0], 1)]
    values = kept[0][0] if len(kept) == 1 else torch.cat([values for values, _ in kept], -1)
    return Distinct(values, sum(((count,) * v.shape[-1] for v, count in kept), ()))


def as_complex(x: Tensor) -> Tensor:
    """x in the complex dtype of its precision."""
    return x.to(COMPLEX[x.dtype])


def poison(x: Tensor, core: int = 1, log: bool = False) -> Tensor:
    """What makes a bad matrix NaN when it is added: 0, or NaN where one of the last ``core`` axes of x holds NaN or Inf.

    With `log`, x is a logarithm, and -inf stands for 0.  A product and a sum: a fifth of the time of `isfinite` and a mask.
    """
    x = x.detach()
    if x.is_complex():
        x, core = torch.view_as_real(x.resolve_conj()), core + 1
    x = 0 * (x.clamp_min(torch.finfo(x.dtype).min) if log else x)
    return x.sum(tuple(range(-core, 0))) if core else x


def repeat(values: Tensor, counts: tuple[int, ...]) -> Tensor:
    """``values (..., m)``, each as often as it counts: ``(..., n)``."""
    if set(counts) <= {1}:
        return values
    return torch.cat([v[..., None].expand(*v.shape, count) for v, count in zip(values.unbind(-1), counts, strict=True)], -1)
