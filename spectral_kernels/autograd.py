"""Derivatives of the eigendecompositions, first and second order, reverse and forward.

For A v_i = l_i v_i and u_i^H A = l_i u_i^H with the columns of V and U of 2-norm 1, and X = V^-1 dA V:

    dl = diag(X),    dV = V (F o X) - V Re diag(V^H V (F o X)),    F_ij = 1 / (l_j - l_i), F_ii = 0

(arXiv:1701.00392, eq. 4.77).  The left vectors obey the same formula for A^H, whose eigenvalues are conj(l).  ``broadening``
e > 0 replaces 1/d by conj(d) / (|d|^2 + e^2), which stays finite where eigenvalues meet.  V^-1 comes from the left vectors
(`inverse_from_left`), without a factorisation where they are independent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

Grads = tuple[Tensor | None, ...]


def inverse_from_left(V: Tensor, U: Tensor) -> Tensor:
    """V^-1 of eigenvectors ``V (..., n, n)`` from the left eigenvectors ``U``, whose product M = U^H V is nearly diagonal.

    With D = diag(M) and R = M D^-1 - I, V^-1 = D^-1 (I + R)^-1 U^H and (I + R)^-1 = I - R + O(R^2).  Where R is not small, at
    repeated eigenvalues, any left vectors of the eigenspace may have come: there V is factored.
    """
    n, eps = V.shape[-1], torch.finfo(V.dtype).eps
    UH = U.mH.resolve_conj()  # not lazily: an op may run where the dispatcher does not resolve conjugates
    M = UH @ V
    D = M.diagonal(dim1=-2, dim2=-1)
    R = M / D.unsqueeze(-2)
    R.diagonal(dim1=-2, dim2=-1).zero_()
    inverse = (UH - R @ UH) / D.unsqueeze(-1)
    if n > 1:
        poor = ~(R.abs().flatten(-2).amax(-1) <= (eps / n) ** 0.5)
        if bool(poor.any()):
            inverse[poor] = torch.linalg.inv_ex(V[poor]).inverse
    return inverse.contiguous()


def _gaps(w: Tensor, broadening: float) -> Tensor:
    """F of the head of this file: ``(..., n)`` -> ``(..., n, n)``."""
    d = w.unsqueeze(-2) - w.unsqueeze(-1)
    same = torch.eye(w.shape[-1], dtype=torch.bool, device=w.device)
    d = torch.where(same, torch.ones_like(d), d)
    F = 1 / d if broadening == 0 else d.conj() / ((d * d.conj()).real + broadening**2)
    return torch.where(same, torch.zeros_like(F), F)


def _check_phase(name: str, G: Tensor) -> None:
    """torch's check that a loss does not depend on the free phase of complex eigenvectors; like torch's, in eager mode alone."""
    transformed = type(G) is not Tensor or torch._C._functorch.is_functorch_wrapped_tensor(G) or torch._C._len_torch_dispatch_stack() > 0
    if transformed or not G.is_complex():
        return
    phase = G.detach().diagonal(dim1=-2, dim2=-1).imag
    if not torch.allclose(phase, torch.zeros_like(phase), rtol=1e-2, atol=1e-2):
        raise RuntimeError(
            f"{name}_backward: The eigenvectors in the complex case are specified up to multiplication by e^{{i phi}}. "
            "The specified loss function depends on this quantity, so it is ill-defined."
        )


def _vjp(w: Tensor, V: Tensor, V_inverse: Tensor, gw: Tensor | None, gV: Tensor | None, broadening: float) -> Tensor | None:
    """Gradient with respect to the matrix whose eigenvalues and unit eigenvectors are ``w`` and ``V``."""
    if gV is None:
        return None if gw is None else (V_inverse.mH * gw.unsqueeze(-2)) @ V.mH
    G = V.mH @ gV
    _check_phase("linalg_eig", G)
    radial = G.diagonal(dim1=-2, dim2=-1).real.unsqueeze(-2)
    inner = (G - V.mH @ (V * radial)) * _gaps(w, broadening).conj()
    if gw is not None:
        inner = inner + torch.diag_embed(gw)
    return V_inverse.mH @ (inner @ V.mH)


def _jvp(w: Tensor, V: Tensor, V_inverse: Tensor, dA: Tensor, broadening: float) -> tuple[Tensor, Tensor]:
    X = V_inverse @ dA @ V
    dV = V @ (X * _gaps(w, broadening))
    radial = (V.conj() * dV).sum(-2, keepdim=True).real
    return X.diagonal(dim1=-2, dim2=-1), dV - V * radial


def _forward_grad(jvp: Callable[..., Any]) -> Callable[..., Any]:
    """Lets the outer levels of torch.func differentiate a jvp, which runs with forward derivatives off."""

    @wraps(jvp)
    def outer(*args: Any) -> Any:
        with forward_ad._set_fwd_grad_enabled(True):
            return jvp(*args)

    return outer


class Function(_SingleLevelFunction):
    """Acts inside one level of torch.func: the dispatcher walks the levels."""

    apply: Any  # torch's, without a type


class Eig(Function):
    """All of w, V, U, info of A; a gradient flows into each of the first three."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, balance: bool, broadening: float, raises: str | None, solve: Any) -> Grads:
        w, V, U, info = solve(A, True, True, balance, broadening, raises)
        ctx.broadening, ctx.real = broadening, not A.is_complex()
        ctx.save_for_backward(w, V, U)
        ctx.save_for_forward(w, V, U)
        ctx.mark_non_differentiable(info)
        ctx.set_materialize_grads(False)
        return w, V, U, info

    @staticmethod
    def backward(ctx: Any, gw: Tensor | None, gV: Tensor | None, gU: Tensor | None, _: None) -> Grads:
        w, V, U = ctx.saved_tensors
        inverse = torch.ops.spectral_kernels.inverse_from_left.default
        gA: Tensor | None = None
        if gw is not None or gV is not None:
            gA = _vjp(w, V, inverse(V, U), gw, gV, ctx.broadening)
        if gU is not None:
            from_left = _vjp(w.conj(), U, inverse(U, V), None, gU, ctx.broadening)
            assert from_left is not None
            gA = from_left.mH if gA is None else gA + from_left.mH
        if gA is not None and ctx.real:
            gA = gA.real
        return gA, None, None, None, None

    @staticmethod
    @_forward_grad
    def jvp(ctx: Any, dA: Tensor, *_: None) -> Grads:
        w, V, U = ctx.saved_tensors
        inverse = torch.ops.spectral_kernels.inverse_from_left.default
        dA = dA.to(V.dtype)
        dw, dV = _jvp(w, V, inverse(V, U), dA, ctx.broadening)
        dU = _jvp(w.conj(), U, inverse(U, V), dA.mH, ctx.broadening)[1]
        return dw, dV, dU, None


