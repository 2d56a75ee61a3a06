"""The accuracy gate: no figure is printed for a benchmark whose results are wrong.

The inputs are the timed batch and LAPACK's own test types, so that speed cannot be bought by leaving out balancing,
scaling or exceptional shifts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spectral_kernels.api import linalg
from spectral_kernels.api.bench.opponents import Function
from spectral_kernels.api.testing import symmetric
from spectral_kernels.api.testing.matrices import lapack_batch
from spectral_kernels.api.testing.ratios import ddrvev

LIMIT = 20.0  # LAPACK's own; on this many draws LAPACK itself passes 10 (the test suite holds three draws of each type to 10)
LIMIT_TO_TORCH = 1.5


class Ratios(NamedTuple):
    """Worst test ratio (in units of ulp) of the kernels and of torch on the same inputs."""

    ours: float
    torch: float

    def worst(self, other: Ratios) -> Ratios:
        return Ratios(max(self.ours, other.ours), max(self.torch, other.torch))

    def green(self) -> bool:
        return self.ours <= LIMIT and self.ours <= LIMIT_TO_TORCH * self.torch  # NaN is red


Accuracy = Callable[[Function, tuple[Tensor, ...]], Ratios]


class RedGate(RuntimeError):
    """A benchmark gave wrong results, so its time means nothing."""


def _numpy_dtype(dtype: torch.dtype) -> Any:
    return torch.empty(0, dtype=dtype).numpy().dtype


def _hard_cases(n: int, dtype: torch.dtype) -> Tensor:
    """The 21 types of DDRVEV or ZDRVEV ``(b, n, n)``; more draws of small matrices: the worst of few varies by more than ``LIMIT_TO_TORCH``."""
    return torch.from_numpy(lapack_batch(n, _numpy_dtype(dtype), seeds=max(1, 160 // n))[0])


def _hard_symmetric_cases(n: int, dtype: torch.dtype) -> Tensor:
    """The 18 types of DDRVST ``(b, n, n)``."""
    return torch.from_numpy(symmetric.symmetric_batch(n, _numpy_dtype(dtype), seeds=max(1, 160 // n))[0])


def _sample(batch: int, n: int) -> Tensor:
    """Indices spread over the batch, first and last included: 80-bit products are slow, so fewer of large matrices."""
    return torch.linspace(0, batch - 1, min(batch, max(8, 60_000 // n**2))).long()


def _geev_ratio(A: Tensor, w: Tensor, V: Tensor) -> float:
    """The worst of DDRVEV's tests: the residual alone lets zero vectors pass."""
    return float(max(ratio.max() for ratio in ddrvev(A, w, V).values()))


def _torch_ratio(A: Tensor) -> float:
    try:
        return _geev_ratio(A, *torch.linalg.eig(A))
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return float("inf")  # torch gives no result at all: only the absolute limit is left


def _eig_on(function: Function, A: Tensor, picked: Tensor) -> Ratios:
    w, V = function(A)
    return Ratios(_geev_ratio(A[picked], w[picked], V[picked]), _torch_ratio(A[picked]))


def _eigvals_on(function: Function, A: Tensor, picked: Tensor) -> Ratios:
    w, V = linalg.eig(A)
    if not torch.equal(function(A), w):
        return Ratios(float("inf"), _torch_ratio(A[picked]))
    return Ratios(_geev_ratio(A[picked], w[picked], V[picked]), _torch_ratio(A[picked]))


def _heevd_ratio(A: Tensor, w: Tensor, Z: Tensor) -> float:
    """The worst of DDRVST's tests of residual and orthogonality; what is below one ulp counts as one."""
    tests = (symmetric.residual_ratio(A.numpy(), w.numpy(), Z.numpy()), symmetric.orthogonality_ratio(Z.numpy()))
    return max(1.0, *(float(ratio.max()) for ratio in tests))


def _eigh_on(function: Function, A: Tensor, picked: Tensor) -> Ratios:
    w, Z = function(A)
    return Ratios(_heevd_ratio(A[picked], w[picked], Z[picked]), _heevd_ratio(A[picked], *torch.linalg.eigh(A[picked])))


def _eigvalsh_on(function: Function, A: Tensor, picked: Tensor) -> Ratios:
    w, Z = linalg.eigh(A)
    ours = _heevd_ratio(A[picked], w[picked], Z[picked]) if torch.equal(function(A), w) else float("inf")
    return Ratios(ours, _heevd_ratio(A[picked], *torch.linalg.eigh(A[picked])))


On = Callable[[Function, Tensor, Tensor], Ratios]


def _on_batch_and_hard_cases(on: On, function: Function, A: Tensor, hard_cases: Callable[[int, torch.dtype], Tensor] = _hard_cases) -> Ratios:
    """``A (b, n, n)`` as a whole goes through the function, so that the checked results are those of the timed path."""
    hard = hard_cases(A.shape[-1], A.dtype)
    return on(function, A, _sample(len(A), A.shape[-1])).worst(on(function, hard, torch.arange(len(hard))))


def eig_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    """DDRVEV's ratios of eigenvalues and right eigenvectors: residual (DGET22) and normalisation."""
    return _on_batch_and_hard_cases(_eig_on, function, inputs[0])


def eigvals_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    """Eigenvalues alone have no residual: they must be those of `linalg.eig` bit for bit, whose ratios are taken."""
    return _on_batch_and_hard_cases(_eigvals_on, function, inputs[0])


def eigh_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    """DDRVST's ratios of eigenvalues and eigenvectors: residual and orthogonality."""
    return _on_batch_and_hard_cases(_eigh_on, function, inputs[0], hard_cases=_hard_symmetric_cases)


def eigvalsh_accuracy(function: Function, inputs: tuple[Tensor, ...]) -> Ratios:
    """Eigenvalues alone must be those of `linalg.eigh` bit for bit, whose ratios are taken."""
    return _on_batch_and_hard_cases(_eigvalsh_on, function, inputs[0], hard_cases=_hard_symmetric_cases)


def require_green(name: str, ratios: Ratios) -> None:
    """Raises `RedGate` unless the worst ratio is at most ``LIMIT`` and at most ``LIMIT_TO_TORCH`` times torch's."""
    if not ratios.green():
        raise RedGate(
            f"{name}: accuracy gate is red: worst ratio {ratios.ours:.3g}, expected at most {LIMIT:g} and at most "
            f"{LIMIT_TO_TORCH:g} times torch's {ratios.torch:.3g} on the same inputs; nothing is reported"
        )
