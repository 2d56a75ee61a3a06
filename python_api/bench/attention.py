"""The benchmark of attention's eigenvalues: inputs, opponents, accuracy.  The size is the number of positions, the batch the heads."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectral_kernels.api.bench.gate import Ratios
from spectral_kernels.api.bench.opponents import Function, Opponent, on_numpy
from spectral_kernels.api.families import softmax_attention
from spectral_kernels.reference import attention_lse as reference

DEPTH = 64


def heads_per_batch(n: int, threads: int) -> int:
    """Eight heads, one of very long sequences."""
    return 8 if n <= 8192 else 1


def inputs(n: int, batch: int, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Normally distributed q, k, v ``(batch, n, DEPTH)``."""
    return tuple(torch.randn(batch, n, DEPTH, dtype=dtype, generator=generator) for _ in range(3))


def flops(n: int) -> float:
    """One causal product of n queries and n keys; the exponentials are not counted."""
    return 1.0 * DEPTH * n * n


def eigenvalues(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``ln lambda (batch, n)`` of causal attention; v is not needed."""
    return softmax_attention(q.unsqueeze(2), k.unsqueeze(2)).value[..., 0]


def flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same from the log-sum-exp that torch's flash attention returns beside its output; no eigenvalue at the first position."""
    _, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1), 0.0, True)
    return (lse[:, 0, :-1].double() - lse[:, 0, 1:].double()).to(q.dtype)


def released_eigenvalues(q: Tensor, k: Tensor) -> Tensor:
    """``ln lambda (batch, n)`` as the routine released with arXiv:2510.09379 defines it."""
    return softmax_attention(q.unsqueeze(2), k.unsqueeze(2), paper_compat=True).value[..., 0]


def released_routine(q: NDArray[np.float32], k: NDArray[np.float32]) -> NDArray[np.float64]:
    """The released routine, from its description: lambda ``(batch, n - 1)``.

    Scores ``(n, n, heads)`` in the dtype of q; a mask of float64 numbers multiplies them, and from there all is float64.
    """
    n = q.shape[1]
    scores = np.einsum("htd,hsd->tsh", q, k, optimize=True) * np.tril(np.ones((n, n)))[..., None]
    largest = scores.max(1)
    nu = np.nan_to_num(np.exp(scores - largest[:, None])).sum(1)
    return (nu[:-1] / nu[1:] * np.exp(largest[:-1] - largest[1:])).T


FLASH = Opponent("torch", "torch's flash attention, which returns the log-sum-exp and reads the values too", flash, serial=False)
RELEASED = Opponent("paper", "the numpy routine released with arXiv:2510.09379, written anew", on_numpy(released_routine), serial=True)


def _exact(q: Tensor, k: Tensor, positions: Tensor, scale: float, future: bool) -> Tensor:
    """``L (batch, len(positions))`` in float64; with what the released routine adds for future keys."""
    end = positions.expand(len(q), -1) + 1
    lse = reference.attention_lse(q[:, None, positions], k[:, None], torch.zeros_like(end), end, scale=scale)[:, 0]
    return torch.logaddexp(lse, (q.shape[1] - 1 - positions).double().log()) if future else lse


def _errors(found: dict[str, Tensor], q: Tensor, k: Tensor, scale: float, future: bool) -> dict[str, float]:
    """Worst |error| of ``ln lambda (batch, n - 1)`` at up to 64 positions, in ulps of the largest |L|."""
    n = q.shape[1]
    after = torch.linspace(1, n - 1, min(n - 1, 64)).long()
    before, now = (_exact(q, k, positions, scale, future) for positions in (after - 1, after))
    ulp = torch.finfo(q.dtype).eps * max(1.0, float(now.abs().max()))
    return {name: float((log.double()[:, after - 1] - (before - now)).abs().max()) / ulp for name, log in found.items()}


def _hard_cases(q: Tensor, k: Tensor) -> list[tuple[Tensor, Tensor]]:
    """As timed, uniform, and with logits of a thousand."""
    return [(q, k), (torch.zeros_like(q), k), (100 * q, k)]


def accuracy(function: Function, tensors: tuple[Tensor, ...]) -> Ratios:
    """Errors of the logarithms of the eigenvalues, ours and flash attention's."""
    worst, v = Ratios(0.0, 0.0), tensors[2]
    for q, k in _hard_cases(*tensors[:2]):
        errors = _errors({"ours": function(q, k, v)[:, 1:], "torch": flash(q, k, v)}, q, k, DEPTH**-0.5, future=False)
        worst = worst.worst(Ratios(errors["ours"], errors["torch"]))
    return worst


def released_accuracy(function: Function, tensors: tuple[Tensor, ...]) -> Ratios:
    """Errors of ours and of the released routine against its definition; without the hard cases, where it overflows."""
    q, k = tensors
    released = torch.from_numpy(released_routine(q.numpy(), k.numpy())).log()
    errors = _errors({"ours": function(q, k)[:, 1:], "paper": released}, q, k, 1.0, future=True)
    return Ratios(errors["ours"], errors["paper"])