class Eigh(Function):
    """w, V, info of a Hermitian A: as `Eig` with V^-1 = V^H, and dV in the tangent space of the unitary matrices."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, upper: bool, broadening: float, raises: str | None, solve: Any) -> Grads:
        w, V, info = solve(A, True, upper, broadening, raises)
        ctx.broadening = broadening
        ctx.save_for_backward(w, V)
        ctx.save_for_forward(w, V)
        ctx.mark_non_differentiable(info)
        ctx.set_materialize_grads(False)
        return w, V, info

    @staticmethod
    def backward(ctx: Any, gw: Tensor | None, gV: Tensor | None, _: None) -> Grads:
        w, V = ctx.saved_tensors
        gA: Tensor | None = None
        if gV is not None:
            G = V.mH @ gV
            _check_phase("linalg_eigh", G)
            inner = (G - G.mH) / 2 * _gaps(w, ctx.broadening)
            gA = V @ ((inner if gw is None else inner + torch.diag_embed(gw)) @ V.mH)
        elif gw is not None:
            gA = (V * gw.unsqueeze(-2)) @ V.mH
        return gA, None, None, None, None

    @staticmethod
    @_forward_grad
    def jvp(ctx: Any, dA: Tensor, *_: None) -> Grads:
        w, V = ctx.saved_tensors
        X = V.mH @ dA @ V
        return X.diagonal(dim1=-2, dim2=-1).real, V @ (X * _gaps(w, ctx.broadening)), None


class InverseFromLeft(Function):
    """d(V^-1) = -V^-1 dV V^-1; the left vectors are a means of computing it and get no gradient."""

    @staticmethod
    def forward(ctx: Any, V: Tensor, U: Tensor, solve: Any) -> Tensor:
        inverse: Tensor = solve(V, U)
        ctx.save_for_backward(inverse)
        ctx.save_for_forward(inverse)
        return inverse

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Grads:
        (inverse,) = ctx.saved_tensors
        return -(inverse.mH @ g @ inverse.mH), None, None

    @staticmethod
    @_forward_grad
    def jvp(ctx: Any, dV: Tensor | None, *_: Any) -> Tensor | None:
        (inverse,) = ctx.saved_tensors
        return torch.zeros_like(inverse) if dV is None else -(inverse @ dV @ inverse)


def _secular_derivatives(d: Tensor, p: Tensor, origin: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """d lambda_j / d d_i and d lambda_j / d p_i, ``(..., i, j)``, for the roots lambda_j = d[origin_j] + offset_j of 1 + sum_i p_i / (d_i - lambda).

    With s_ij = 1 / (d_i - lambda_j) and S_j = sum_i p_i s_ij^2 they are p_i s_ij^2 / S_j and -s_ij / S_j; s is taken in units of 1 / offset, which
    are at most about 1.  Roots with offset 0 are entries of d (deflation), of which each member of a group G of equal d is one, but for one member
    where the group's weight P = sum p is not 0:

    - without weight, lambda_j follows its own d, and p with 1 / f_j, f_j being the secular function without the group;
    - with weight, the group's eigenvalues but one stay where d is: together they follow d_i by 1 - p_i / P, here in equal parts.
    """
    d_origin = d.gather(-1, origin)
    gap, p = d.unsqueeze(-1) - d_origin.unsqueeze(-2), p.unsqueeze(-1)
    deflated, one, zero = (offset == 0).unsqueeze(-2), torch.ones_like(gap), torch.zeros_like(gap)
    unit = torch.where(deflated, 1, offset.unsqueeze(-2))
    distance = gap - offset.unsqueeze(-2)
    s = unit / torch.where(distance == 0, unit, distance)  # 0: an entry without weight at the root itself
    weight = p * s * s
    total = torch.where(deflated, 1, weight.sum(-2, keepdim=True))

    member = gap == 0
    size = member.sum(-2, keepdim=True)
    own = torch.arange(d.shape[-1], device=d.device).unsqueeze(-1) == origin.unsqueeze(-2)
    same_group = deflated.mT & (d_origin.unsqueeze(-1) == d_origin.unsqueeze(-2))
    weightless = same_group.sum(-2, keepdim=True) == size
    f = 1 + torch.where(member, zero, p / torch.where(member, one, gap)).sum(-2, keepdim=True)
    group_weight = torch.where(weightless, 1, torch.where(member, p, zero).sum(-2, keepdim=True))
    shared = torch.where(member, (1 - p / group_weight) / (size - 1).clamp(min=1), zero)
    entry_by_d, entry_by_p = torch.where(weightless, own.to(shared.dtype), shared), torch.where(weightless & own, 1 / f, zero)
    by_d = torch.where(deflated, entry_by_d.to(s.dtype), weight / total)
    by_p = torch.where(deflated, entry_by_p.to(s.dtype), -s * unit / total)
    return by_d, by_p


class Secular(Function):
    """Eigenvalues and offsets of the secular equation; the origins are indices and stay."""

    @staticmethod
    def forward(ctx: Any, d: Tensor, p: Tensor, solve: Any) -> Grads:
        eigenvalues, origin, offset = solve(d, p)
        ctx.save_for_backward(d, p, origin, offset)
        ctx.save_for_forward(d, p, origin, offset)
        ctx.mark_non_differentiable(origin)
        ctx.set_materialize_grads(False)
        return eigenvalues, origin, offset

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, _: None, g_offset: Tensor | None) -> Grads:
        d, p, origin, offset = ctx.saved_tensors
        if g is None and g_offset is None:
            return None, None, None
        total = g_offset if g is None else g if g_offset is None else g + g_offset
        assert total is not None
        by_d, by_p = _secular_derivatives(d, p, origin, offset)
        gd = (by_d.conj_physical() * total.unsqueeze(-2)).sum(-1)
        gp = (by_p.conj_physical() * total.unsqueeze(-2)).sum(-1)
        if g_offset is not None:
            gd = gd - torch.zeros_like(gd).scatter_add(-1, origin, g_offset)
        return gd if d.is_complex() else gd.real, gp if p.is_complex() else gp.real, None

    @staticmethod
    @_forward_grad
    def jvp(ctx: Any, dd: Tensor | None, dp: Tensor | None, _: Any) -> Grads:
        d, p, origin, offset = ctx.saved_tensors
        d, p = forward_ad.unpack_dual(d).primal, forward_ad.unpack_dual(p).primal  # inputs carry the tangents of this level
        by_d, by_p = _secular_derivatives(d, p, origin, offset)
        zero = torch.zeros_like(d)
        dd, dp = zero if dd is None else dd, zero if dp is None else dp
        dw = (by_d * dd.unsqueeze(-1)).sum(-2) + (by_p * dp.unsqueeze(-1)).sum(-2)
        return dw, None, dw - dd.gather(-1, origin)


# (definition, inputs, eigenvalues, gradient of the eigenvalues) -> gradients of the inputs; the definition takes the eigenvalues, for their order, and the inputs
PullBack = Callable[[Callable[..., Any], tuple[Tensor, ...], Tensor, Tensor], tuple[Tensor, ...]]


def _pull_back(definition: Callable[..., Any], inputs: tuple[Tensor, ...], value: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    return torch.func.vjp(partial(definition, value), *inputs)[1](g)


def in_order_of(value: Tensor, found: Tensor) -> Tensor:
    """``found`` (..., n), eigenvalues of a matrix that differs from that of ``value`` (..., n) by rounding, in the order of ``value``: each takes the nearest that is left."""
    distance = (value.detach().unsqueeze(-1) - found.detach().unsqueeze(-2)).abs()  # (..., value, found)
    taken = []
    for i in range(value.shape[-1]):
        nearest = distance[..., i, :].argmin(-1, keepdim=True)
        distance = distance.scatter(-1, nearest.unsqueeze(-2).expand(*distance.shape[:-1], 1), torch.inf)
        taken.append(nearest)
    return found.gather(-1, torch.cat(taken, -1)) if taken else found


class ByDefinition(Function):
    """Derivatives of the first output of an op by those of its definition, which is evaluated anew: only the inputs and that output are kept.

    Where the output is eigenvalues, ``unordered``, another rounding may bring those of the definition in another order.
    """

    @staticmethod
    def forward(ctx: Any, solve: Callable[..., Any], definition: Callable[..., Any], pull_back: PullBack | None, unordered: bool, *inputs: Tensor) -> Any:
        outputs = solve(*inputs)

        def first(value: Tensor, *given: Tensor) -> Tensor:
            found = definition(*given)
            found = found[0] if isinstance(found, tuple) else found
            return in_order_of(value, found) if unordered else found

        ctx.definition = first
        ctx.pull_back = pull_back or _pull_back
        value = outputs[0] if isinstance(outputs, tuple) else outputs
        ctx.save_for_backward(*inputs, value)
        ctx.save_for_forward(*inputs, value)
        ctx.set_materialize_grads(False)
        ctx.others = len(outputs) - 1 if isinstance(outputs, tuple) else 0
        if ctx.others:
            ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, *_: Any) -> Grads:
        *inputs, value = ctx.saved_tensors
        return (None, None, None, None, *((None,) * len(inputs) if g is None else ctx.pull_back(ctx.definition, tuple(inputs), value, g)))

    @staticmethod
    @_forward_grad
    def jvp(ctx: Any, _solve: None, _definition: None, _pull: None, _unordered: None, *tangents: Tensor | None) -> Any:
        # the transpose of the transpose, because torch nests no forward derivatives
        *inputs, value = (forward_ad.unpack_dual(x).primal for x in ctx.saved_tensors)  # they carry the tangents of this level
        found, pull = torch.func.vjp(partial(ctx.definition, value), *inputs)[:2]
        given = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(inputs, tangents, strict=True))
        (tangent,) = torch.func.vjp(pull, torch.zeros_like(found))[1](given)
        return (tangent, *(None,) * ctx.others) if ctx.others else tangent
