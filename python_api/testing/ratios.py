"""LAPACK's test ratios for a batch, evaluated in 80-bit arithmetic (TESTING/EIG/ddrvev.f, zdrvev.f, dget22.f)."""

from __future__ import annotations

import numpy as np
import torch

WIDE = np.clongdouble


def _prescaled(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A times a power of two per matrix, so that no norm over- or underflows, and the factor."""
    peak = np.abs(A.astype(WIDE)).max(axis=(-2, -1))
    exponent = np.floor(np.log2(np.where(peak > 0, peak, 1)))
    factor = np.ldexp(np.longdouble(1), (-exponent).astype(int))
    return A.astype(WIDE) * factor[:, None, None], factor


def dget22(A: np.ndarray, V: np.ndarray, w: np.ndarray, transpose: bool = False) -> np.ndarray:
    """Per matrix: ``|A V - V W| / (|A| |V| ulp)`` in the 1-norm, with DGET22's guards; ``transpose`` for ``A^H V = V W^H``."""
    info = np.finfo(A.dtype)
    ulp, tiny = float(info.eps), np.longdouble(info.tiny)
    a, factor = _prescaled(A)
    lam = w.astype(WIDE) * factor[:, None]
    if transpose:
        a, lam = a.conj().swapaxes(-1, -2), lam.conj()
    v = V.astype(WIDE)
    anorm = np.maximum(np.abs(a).sum(-2).max(-1), tiny * factor)
    vnorm = np.maximum(np.abs(v).sum(-2).max(-1), ulp)
    error = np.abs(a @ v - v * lam[:, None, :]).sum(-2).max(-1) / vnorm
    ratio = np.minimum(error / anorm, 1) / ulp
    return np.where(np.isfinite(ratio), ratio, 1 / ulp).astype(float)


def normalization(V: np.ndarray, w: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Per matrix: ``max_j | |v_j|_2 - 1 | / ulp``, and 1/ulp where the largest component of a complex vector is not real.

    ``dtype`` is that of the matrices: of a real one only the vectors of non-real eigenvalues are complex.
    """
    ulp = float(np.finfo(dtype).eps)
    v = V.astype(WIDE)
    size = np.abs(v)
    ratio = np.abs(np.sqrt((size**2).sum(-2)) - 1).max(-1) / ulp
    real_part = np.where(v.imag == 0, np.abs(v.real), 0).max(-2)
    rotated = ((w.imag != 0) | np.issubdtype(dtype, np.complexfloating)) & ~(real_part >= size.max(-2) * (1 - 2 * ulp))
    return np.where(rotated.any(-1), 1 / ulp, ratio).astype(float)


def residual(A: torch.Tensor, w: torch.Tensor, V: torch.Tensor) -> float:
    """Worst of ``|A V - V W|_1 / (|A|_1 |V|_1 ulp)`` over a batch in complex128: DGET22 for matrices far from over- and underflow."""
    ulp = torch.finfo(A.dtype).eps
    A, w, V = (x.detach().cpu().to(torch.complex128) for x in (A, w, V))
    error = torch.linalg.matrix_norm(A @ V - V * w[..., None, :], 1)
    ratio = error / torch.linalg.matrix_norm(A, 1) / torch.linalg.matrix_norm(V, 1) / ulp
    return float(ratio.max())  # NaN stays NaN, and `NaN <= limit` is False


def ddrvev(A: torch.Tensor, w: torch.Tensor, VR: torch.Tensor | None = None, VL: torch.Tensor | None = None) -> dict[str, np.ndarray]:
    """DDRVEV's (ZDRVEV's) tests 1 to 4 for a batch; its tests 5 to 7 (equality from job to job) compare tensors directly."""
    a, lam = A.numpy(), w.numpy()
    out = {}
    if VR is not None:
        out["right"] = dget22(a, VR.numpy(), lam)
        out["right norm"] = normalization(VR.numpy(), lam, a.dtype)
    if VL is not None:
        out["left"] = dget22(a, VL.numpy(), lam, transpose=True)
        out["left norm"] = normalization(VL.numpy(), lam, a.dtype)
    return out
