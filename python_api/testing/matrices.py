"""Named test matrices: the 21 types of LAPACK's DDRVEV and ZDRVEV, and the adversarial ones.

The types follow TESTING/EIG/ddrvev.f and zdrvev.f with xLATME's construction (TESTING/MATGEN): kind, magnitude, the mode by
which eigenvalues are distributed, and the conditioning of the eigenvector matrix.  Complex types differ in three ways: entries
are uniform in the unit disk, eigenvalues get random phases instead of signs, and there are no 2x2 blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

Matrix = np.ndarray


class LapackType(NamedTuple):
    kind: str  # zero, identity, jordan, diagonal, similar, dense
    magnitude: str = "one"  # one, large, small: max|a| = 1, overflow * ulp, underflow / ulp
    spectrum: str = ""  # even, geometric, clustered, log_uniform
    ill_conditioned: bool = False  # eigenvector matrix of condition 1 / sqrt(ulp) instead of 1


LAPACK_TYPES: dict[int, LapackType] = {
    1: LapackType("zero"),
    2: LapackType("identity"),
    3: LapackType("jordan"),
    4: LapackType("diagonal", "one", "even"),
    5: LapackType("diagonal", "one", "geometric"),
    6: LapackType("diagonal", "one", "clustered"),
    7: LapackType("diagonal", "large", "even"),
    8: LapackType("diagonal", "small", "even"),
    9: LapackType("similar", "one", "even"),
    10: LapackType("similar", "one", "geometric"),
    11: LapackType("similar", "one", "clustered"),
    12: LapackType("similar", "one", "log_uniform"),
    13: LapackType("similar", "one", "even", True),
    14: LapackType("similar", "one", "geometric", True),
    15: LapackType("similar", "one", "clustered", True),
    16: LapackType("similar", "one", "log_uniform", True),
    17: LapackType("similar", "large", "log_uniform", True),
    18: LapackType("similar", "small", "log_uniform", True),
    19: LapackType("dense"),
    20: LapackType("dense", "large"),
    21: LapackType("dense", "small"),
}


def spectrum(name: str, n: int, condition: float, rng: Generator) -> Matrix:
    """DLATM1's distributions of n values in [1/condition, 1]."""
    i = np.arange(n)
    if name == "even":
        return 1 - i / max(n - 1, 1) * (1 - 1 / condition)
    if name == "geometric":
        return condition ** (-i / max(n - 1, 1))
    if name == "clustered":
        d = np.full(n, 1 / condition)
        d[0] = 1
        return d
    if name == "log_uniform":
        return np.exp(-rng.random(n) * np.log(condition))
    raise ValueError(f"spectrum: expected even, geometric, clustered or log_uniform, got {name!r}")


def haar(n: int, rng: Generator, is_complex: bool = False) -> Matrix:
    """A random orthogonal (unitary) matrix, Haar-distributed (xLARGE)."""
    G = rng.standard_normal((n, n))
    if is_complex:
        G = G + 1j * rng.standard_normal((n, n))
    q, r = np.linalg.qr(G)
    return q * (np.diag(r) / np.abs(np.diag(r)))


def entries(n: int, rng: Generator, is_complex: bool) -> Matrix:
    """``(n, n)`` entries uniform in [-1, 1], or in the complex unit disk."""
    if is_complex:
        return np.sqrt(rng.random((n, n))) * np.exp(2j * np.pi * rng.random((n, n)))
    return rng.uniform(-1, 1, (n, n))


def lapack_type(number: int, n: int, dtype: np.dtype, rng: Generator, reducible: bool = False) -> Matrix:
    """One matrix ``(n, n)`` of a DDRVEV or, for a complex dtype, ZDRVEV type.

    ``reducible`` zeroes rows and columns of type 19 as they do (n >= 4).
    """
    t = LAPACK_TYPES[number]
    is_complex = np.issubdtype(dtype, np.complexfloating)
    info = np.finfo(dtype)
    ulp, underflow = float(info.eps), float(info.tiny)
    magnitude = {"one": 1.0, "large": ulp / underflow, "small": underflow / ulp}[t.magnitude]
    signs = np.where(rng.random(n) > 0.5, -1.0, 1.0)
    if t.kind == "zero":
        A = np.zeros((n, n))
    elif t.kind == "identity":
        A = np.eye(n)
    elif t.kind == "jordan":
        A = np.eye(n) + np.eye(n, k=-1)
    elif t.kind == "diagonal":
        A = np.diag(spectrum(t.spectrum, n, 1 / ulp, rng) * signs)
    elif t.kind == "similar":
        A = _similar(t, n, ulp, np.exp(2j * np.pi * rng.random(n)) if is_complex else signs, rng)
    else:
        A = entries(n, rng, is_complex)
        A /= np.abs(A).max()
        if reducible and n >= 4:
            A[:2] = A[-1] = 0
            A[:, 0] = 0
            A[:, -2:] = 0
    return (A * magnitude).astype(dtype)


