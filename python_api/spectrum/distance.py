"""How far two spectra are apart: excess over a baseline, Wasserstein and Jensen-Shannon distances."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from spectral_kernels.api.spectrum.spectrum import Spectrum
from spectral_kernels.api.spectrum.statistics import centres
from spectral_kernels.reference import sketch as layout


class Excess(NamedTuple):
    """Shares of the paper's bins less those of the baseline: ``radius (*shape, 7)``, ``phase (*shape, 5)``."""

    radius: Tensor
    phase: Tensor


class Comparison(NamedTuple):
    """`excess`, `wasserstein` over ``ln|lambda|`` and `jensen_shannon` of ``|lambda|``."""

    excess: Excess
    wasserstein: Tensor
    jensen_shannon: Tensor


def _aligned(a: Spectrum, b: Spectrum) -> Spectrum:
    """`b` with the group axes of `a`, of size 1 where it has none: what it has must be there in `a`, of the same size."""
    known = dict(zip(a.names, a.shape, strict=True))
    if any(known.get(name) != size for name, size in zip(b.names, b.shape, strict=True)):
        raise ValueError(f"expected a second spectrum whose group axes are some of {known}, got {dict(zip(b.names, b.shape, strict=True))}")
    if b.names != tuple(name for name in a.names if name in b.names):
        raise ValueError(f"expected the group axes in the order {a.names}, got {b.names}")
    if "bucket" in b.names and a.buckets != b.buckets:
        raise ValueError(f"expected the same position buckets, got {a.buckets} and {b.buckets}")
    index = tuple(slice(None) if name in b.names else None for name in a.names)
    return Spectrum._of(a.names, a.buckets, *(t[index].to(a.device) for t in (b.counts, b.sums, b.extremes)))


def excess(spectrum: Spectrum, baseline: Spectrum) -> Excess:
    """The shares of the paper's bins less those of a baseline, whose group axes may be fewer: it then serves all groups.

    Raises:
        ValueError: where the groups do not fit.

    >>> import torch, spectral_kernels as sk
    >>> s = sk.Spectrum().update(torch.tensor([[0.95], [2.0]]))
    >>> sk.spectrum.excess(s, sk.spectrum.uniform_attention(512)).radius.round(decimals=3).tolist()
    [0.0, 0.0, -0.016, -0.484, 0.5, 0.0, 0.0]
    """
    ours, theirs = spectrum.bins().fractions, _aligned(spectrum, baseline).bins().fractions
    return Excess(ours.radius - theirs.radius, ours.phase - theirs.phase)


def _shares(counts: Tensor) -> Tensor:
    return counts.double() / counts.sum(-1, keepdim=True)


def _cumulative(spectrum: Spectrum) -> Tensor:
    """The distribution function at every bin of the modulus axis: of integers, so that it ends at 1 exactly."""
    counts = spectrum.modulus().counts.cpu().cumsum(-1)
    return counts.double() / counts[..., -1:]


def wasserstein(a: Spectrum, b: Spectrum, of: Literal["modulus", "log_modulus", "log_horizon"] = "log_modulus") -> Tensor:
    """The 1-Wasserstein distance of every group, float64, from the fine histograms: how far eigenvalues must move, on average.

    - "modulus": in ``|lambda|``, off by 0.012 at most where all ``|lambda| <= 1``;
    - "log_modulus": in ``ln|lambda|``, held to [-256, 256], lambda = 0 at -256; off by the mean of ``|ln|lambda||`` over both, divided by 64, at most;
    - "log_horizon": in the log of the horizon, held to [2^-8, 2^32] tokens, ``|lambda| >= 1`` at the end; off by 0.032 at most.

    The group axes of `b` may be fewer than those of `a`.  NaN where a group has no eigenvalue.

    Raises:
        ValueError: where the groups do not fit, or for another `of`.

    >>> import torch, spectral_kernels as sk
    >>> s, t = (sk.Spectrum().update(torch.tensor([[x]])) for x in (0.5, 0.9))
    >>> sk.spectrum.wasserstein(s, t, of="modulus").round(decimals=1).item()
    0.4
    """
    logs = centres()
    if of == "modulus":
        at = logs.exp()
    elif of == "log_modulus":
        at = logs.clamp(-layout.LOG_LIMIT, layout.LOG_LIMIT)
    elif of == "log_horizon":
        at = torch.where(logs < 0, -logs.abs().log(), math.inf).clamp(*(math.log(h) for h in layout.HORIZON_RANGE))
    else:
        raise ValueError(f"wasserstein: expected of = modulus, log_modulus or log_horizon, got {of!r}")
    p, q = _cumulative(a), _cumulative(_aligned(a, b))
    return ((p - q)[..., :-1].abs() * at.diff()).sum(-1)


def jensen_shannon(a: Spectrum, b: Spectrum, of: Literal["modulus", "radius", "phase", "plane"] = "modulus") -> Tensor:
    """The Jensen-Shannon divergence of every group in bits, from 0 to 1, of a histogram of both: the fine one of ``|lambda|``, the bins of the
    paper, or the complex plane.

    The group axes of `b` may be fewer than those of `a`.  NaN where a group has no eigenvalue.  Finer bins see more, and need more eigenvalues:
    k samples of one distribution in m bins are about ``m / (4 k)`` apart.

    Raises:
        ValueError: where the groups do not fit, or for another `of`.

    >>> import torch, spectral_kernels as sk
    >>> s, t = (sk.Spectrum().update(torch.tensor([[x]])) for x in (0.5, 0.9))
    >>> sk.spectrum.jensen_shannon(s, t).item(), sk.spectrum.jensen_shannon(s, s).item()
    (1.0, 0.0)
    """
    histograms = {
        "modulus": lambda s: s.modulus().counts,
        "radius": lambda s: s.bins().radius,
        "phase": lambda s: s.bins().phase,
        "plane": lambda s: s.plane().counts.flatten(-2),
    }
    if of not in histograms:
        raise ValueError(f"jensen_shannon: expected of = {', '.join(histograms)}, got {of!r}")
    p, q = _shares(histograms[of](a)), _shares(histograms[of](_aligned(a, b)))
    middle = (p + q) / 2
    return (_entropy(middle) - (_entropy(p) + _entropy(q)) / 2).clamp(0, 1)


def _entropy(p: Tensor) -> Tensor:
    """In bits."""
    return -torch.special.xlogy(p, p).sum(-1) / math.log(2)


def compare(spectrum: Spectrum, baseline: Spectrum) -> Comparison:
    """A spectrum against a baseline, such as `uniform_attention`, the model before training, or the same on shuffled input.

    Raises:
        ValueError: where the groups do not fit.

    >>> import torch, spectral_kernels as sk
    >>> s = sk.Spectrum().update(torch.rand(100, 4))
    >>> sk.spectrum.compare(s, s).wasserstein.item()
    0.0
    """
    return Comparison(excess(spectrum, baseline), wasserstein(spectrum, baseline), jensen_shannon(spectrum, baseline))
