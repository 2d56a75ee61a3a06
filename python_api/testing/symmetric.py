"""The 18 matrix types and the ratios of LAPACK's symmetric driver test (TESTING/EIG/ddrvst.f, dsyt21.f; zdrvst.f for Hermitian).

Batches are evaluated in 80-bit arithmetic; ``A (b, n, n)``, eigenvalues ``w (b, n)``, eigenvectors ``Z (b, n, n)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from spectral_kernels.api.testing.matrices import Matrix, spectrum


class SymmetricType(NamedTuple):
    kind: str  # zero, identity, diagonal, similar, dense, band
    magnitude: str = "one"  # one, large, small: sqrt(overflow) ulp / n, sqrt(underflow) n / ulp
    spectrum: str = "even"  # even, geometric, clustered


def _in_magnitudes(kind: str) -> list[SymmetricType]:
    return [SymmetricType(kind), SymmetricType(kind, spectrum="geometric"), SymmetricType(kind, spectrum="clustered"), SymmetricType(kind, "large"), SymmetricType(kind, "small")]


SYMMETRIC_TYPES: dict[int, SymmetricType] = dict(
    enumerate(
        [
            SymmetricType("zero"),
            SymmetricType("identity"),
            *_in_magnitudes("diagonal"),
            *_in_magnitudes("similar"),
            *(SymmetricType("dense", m) for m in ("one", "large", "small")),
            *(SymmetricType("band", m) for m in ("one", "large", "small")),
        ],
        start=1,
    )
)


def _gaussian(shape: tuple[int, ...], dtype: np.dtype, rng: Generator) -> Matrix:
    G = rng.standard_normal(shape)
    return G + 1j * rng.standard_normal(shape) if np.issubdtype(dtype, np.complexfloating) else G


def unitary(n: int, dtype: np.dtype, rng: Generator) -> Matrix:
    """A random orthogonal or unitary matrix, Haar-distributed (xLARGE)."""
    q, r = np.linalg.qr(_gaussian((n, n), dtype, rng))
    d = np.diag(r)
    return q * (d / np.abs(d))


def _to_band(A: Matrix, width: int) -> Matrix:
    """Householder similarity to bandwidth ``width``."""
    n = len(A)
    for k in range(n - width - 1):
        x = A[k + width :, k].copy()
        x[0] += np.linalg.norm(x) * (x[0] / abs(x[0]) if x[0] != 0 else 1)
        if not x.any():
            continue
        H = np.eye(len(x)) - 2 * np.outer(x, x.conj()) / np.vdot(x, x)
        A[k + width :] = H @ A[k + width :]
        A[:, k + width :] = A[:, k + width :] @ H.conj().T
    i = np.arange(n)
    return np.where(np.abs(i[:, None] - i[None, :]) <= width, A, 0)


def symmetric_type(number: int, n: int, dtype: np.dtype, rng: Generator) -> Matrix:
    """One symmetric or Hermitian matrix ``(n, n)`` of a DDRVST type."""
    t = SYMMETRIC_TYPES[number]
    info = np.finfo(dtype)
    ulp, tiny, huge = float(info.eps), float(info.tiny), float(info.max)
    d = spectrum(t.spectrum, n, 1 / ulp, rng) * np.where(rng.random(n) > 0.5, -1.0, 1.0)
    U = unitary(n, dtype, rng)
    if t.kind == "zero":
        A = np.zeros((n, n))
    elif t.kind == "identity":
        A = np.eye(n)
    elif t.kind == "diagonal":
        A = np.diag(d)
    elif t.kind == "dense":
        A = _gaussian((n, n), dtype, rng)
        A /= np.abs(A).max()
    else:
        A = (U * d) @ U.conj().T
        if t.kind == "band":
            A = _to_band(A, int(rng.integers(1, max(n, 2))))
    A = np.tril(A) + np.tril(A, -1).conj().T
    A = A - 1j * np.diag(A.diagonal().imag) if np.iscomplexobj(A) else A
    return (A * {"one": 1.0, "large": np.sqrt(huge) * ulp / n, "small": np.sqrt(tiny) * n / ulp}[t.magnitude]).astype(dtype)


def symmetric_batch(n: int, dtype: np.dtype, seeds: int) -> tuple[Matrix, list[str]]:
    """All 18 types, ``seeds`` draws each: ``(18 * seeds, n, n)`` and a name per matrix."""
    draws = [(number, seed) for number in SYMMETRIC_TYPES for seed in range(seeds)]
    matrices = [symmetric_type(number, n, dtype, np.random.default_rng([number, seed, n])) for number, seed in draws]
    return np.stack(matrices), [f"type {number} seed {seed} n {n}" for number, seed in draws]


def _one_norm(A: Matrix) -> Matrix:
    return np.abs(A).sum(-2).max(-1)


def residual_ratio(A: Matrix, w: Matrix, Z: Matrix) -> Matrix:
    """Per matrix: ``|A - Z D Z^H| / (|A| n ulp)``, with DSYT21's guards."""
    info, n = np.finfo(A.dtype), A.shape[-1]
    wide = np.clongdouble if np.iscomplexobj(A) else np.longdouble
    a, z = A.astype(wide), Z.astype(wide)
    anorm = np.maximum(_one_norm(a), np.longdouble(info.tiny))
    error = _one_norm(a - (z * w.astype(np.longdouble)[:, None, :]) @ z.conj().swapaxes(-1, -2))
    ratio = np.where(anorm > error, error / anorm, np.where(anorm < 1, np.minimum(error, n * anorm) / anorm, np.minimum(error / anorm, n)))
    return np.where(np.isfinite(ratio), ratio / (n * float(info.eps)), 1 / float(info.eps)).astype(float)


def orthogonality_ratio(Z: Matrix) -> Matrix:
    """Per matrix: ``|I - Z Z^H| / (n ulp)``."""
    n, ulp = Z.shape[-1], float(np.finfo(Z.dtype).eps)
    z = Z.astype(np.clongdouble if np.iscomplexobj(Z) else np.longdouble)
    error = _one_norm(np.eye(n) - z @ z.conj().swapaxes(-1, -2))
    return np.where(np.isfinite(error), np.minimum(error, n) / (n * ulp), 1 / ulp).astype(float)


def eigenvalue_ratio(w1: Matrix, w2: Matrix) -> Matrix:
    """Per matrix: ``max |d1 - d2| / (max(|d1|, |d2|) ulp)``."""
    info = np.finfo(w1.dtype)
    d1, d2 = w1.astype(np.longdouble), w2.astype(np.longdouble)
    size = np.maximum(np.abs(d1), np.abs(d2)).max(-1)
    error = np.abs(d1 - d2).max(-1) / np.maximum(float(info.eps) * size, np.longdouble(info.tiny))
    return np.where(np.isfinite(error), error, 1 / float(info.eps)).astype(float)