def _similar(t: LapackType, n: int, ulp: float, signs: Matrix, rng: Generator) -> Matrix:
    """xLATME: X T X^-1 with T upper triangular, if real in mode log_uniform with 2x2 blocks of complex pairs."""
    is_complex = np.iscomplexobj(signs)
    d = spectrum(t.spectrum, n, 1 / ulp, rng) * signs
    T = np.triu(entries(n, rng, is_complex), 1) + np.diag(d / np.abs(d).max())
    if t.spectrum == "log_uniform" and not is_complex:
        for j in range(1, n, 2):
            if rng.random() > 0.5:
                T[j - 1, j], T[j, j - 1] = T[j, j], -T[j, j]
                T[j, j] = T[j - 1, j - 1]
    if t.ill_conditioned:
        U, V, s = haar(n, rng, is_complex), haar(n, rng, is_complex), spectrum("even", n, 1 / np.sqrt(ulp), rng)
        A = U @ (s[:, None] * (V @ T @ V.conj().T) / s[None, :]) @ U.conj().T
    else:
        U = haar(n, rng, is_complex)
        A = U @ T @ U.conj().T
    return A / np.abs(A).max()


def lapack_batch(n: int, dtype: np.dtype, seeds: int) -> tuple[Matrix, list[str]]:
    """All 21 types (19-21 full and reducible), ``seeds`` draws each: ``(24 * seeds, n, n)`` and a name per matrix."""
    matrices, names = [], []
    for number in LAPACK_TYPES:
        for seed in range(seeds):
            for reducible in (False, True) if number >= 19 else (False,):
                rng = np.random.default_rng([number, seed, n])
                matrices.append(lapack_type(number, n, dtype, rng, reducible))
                names.append(f"type {number}{' reducible' if reducible else ''} seed {seed} n {n}")
    return np.stack(matrices), names


def _cyclic(n: int) -> Matrix:
    return np.roll(np.eye(n), 1, axis=0)


def _companion(n: int) -> Matrix:
    """Of x^n - 1, coefficients in the first row."""
    A = np.eye(n, k=-1)
    A[0, -1] = 1
    return A


def _frank(n: int) -> Matrix:
    i = np.arange(n)
    F = n - np.maximum(i[:, None], i[None, :]).astype(float)
    return np.triu(F, -1)


def _grcar(n: int) -> Matrix:
    return -np.eye(n, k=-1) + sum(np.eye(n, k=k) for k in range(4))


def _kahan(n: int) -> Matrix:
    s, c = np.sin(1.2), np.cos(1.2)
    return np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def _wilkinson(n: int) -> Matrix:
    return np.diag(np.abs(np.arange(n) - (n - 1) / 2)) + np.eye(n, k=1) + np.eye(n, k=-1)


def _clement(n: int) -> Matrix:
    i = np.arange(1, n)
    return np.diag(i[::-1].astype(float), -1) + np.diag(i.astype(float), 1)


