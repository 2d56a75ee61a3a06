r"""Eigenvalues and eigenvectors of a diagonal plus a rank-one matrix, in double precision.

By the matrix determinant lemma, with :math:`p_i = b_i c_i`,

.. math:: \det(\mathrm{diag}(d) + b c^T - \lambda I) = \prod_i (d_i - \lambda) \; f(\lambda), \qquad f(\lambda) = 1 + \sum_i \frac{p_i}{d_i - \lambda},

so the spectrum depends on d and p alone.  Where d is real and p has one sign, it is that of the symmetric
:math:`\mathrm{diag}(d) \pm u u^T`, :math:`u_i = \sqrt{|p_i|}`: real, and interlaced with d.  For :math:`p \ge 0` and ascending d

.. math:: d_i \le \lambda_i \le d_{i+1}, \qquad d_n \le \lambda_n \le d_n + \sum_i p_i,

and f increases on every interval, so bisection finds each root on its own; :math:`p \le 0` is the same with the signs of d, p and
:math:`\lambda` changed.  Every root is kept as a pole :math:`d_o` and an offset :math:`\lambda - d_o` from it, so that
:math:`d_i - \lambda = (d_i - d_o) - (\lambda - d_o)` keeps its relative accuracy however near the root lies to a pole.

:math:`A x = \lambda x` reads :math:`(d_i - \lambda) x_i = -b_i \, c^T x`: the right eigenvectors are :math:`(D - \lambda)^{-1} b`, the left ones
:math:`(D - \lambda)^{-1} c`.  An entry of d that is repeated, or whose p is 0, is an eigenvalue itself, with offset 0 (deflation): its
vectors lie in the null space of :math:`A - d_i I`.

Reference: J. R. Bunch, C. P. Nielsen and D. C. Sorensen, Rank-one modification of the symmetric eigenproblem, Numer. Math. 31 (1978).
"""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.reference.eig import eig_matrix

Roots = tuple[Tensor, Tensor, Tensor]


def _f(d: Tensor, p: Tensor, origin: Tensor, offset: Tensor) -> Tensor:
    """f at ``d[origin] + offset (..., n)``; terms without weight are 0, at their own pole too."""
    distance = (d[..., None, :] - d.gather(-1, origin)[..., None]) - offset[..., None]
    weight = p[..., None, :].expand(distance.shape)
    return 1 + torch.where(weight == 0, 0.0, weight / distance).sum(-1)


def secular(d: Tensor, p: Tensor) -> Roots:
    """Same contract as the op ``spectral_kernels::secular``: all roots at once, by bisection in double precision.

    ``d`` and ``p (..., n)`` real, p of one sign in every matrix -> eigenvalues ``(..., n)`` ascending, origin ``(..., n)`` indices of
    entries of d, offset ``(..., n)`` with ``eigenvalue = d[origin] + offset``.  NaN where an entry is not finite or p has both signs.
    """
    dtype, n = d.dtype, d.shape[-1]
    if n == 0:
        return torch.empty_like(d), torch.empty_like(d, dtype=torch.int64), torch.empty_like(d)
    d, p = d.double(), p.double()
    good = (d.isfinite() & p.isfinite()).all(-1, keepdim=True) & ~((p > 0).any(-1, keepdim=True) & (p < 0).any(-1, keepdim=True))
    sign = 1 - 2 * (p < 0).any(-1, keepdim=True).double()
    scale = torch.maximum(d.abs(), p.abs()).amax(-1, keepdim=True)
    scale = torch.where(good & (scale > 0), scale, 1.0).frexp().exponent.clamp(-1000, 1000).double().exp2()  # exact: distances stay
    given, d, p = d, torch.where(good, d * sign / scale, 0.0), torch.where(good, p.abs() / scale, 0.0)
    d, order = d.sort(dim=-1, stable=True)
    p = p.gather(-1, order)

    # the nearer pole of each interval, by the sign of f in its middle
    width = torch.cat([d.diff(dim=-1), p.sum(-1, keepdim=True)], -1)
    left = torch.arange(n, device=d.device).expand(d.shape)
    in_left = (_f(d, p, left, width / 2) >= 0) | (left == n - 1)
    origin = torch.where(in_left, left, (left + 1).clamp(max=n - 1))
    side = 2 * in_left.double() - 1
    high = torch.where(left == n - 1, width, width / 2)

    # a pole without weight, or an interval without width, is a root itself
    weight_there = torch.where(d[..., None, :] == d.gather(-1, origin)[..., None], p[..., None, :], 0.0).sum(-1)
    at_pole = side * _f(d, p, origin, torch.zeros_like(d))
    deflated = (width == 0) | ((weight_there == 0) & (at_pole >= 0))
    tiny = torch.finfo(torch.float64).tiny
    low, high = torch.full_like(d, tiny), high.clamp(min=tiny)
    for _ in range(80):  # the logarithm is halved until the ends are within a factor of 2
        middle = torch.where(high > 2 * low, low.sqrt() * high.sqrt(), (low + high) / 2)
        beyond = side * _f(d, p, origin, side * middle) > 0
        low, high = torch.where(beyond, low, middle), torch.where(beyond, middle, high)
    offset = torch.where(deflated, 0.0, side * low * sign * scale)

    origin = order.gather(-1, origin)
    eigenvalues = given.gather(-1, origin) + offset
    eigenvalues, ascending = torch.where(good, eigenvalues, torch.nan).sort(dim=-1, stable=True)
    offset = torch.where(good, offset.gather(-1, ascending), torch.nan)
    return eigenvalues.to(dtype), origin.gather(-1, ascending), offset.to(dtype)


