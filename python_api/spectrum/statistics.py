"""What a sketch tells: counts, histograms, moments and quantiles of every group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spectral_kernels.reference import sketch as layout


class Bins(NamedTuple):
    """Counts in the paper's bins, half-open: ``radius (*shape, 7)``, `RADIUS_EDGES`, and ``phase (*shape, 5)``, `PHASE_EDGES`."""

    radius: Tensor
    phase: Tensor

    @property
    def fractions(self) -> Bins:
        """Shares of the finite eigenvalues, float64; NaN where there is none."""
        return Bins(*(counts.double() / counts.sum(-1, keepdim=True) for counts in self))


RADIUS_EDGES = (0.0, *layout.RADII, math.inf)  # of |lambda|: [0, .1), [.1, .5), [.5, .9), [.9, 1), [1, 10), [10, 100), [100, inf)
PHASE_EDGES = (0.0, *layout.PHASES, 180.0)  # of |arg lambda| in degrees: [0, 1), [1, 10), [10, 45), [45, 90), [90, 180]; lambda = 0 has phase 0


class Histogram(NamedTuple):
    """``counts (*shape, k)`` between ``edges (k + 1)``, ascending, float64; a bin without width holds one value exactly."""

    edges: Tensor
    counts: Tensor


class Plane(NamedTuple):
    """Histogram of the complex plane, ``counts (*shape, rings, sectors)``.

    ``radius (rings + 1)`` are the edges of the rings, from 0 to inf; sector s reaches from ``degrees[s]`` to ``degrees[s + 1]``, so that the first
    is centred on the positive real axis.
    """

    radius: Tensor
    degrees: Tensor
    counts: Tensor