def _godunov(n: int) -> Matrix:
    """Godunov's 7x7 with eigenvalues 0, +-1, +-2, +-4, wildly ill-conditioned; tiled on a diagonal."""
    G = np.array(
        [
            [289, 2064, 336, 128, 80, 32, 16],
            [1152, 30, 1312, 512, 288, 128, 32],
            [-29, -2000, 756, 384, 1008, 224, 48],
            [512, 128, 640, 0, 640, 512, 128],
            [1053, 2256, -504, -384, -756, 800, 208],
            [-287, -16, 1712, -128, 1968, -30, 2032],
            [-2176, -287, -1565, -512, -541, -1152, -289],
        ],
        dtype=float,
    )
    return np.kron(np.eye(-(-n // 7)), G)[:n, :n]


def _lesp(n: int) -> Matrix:
    i = np.arange(1, n + 1)
    return np.diag(-(2.0 * i + 3)) + np.diag(i[:-1] + 1.0, 1) + np.diag(1 / (i[1:].astype(float)), -1)


def _bessel(n: int) -> Matrix:
    k = np.arange(1, n)
    b = -1.0 / ((2 * k - 1) * (2 * k + 1))
    return np.diag(np.r_[-1.0, np.zeros(n - 1)]) + np.diag(np.sqrt(-b), 1) - np.diag(np.sqrt(-b), -1)


def _swap_blocks(n: int) -> Matrix:
    A = np.zeros((n, n))
    for j in range(0, n - 1, 2):
        A[j, j + 1] = A[j + 1, j] = 1
    return A


def _graded(n: int) -> Matrix:
    s = 2.0 ** np.linspace(0, 60, n)
    return np.random.default_rng(0).standard_normal((n, n)) * s[:, None] / s[None, :]


def _nilpotent(n: int) -> Matrix:
    return np.outer(np.ones(n), (-1.0) ** np.arange(n)) if n % 2 == 0 else np.eye(n, k=1)


ADVERSARIAL: dict[str, Callable[[int], Matrix]] = {
    "cyclic permutation": _cyclic,
    "swap blocks": _swap_blocks,
    "companion of x^n - 1": _companion,
    "Frank": _frank,
    "Grcar": _grcar,
    "Kahan": _kahan,
    "Wilkinson": _wilkinson,
    "Clement": _clement,
    "Godunov": _godunov,
    "Lesp": _lesp,
    "Bessel": _bessel,
    "graded": _graded,
    "Hilbert": lambda n: 1.0 / (np.arange(n)[:, None] + np.arange(n)[None, :] + 1),
    "Vandermonde": lambda n: np.vander(np.linspace(-1, 1, n)),
    "Jordan block": lambda n: 0.5 * np.eye(n) + np.eye(n, k=1),
    "nilpotent shift": lambda n: np.eye(n, k=1),
    "rank-one nilpotent": _nilpotent,
    "all ones": lambda n: np.ones((n, n)),
    "all 1/3": lambda n: np.full((n, n), 1 / 3),
    "lower triangular": lambda n: np.tril(np.random.default_rng(1).standard_normal((n, n))),
    "upper triangular": lambda n: np.triu(np.random.default_rng(2).standard_normal((n, n))),
    "skew": lambda n: (lambda G: G - G.T)(np.random.default_rng(3).standard_normal((n, n))),
    "orthogonal": lambda n: haar(n, np.random.default_rng(4)),
    "denormal": lambda n: np.random.default_rng(5).standard_normal((n, n)) * 1e-310,
    "negative identity": lambda n: -np.eye(n),
}


def _phases(n: int) -> Matrix:
    return np.exp(2j * np.pi * np.random.default_rng(6).random(n))


def _complex_normal(n: int, seed: int) -> Matrix:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))


def _as_complex(real: Callable[[int], Matrix]) -> Callable[[int], Matrix]:
    return lambda n: real(n) + 0j


COMPLEX_ADVERSARIAL: dict[str, Callable[[int], Matrix]] = {
    **{name: _as_complex(real) for name, real in ADVERSARIAL.items()},
    "cyclic permutation times phases": lambda n: _cyclic(n) * _phases(n),
    "cyclic permutation times i": lambda n: 1j * _cyclic(n),
    "swap blocks times phases": lambda n: _swap_blocks(n) * _phases(n)[:, None],
    "companion of x^n - i": lambda n: _companion(n) * np.where(np.arange(n) == n - 1, 1j, 1)[None, :],
    "Jordan block at 1 + i": lambda n: (1 + 1j) * np.eye(n) + np.eye(n, k=1),
    "Jordan block, superdiagonal of phases": lambda n: 0.5j * np.eye(n) + np.diag(_phases(n)[1:], 1),
    "nilpotent of phases": lambda n: np.diag(_phases(n)[1:], -1),
    "rank-one nilpotent of phases": lambda n: np.outer(_phases(n), _nilpotent(n)[0] / _phases(n)) if n % 2 == 0 else np.eye(n, k=1) + 0j,
    "all i": lambda n: np.full((n, n), 1j),
    "all (1 + i)/3": lambda n: np.full((n, n), (1 + 1j) / 3),
    "complex graded": lambda n: _graded(n) * np.exp(1j * np.arange(n * n).reshape(n, n)),
    "complex denormal": lambda n: _complex_normal(n, 7) * 1e-310,
    "complex huge": lambda n: _complex_normal(n, 8) * 1e37,
    "complex tiny": lambda n: _complex_normal(n, 9) * 1e-37,
    "imaginary part far below the real": lambda n: _complex_normal(n, 10).real + 1e-30j * _complex_normal(n, 10).imag,
    "Hermitian": lambda n: (lambda G: G + G.conj().T)(_complex_normal(n, 11)),
    "skew-Hermitian": lambda n: (lambda G: G - G.conj().T)(_complex_normal(n, 12)),
    "complex symmetric": lambda n: (lambda G: G + G.T)(_complex_normal(n, 13)),
    "unitary": lambda n: haar(n, np.random.default_rng(14), True),
    "complex upper triangular": lambda n: np.triu(_complex_normal(n, 15)),
    "complex lower triangular": lambda n: np.tril(_complex_normal(n, 16)),
    "complex Hessenberg": lambda n: np.triu(_complex_normal(n, 17), -1),
}