def _null_vectors(d: Tensor, b: Tensor, c: Tensor, i: int) -> Tensor:
    """Columns that span the null space of ``diag(d) + b c^T - d_i I``, of one matrix."""
    A = torch.diag(d - d[i]) + torch.outer(b, c)
    _, values, rows = torch.linalg.svd(A)
    threshold = 64 * len(d) * torch.finfo(A.dtype).eps * (values[0] if len(values) else 1)
    return rows[int((values > threshold).sum()) :].mH


def _vectors(d: Tensor, b: Tensor, c: Tensor, origin: Tensor, offset: Tensor) -> Tensor:
    """Right eigenvectors ``(n, n)`` of one matrix."""
    V = b[:, None] / ((d[:, None] - d[origin]) - offset)
    for j in (offset == 0).nonzero()[:, 0].tolist():
        equal = ((offset == 0) & (d[origin] == d[origin[j]])).nonzero()[:, 0].tolist()
        null = _null_vectors(d, b, c, int(origin[j]))
        V[:, j] = null[:, equal.index(j) % null.shape[1]]  # a defective eigenvalue has fewer vectors: repeated
    return V / torch.linalg.vector_norm(V, dim=0)


def secular_eig(d: Tensor, b: Tensor, c: Tensor, left: bool, right: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Same contract as the op ``spectral_kernels::secular_eig``; every matrix on its own, in double precision.

    ``d``, ``b``, ``c (..., n)`` real, b c of one sign -> eigenvalues ``(..., n)`` ascending, right and left eigenvectors ``(..., n, n)`` or
    ``(0,)``, real and of 2-norm 1, info ``(...)``: 0, or n + 1 and NaN for a matrix that holds NaN or Inf or has both signs.
    """
    n, batch = d.shape[-1], d.shape[:-1]
    wide = [x.double().reshape(batch.numel(), n) for x in (d, b, c)]
    w, origin, offset = secular(wide[0], wide[1] * wide[2])
    bad = ~(w.isfinite().all(-1) & wide[1].isfinite().all(-1) & wide[2].isfinite().all(-1))
    w = torch.where(bad[:, None], torch.nan, w)
    sides = []
    for wanted, x, y in ((right, wide[1], wide[2]), (left, wide[2], wide[1])):
        V = d.new_full((len(w), n, n) if wanted else (0,), torch.nan)
        for m in (~bad).nonzero()[:, 0].tolist() if wanted else []:
            V[m] = _vectors(wide[0][m], x[m], y[m], origin[m], offset[m]).to(d.dtype)
        sides.append(V.reshape(*batch, n, n) if wanted else V)
    info = torch.where(bad, n + 1, 0).to(torch.int32).reshape(batch)
    return w.to(d.dtype).reshape(d.shape), sides[0], sides[1], info


def _complex_matrix(d: Tensor, p: Tensor) -> Roots:
    """One matrix: what is repeated in d or has no weight is an eigenvalue, and the rest a dense eigenproblem."""
    first = (d[:, None] == d).int().argmax(-1)  # of the entries that equal each one
    weight = torch.zeros_like(p).index_add(0, first, p)
    pole = weight != 0
    poles, entries = pole.nonzero()[:, 0], (~pole).nonzero()[:, 0]
    w, _, _, info = eig_matrix(torch.diag(d[poles]) + weight[poles], False, False)
    origin = torch.cat([poles[(d[poles] - w[:, None]).abs().argmin(-1)] if len(poles) and info == 0 else poles, entries])
    eigenvalues = torch.cat([w, d[entries]])
    return eigenvalues, origin, eigenvalues - d[origin]


def secular_complex(d: Tensor, p: Tensor) -> Roots:
    """Same contract as the op ``spectral_kernels::secular_complex``; every matrix on its own, in double precision.

    ``d`` and ``p (..., n)`` real or complex, of any signs -> eigenvalues ``(..., n)`` complex, in no particular order, origin ``(..., n)`` indices of the
    nearest entries of d, offset ``(..., n)`` with ``eigenvalue = d[origin] + offset``.  NaN where an entry is not finite.
    """
    dtype, n, count = d.dtype.to_complex(), d.shape[-1], d.shape[:-1].numel()
    wide = [x.to(torch.complex128).reshape(count, n) for x in (d, p)]
    parts = [torch.full_like(wide[0], complex("nan+nanj")), torch.zeros_like(wide[0], dtype=torch.int64), torch.full_like(wide[0], complex("nan+nanj"))]
    for m, (dm, pm) in enumerate(zip(*wide, strict=True)):
        if n and bool((dm.isfinite() & pm.isfinite()).all()):
            for part, value in zip(parts, _complex_matrix(dm, pm), strict=True):
                part[m] = value
    eigenvalues, origin, offset = (part.reshape(d.shape) for part in parts)
    return eigenvalues.to(dtype), origin, offset.to(dtype)