class Statistics:
    """Statistics of a sketch's state.  All are tensors ``(*shape, ...)`` with `shape` that of the groups; counts are int64, the rest float64.

    A count of eigenvalues includes their multiplicity.  All but `nonfinite` concern the finite ones.
    """

    counts: Tensor
    sums: Tensor
    extremes: Tensor

    # Counts

    @property
    def _axis(self) -> Tensor:
        return self.counts[..., : layout.BINS]

    def _tally(self, name: str) -> Tensor:
        return self.counts[..., layout.TALLY_AT + layout.TALLIES.index(name)]

    @property
    def count(self) -> Tensor:
        """The finite eigenvalues."""
        return self._axis.sum(-1)

    @property
    def nonfinite(self) -> Tensor:
        """NaN or Inf."""
        return self._tally("nonfinite")

    @property
    def real(self) -> Tensor:
        """With an imaginary part of exactly 0, as real solvers return real eigenvalues."""
        return self._tally("real")

    @property
    def negative(self) -> Tensor:
        """Real and below 0."""
        return self._tally("negative")

    @property
    def suspect(self) -> Tensor:
        """Suspected to be defective: marked so by whoever added them."""
        return self._tally("suspect")

    @property
    def zero(self) -> Tensor:
        return self.counts[..., 0]

    @property
    def one(self) -> Tensor:
        """``|lambda| = 1`` exactly, as the delta rules have it."""
        return self.counts[..., layout.ONE]

    @property
    def unstable(self) -> Tensor:
        """``|lambda| > 1``."""
        return self.counts[..., layout.ONE + 1 : layout.BINS].sum(-1)

    # Histograms

    def bins(self) -> Bins:
        """The paper's bins of ``|lambda|`` and of the phase.  Exact: the counts of a comparison of every value with the edges.

        >>> import torch, spectral_kernels as sk
        >>> sk.Spectrum().update(torch.tensor([[0.05, 0.9, 1.0, -0.3]])).bins().radius.tolist()
        [1, 1, 0, 1, 1, 0, 0]
        """
        starts = layout.radius_starts()
        radius = torch.stack([self.counts[..., a:b].sum(-1) for a, b in itertools.pairwise(starts)], -1)
        return Bins(radius, self.counts[..., layout.PHASE_AT : layout.PLANE_AT].clone())

    def modulus(self) -> Histogram:
        """The fine histogram of ``|lambda|``, all bins there are: a 32nd of an octave of ``|ln|lambda||``, so 3 % of it or less.

        lambda = 0 and ``|lambda| = 1`` have bins of their own.
        """
        return Histogram(layout.log_edges().exp(), self._axis.clone())

    def gap(self) -> Histogram:
        """The same histogram over ``1 - |lambda|``: logarithmic on both sides of 0, down to 2^-32."""
        return Histogram(-torch.expm1(layout.log_edges()).flip(-1), self._axis.flip(-1))

    def horizon(self) -> Histogram:
        """The same over the horizon ``-1 / ln|lambda|`` in tokens, from 0 for lambda = 0; the last bin, at inf, holds ``|lambda| >= 1``."""
        logs = layout.log_edges()[: layout.ONE + 1]
        edges = torch.cat([-1 / logs[:-1], torch.tensor([math.inf, math.inf], dtype=torch.float64)])
        endless = self.counts[..., layout.ONE : layout.BINS].sum(-1, keepdim=True)
        return Histogram(edges, torch.cat([self.counts[..., : layout.ONE], endless], -1))

    def plane(self) -> Plane:
        """The complex plane in rings and sectors of 5 degrees."""
        counts = self.counts[..., layout.PLANE_AT : layout.TALLY_AT].unflatten(-1, (layout.RINGS, layout.SECTORS)).clone()
        degrees = (torch.arange(layout.SECTORS + 1, dtype=torch.float64) - 0.5) * 360 / layout.SECTORS
        return Plane(layout.ring_edges(), degrees, counts)

    # Moments

    def _sum(self, name: str) -> np.ndarray:
        """The exact sum in units of 2^-48, Python integers."""
        limbs = self.sums[..., layout.SUMS.index(name), :].cpu().numpy().astype(object)
        return np.asarray((limbs[..., 0] * 2**32 + limbs[..., 1]) * 2**32 + limbs[..., 2], dtype=object)

    def _ratio(self, numerator: np.ndarray, denominator: np.ndarray) -> Tensor:
        pairs = zip(np.ravel(numerator), np.ravel(denominator), strict=True)
        return torch.tensor([n / d if d else math.nan for n, d in pairs], dtype=torch.float64).reshape(self.count.shape)  # integers: rounded once

    def _moments(self, name: str, count: Tensor) -> tuple[Tensor, Tensor]:
        number, unit = count.cpu().numpy().astype(object), 2**48
        first, second = self._sum(name), self._sum(f"{name}2")
        return self._ratio(first, number * unit), self._ratio(second * number * unit - first * first, number * number * unit * unit).clamp(min=0)

    @property
    def mean(self) -> Tensor:
        """Of ``|lambda|``, each held to 2^20 at most (`largest` tells) and rounded to 2^-48."""
        return self._moments("modulus", self.count)[0]

    @property
    def variance(self) -> Tensor:
        """Of ``|lambda|``, of the same terms; of the population."""
        return self._moments("modulus", self.count)[1]

    @property
    def std(self) -> Tensor:
        return self.variance.sqrt()

    @property
    def mean_log(self) -> Tensor:
        """Of ``ln|lambda|``, each held to [-256, 256]; -inf where an eigenvalue is 0.  Over a sequence of scalars this is the exponent of what is left of the first state."""
        return torch.where(self.zero > 0, -math.inf, self._moments("log", self.count - self.zero)[0].to(self.zero.device))

    @property
    def variance_log(self) -> Tensor:
        """Of ``ln|lambda|`` of the eigenvalues that are not 0, of the same terms."""
        return self._moments("log", self.count - self.zero)[1]

    @property
    def geometric_mean(self) -> Tensor:
        """``exp(mean_log)``."""
        return self.mean_log.exp()

    @property
    def smallest(self) -> Tensor:
        """``|lambda|``; NaN where there is no eigenvalue."""
        return self.extremes[..., 0].masked_fill(self.count.to(self.extremes.device) == 0, math.nan)

    @property
    def largest(self) -> Tensor:
        """``|lambda|``; NaN where there is no eigenvalue."""
        return self.extremes[..., 1].masked_fill(self.count.to(self.extremes.device) == 0, math.nan)

    # Quantiles

    def quantile(self, q: float | Sequence[float]) -> Tensor:
        """Quantiles of ``|lambda|``: for q in [0, 1] the value of rank ``ceil(q count)`` (numpy's "inverted_cdf"), ``(*shape)`` or ``(*shape, len(q))``.

        ``ln|lambda|``, and so the horizon, is off by 1/64 of itself at most where ``2^-32 <= |ln|lambda|| <= 256``: ``|lambda| < 1`` by 0.006.  NaN where there is
        no eigenvalue.

        Raises:
            ValueError: unless every q is in [0, 1].

        >>> import torch, spectral_kernels as sk
        >>> sk.Spectrum().update(torch.linspace(0.01, 0.99, 99)[None]).quantile(0.5).round(decimals=2).item()
        0.5
        """
        wanted = torch.tensor(q, dtype=torch.float64)
        if wanted.dim() > 1 or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ValueError(f"Spectrum.quantile: expected numbers in [0, 1], got {q}")
        cumulative = self._axis.cumsum(-1).cpu()
        count = cumulative[..., -1:]
        rank = (wanted.reshape(-1) * count).ceil().clamp(min=1).long()
        bins = torch.searchsorted(cumulative, rank.contiguous()).clamp(max=layout.BINS - 1)
        low, high = self.extremes[..., :1].cpu(), self.extremes[..., 1:].cpu()
        values = torch.minimum(torch.maximum(centres().exp()[bins], low), high).masked_fill(count == 0, math.nan)
        return values if wanted.dim() else values[..., 0]

    def median(self) -> Tensor:
        """``quantile(0.5)``."""
        return self.quantile(0.5)


def centres() -> Tensor:
    """``(bins)`` float64, ``ln|lambda|`` in the middle of every bin of the modulus axis: what stands for the eigenvalues in it."""
    edges = layout.log_edges()
    low, high = edges[:-1].clone(), edges[1:].clone()
    low[1], high[-1] = high[1], low[-1]  # of the outermost the inner end
    middle = (low + high) / 2
    middle[0] = -math.inf
    return middle
