"""Eigenvectors of structures known in closed form: unit vectors, bases of complements, two-by-two blocks."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """``x / |x|_2`` over the last axis, without overflow; NaN where x is 0."""
    x = x / x.abs().amax(-1, keepdim=True)
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def frame(x: Tensor) -> Tensor:
    """A unitary matrix ``(..., n, n)`` whose first column is parallel to ``x (..., n)``; the identity where x is 0.

    The other columns are a basis of the complement, ``x^H v = 0``: all of it is the Householder reflector that takes x to
    ``-e^{i arg x_1} |x| e_1`` (Golub and Van Loan, 4th ed., section 5.1).
    """
    n = x.shape[-1]
    eye = torch.eye(n, dtype=x.dtype, device=x.device)
    if n == 0:
        return eye.expand(*x.shape, n)
    zero = (x == 0).all(-1, keepdim=True)
    v = unit(torch.where(zero, eye[0], x))
    phase = torch.where(v[..., :1] == 0, torch.ones_like(v[..., :1]), torch.sgn(v[..., :1]))
    u = v + phase * eye[0]
    u = torch.where(zero, torch.zeros_like(u), u / torch.linalg.vector_norm(u, dim=-1, keepdim=True))
    return eye - 2 * u[..., :, None] * u[..., None, :].conj().resolve_conj()


def with_phase(V: Tensor) -> Tensor:
    """Unit columns ``V (..., n, m)`` of a complex matrix turned as ``geev`` turns them: the largest component real and positive."""
    if not V.is_complex() or V.numel() == 0:
        return V
    k = V.abs().argmax(-2, keepdim=True)
    largest = V.gather(-2, k)
    V = V * torch.sgn(largest).conj()
    return V.scatter(-2, k, V.gather(-2, k).real.to(V.dtype))
