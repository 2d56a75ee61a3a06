"""Jacobians of gated recurrent cells: solved where they are formed, a lane group at a time, never written to memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spectral_kernels.ops._library import define, implement, library
from spectral_kernels.ops.dense import eig
from spectral_kernels.reference.gated_jacobian import gated_jacobian

Results = tuple[Tensor, ...]

CHUNK_BYTES = 4 * 2**20  # of matrices at once where the derivative forms them; each costs about 20 times its size there

jacobian_eig = define(
    "jacobian_eig(Tensor weight, Tensor coefficient, Tensor diagonal, bool left, bool right) -> (Tensor eigenvalues, Tensor right, Tensor left, Tensor info)"
)


def _definition(weight: Tensor, coefficient: Tensor, diagonal: Tensor, left: bool, right: bool) -> Results:
    return eig(gated_jacobian(weight, coefficient, diagonal), left, right, True, 0.0, None)


def _pull_back(definition: Callable[..., Any], inputs: tuple[Tensor, ...], eigenvalues: Tensor, g: Tensor) -> Results:
    """The gradient through the left and right vectors of `CHUNK_BYTES` of matrices at a time."""
    weight, coefficient, diagonal = inputs
    size = g.shape[-1]
    c, d, flat, w = coefficient.flatten(0, -4), diagonal.flatten(0, -4), g.reshape(-1, size), eigenvalues.reshape(-1, size)
    if coefficient.dim() == 3:
        c, d = coefficient[None], diagonal[None]
    step = max(1, CHUNK_BYTES // max(1, size**2 * weight.dtype.itemsize))
    of_weight, of_c, of_d = torch.zeros_like(weight), [c[:0]], [d[:0]]
    for i in range(0, c.shape[0], step):
        part = slice(i, i + step)
        g_weight, g_c, g_d = torch.func.vjp(partial(definition, w[part]), weight, c[part], d[part])[1](flat[part])
        of_weight = of_weight + g_weight
        of_c.append(g_c)
        of_d.append(g_d)
    return of_weight, torch.cat(of_c).reshape(coefficient.shape), torch.cat(of_d).reshape(diagonal.shape)


implement(jacobian_eig, _definition, _pull_back, unordered=True)


def _fake(weight: Tensor, coefficient: Tensor, diagonal: Tensor, left: bool, right: bool) -> Results:
    torch._check(
        coefficient.shape[-2:] == weight.shape[:2] and diagonal.shape[:-2] == coefficient.shape[:-2],
        lambda: "spectral_kernels::jacobian_eig: expected weight (G, n, n), coefficient (..., S, G, n) and diagonal (..., S, S, n)",
    )
    batch, size, dtype = coefficient.shape[:-3], coefficient.shape[-3] * weight.shape[-1], weight.dtype.to_complex()

    def vectors(wanted: bool) -> Tensor:
        return weight.new_empty((*batch, size, size), dtype=dtype).transpose(-2, -1) if wanted else weight.new_empty((0,), dtype=dtype)

    return weight.new_empty((*batch, size), dtype=dtype), vectors(right), vectors(left), weight.new_empty(batch, dtype=torch.int32)


def _batched(info: Any, in_dims: tuple[int | None, ...], weight: Tensor, coefficient: Tensor, diagonal: Tensor, left: bool, right: bool) -> tuple[Results, tuple[int | None, ...]]:
    out_dims = (0, 0 if right else None, 0 if left else None, 0)
    c, d = (x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0) for x, dim in zip((coefficient, diagonal), in_dims[1:3], strict=True))
    if in_dims[0] is None:
        return jacobian_eig(weight, c, d, left, right), out_dims
    each = zip(*(jacobian_eig(*one, left, right) for one in zip(weight.unbind(in_dims[0]), c, d, strict=True)), strict=True)
    return tuple(torch.stack(parts) if dim == 0 else parts[0] for parts, dim in zip(each, out_dims, strict=True)), out_dims


torch.library.register_fake("spectral_kernels::jacobian_eig", _fake, lib=library)
torch.library.register_vmap("spectral_kernels::jacobian_eig", _batched, lib=library)
