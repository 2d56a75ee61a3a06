"""The sketch of a set of eigenvalues: what is counted and summed, and from which edges on.

A sketch is integers and two extremes, so that sketches add up exactly, in any order and grouping.  Its state, a row per group:

- ``counts (R, COLUMNS)`` int64, in this order: the modulus axis, phases, plane, `TALLIES`;
- ``sums (R, 4, 3)`` int64: of `SUMS` over the finite eigenvalues, fixed point in units of 2^-48: three limbs of 32 bits, of which the
  first bears the sign, not normalised.  A term is rounded once, to half a unit;
- ``extremes (R, 2)`` float64: the smallest and the largest ``|lambda|``, inf and -inf where there is none.

**Modulus axis.**  Bins of ``h = |ln|lambda||``, the inverse of the horizon, on a logarithmic scale: every octave [2^k, 2^(k+1)) in 32 equal parts for
-32 <= k < 8, one bin for all below and one for all above, on both sides of ``|lambda| = 1``; lambda = 0 and ``|lambda| = 1`` have bins of their own.
The inner edges of the radius bins, `RADII`, split the bins that they fall into, so that the radius bins are sums of slices.  In
ascending order of ``|lambda|`` an eigenvalue's bin is the number of edges <= its magnitude; `edges` gives them in the dtype of the values, such that

- the fine edges, ``exp(-h)`` or ``exp(h)``, are compared as the real numbers they are (rounded up);
- those of `RADII` are rounded to the dtype, as ``values.abs() >= 0.9`` has it: float32(0.9) lies in [0.9, 1).

The magnitude that is compared is ``|lambda|`` in the dtype of real values, ``re^2 + im^2`` in float64 of complex ones, and ``ln|lambda|`` where the logarithms
are given.  **Phases** count ``|arg lambda|`` by `PHASES`, in degrees; **plane** is the modulus axis, coarsened to `RINGS` rings, times `SECTORS` sectors of
the angle, of which number s is centred on ``360 s / SECTORS`` degrees: an angle lies past an edge e where ``|im| cos e - re sin e >= 0``.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from functools import cache

import torch
from torch import Tensor

RADII = (0.1, 0.5, 0.9, 1.0, 10.0, 100.0)
PHASES = (1.0, 10.0, 45.0, 90.0)
TALLIES = ("real", "negative", "suspect", "nonfinite")
SUMS = ("log", "log2", "modulus", "modulus2")

PARTS = 32  # of an octave
OCTAVES = range(-32, 8)
SECTORS = 72
HORIZON_RANGE = (2.0**-OCTAVES.stop, 2.0**-OCTAVES.start)  # tokens: what the axis resolves

DECAYING = [math.ldexp(PARTS + j, k - 5) for k in OCTAVES for j in range(PARTS)] + [2.0**OCTAVES.stop]  # fine edges of h, ascending
_RING_EDGES = [math.ldexp(m, k) for k in range(-6, 2) for m in (1.0, 1.5)] + [4.0]  # of h

LOG_LIMIT = 256.0  # terms of the sums are held to these: those of ln|lambda| to its magnitude
MODULUS_LIMIT = 2.0**20  # and those of |lambda|
UNIT = 2.0**48

_CONTEXT = Context(prec=50)


def _inner(decaying: bool) -> list[float]:
    """The radii strictly on one side of 1."""
    return [r for r in RADII if (r < 1 if decaying else r > 1)]


# Every edge but three as (ln|lambda|, radius or None), ascending: the bin of zero ends at the least positive number, that of 1 begins at 1 and ends behind it.
_BELOW: list[tuple[float, float | None]] = sorted([(-h, None) for h in DECAYING] + [(math.log(r), r) for r in _inner(True)])
_ABOVE: list[tuple[float, float | None]] = sorted([(h, None) for h in DECAYING] + [(math.log(r), r) for r in _inner(False)])
ONE = len(_BELOW) + 2  # the bin of |lambda| = 1; that of 0 is number 0
BINS = ONE + len(_ABOVE) + 2
_LOGS = [-math.inf, *(v for v, _ in _BELOW), 0.0, 0.0, *(v for v, _ in _ABOVE)]  # of the lower edges of the bins 1, 2, ...


def log_edges() -> Tensor:
    """``(BINS + 1)`` float64, ``ln|lambda|`` at the ends of every bin; those of 0 and 1 have width 0."""
    return torch.tensor([-math.inf, *_LOGS, math.inf], dtype=torch.float64)


def radius_starts() -> list[int]:
    """The bins at which the radius bins begin, and `BINS`."""
    at = {r: i + 2 for i, (_, r) in enumerate(_BELOW) if r is not None} | {1.0: ONE} | {r: ONE + 2 + i for i, (_, r) in enumerate(_ABOVE) if r is not None}
    return [0, *(at[r] for r in RADII), BINS]


@cache
def rings() -> Tensor:
    """``(BINS)`` int64: the ring that each bin of the modulus axis lies in."""
    return torch.bucketize(torch.tensor([-math.inf, *_LOGS], dtype=torch.float64), _ring_logs(), right=True)


def _ring_logs() -> Tensor:
    return torch.tensor([*(-h for h in reversed(_RING_EDGES)), 0.0, *_RING_EDGES], dtype=torch.float64)


def ring_edges() -> Tensor:
    """``(RINGS + 1)`` float64, ``|lambda|`` at the edges of the rings, from 0 to inf."""
    return torch.cat([torch.zeros(1), _ring_logs().exp(), torch.tensor([math.inf])])


RINGS = 2 * len(_RING_EDGES) + 2
_STARTS = [0, BINS, BINS + len(PHASES) + 1]
PHASE_AT, PLANE_AT = _STARTS[1:]
TALLY_AT = PLANE_AT + RINGS * SECTORS
COLUMNS = TALLY_AT + len(TALLIES)


def _ceil(x: Decimal, dtype: torch.dtype) -> float:
    """The least number of ``dtype`` that is >= x."""
    y = torch.tensor(float(x), dtype=dtype)
    return (y if Decimal(y.item()) >= x else torch.nextafter(y, torch.full_like(y, math.inf))).item()


@cache
def edges(dtype: torch.dtype, log: bool) -> Tensor:
    """``(BINS - 1)`` edges, ascending, for values of ``dtype``, or for logarithms of it: in its real type, for complex values float64.

    A magnitude's bin is the number of edges <= it, the magnitude being the one that the values are compared by (see above).
    """
    real = dtype.to_real()
    rounded = {r: torch.tensor(r, dtype=real) for r in RADII}
    if log:

        def edge(v: float, r: float | None) -> float:
            if r is not None:
                return float(_CONTEXT.ln(Decimal(r)))
            x = torch.tensor(v, dtype=real)  # exact; h >= an edge is v <= its negative
            return x.item() if v > 0 else torch.nextafter(x, torch.ones_like(x)).item()

        least, one, kind = torch.finfo(real).min, 0.0, real
    else:
        power, kind = (2, torch.float64) if dtype.is_complex else (1, real)

        def edge(v: float, r: float | None) -> float:
            if r is not None:
                return rounded[r].to(kind).pow(power).item()
            return _ceil(_CONTEXT.exp(power * Decimal(v)), kind)

        least, one = torch.finfo(kind).smallest_normal * torch.finfo(kind).eps, 1.0
    behind = torch.nextafter(torch.tensor(one, dtype=kind), torch.tensor(2.0, dtype=kind)).item()
    return torch.tensor([least, *(edge(v, r) for v, r in _BELOW), one, behind, *(edge(v, r) for v, r in _ABOVE)], dtype=kind)


@cache
def directions() -> Tensor:
    """``(P, 2)`` float64: (cos, sin) of the edges of `PHASES` and, behind those, of the sectors' in [0, 180] degrees, each up to a positive factor."""
    exact = {45.0: (1.0, 1.0), 90.0: (0.0, 1.0)}
    degrees = [*PHASES, *((s + 0.5) * 360 / SECTORS for s in range(SECTORS // 2))]
    return torch.tensor([exact.get(d, (math.cos(math.radians(d)), math.sin(math.radians(d)))) for d in degrees], dtype=torch.float64)


def limbs(terms: Tensor) -> Tensor:
    """Numbers (...) float64 in fixed point, rounded once: ``(..., 3)`` int64."""
    t = (terms * UNIT).round()
    sign, t = t.sign(), t.abs()  # a small negative number and 2^64 have no sum in float64
    high = (t / 2.0**64).floor()
    t = t - high * 2.0**64
    middle = (t / 2.0**32).floor()
    return (torch.stack([high, middle, t - middle * 2.0**32], -1) * sign[..., None]).long()


def normalise(sums: Tensor) -> None:
    """Carries, in place: the two lower limbs come to [0, 2^32)."""
    for i in (2, 1):
        sums[..., i - 1] += sums[..., i] >> 32
        sums[..., i] &= 2**32 - 1


def sketch(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, values: Tensor, valid: Tensor | None, suspect: Tensor | None, repeats: Tensor, log: bool
) -> None:
    """Adds the eigenvalues of G groups to rows of the state, in place.

    Args:
        counts, sums, extremes: the state, see above.
        rows: ``(G)`` int64, the row that each group belongs to; several may share one.
        values: ``(G, ..., m)`` real or complex: eigenvalues, or their logarithms where ``log`` is set; of a logarithm the
            imaginary part is the phase, and +-pi (rounded) that of a negative number.
        valid: ``(G, ...)`` boolean; False leaves the m eigenvalues out.
        suspect: ``(G, ..., m)`` boolean, counted under "suspect" where finite.
        repeats: ``(m)`` int64, how often each of the m eigenvalues counts.
    """
    magnitude, modulus, square, logarithm, re, im = _polar(values, log)
    finite = ~(magnitude.isnan() | (logarithm == math.inf) | im.isnan() | (im.abs() == math.inf))
    weight = repeats.expand(values.shape)
    if valid is not None:
        weight = torch.where(valid[..., None], weight, 0)
    row = rows.view(-1, *(1,) * (values.dim() - 1)).expand(values.shape)
    at = (row * COLUMNS).reshape(-1)
    flat, kept = counts.view(-1), torch.where(finite, weight, 0).reshape(-1)

    def count(column: Tensor, amount: Tensor) -> None:
        flat.index_add_(0, at + column.reshape(-1), amount.reshape(-1))

    def tally(name: str, where: Tensor) -> None:
        count(torch.full_like(row, TALLY_AT + TALLIES.index(name)), torch.where(where, kept.view(values.shape), 0))

    zero = logarithm == -math.inf
    bins = torch.bucketize(torch.where(finite, magnitude, 0), edges(values.dtype, log).to(values.device), right=True)
    bins = torch.where(zero, 0, bins.clamp(min=1))  # re^2 + im^2 may underflow
    phase, half, height = torch.zeros_like(bins), torch.zeros_like(bins), im.abs()
    for i, (cos, sin) in enumerate(directions().tolist()):  # one at a time: all at once are 40 times the values
        passed = (height * cos - re * sin >= 0) & ~zero
        (phase if i < len(PHASES) else half).add_(passed)
    sector = torch.where((im < 0) & (half > 0), SECTORS - half, half)
    real = im == 0
    count(bins, kept)
    count(PHASE_AT + phase, kept)
    count(PLANE_AT + rings().to(values.device)[bins] * SECTORS + sector, kept)
    tally("real", real)
    tally("negative", real & (re < 0))
    if suspect is not None:
        tally("suspect", suspect)
    count(torch.full_like(row, TALLY_AT + TALLIES.index("nonfinite")), torch.where(finite, 0, weight))

    held = logarithm.clamp(-LOG_LIMIT, LOG_LIMIT).masked_fill(zero, 0)
    terms = torch.stack([held, held * held, modulus.clamp(max=MODULUS_LIMIT), square.clamp(max=MODULUS_LIMIT**2)], -1)
    terms = torch.where((finite & (weight > 0))[..., None], terms, 0)
    amounts = limbs(terms) * weight[..., None, None]
    sums.index_add_(0, row.reshape(-1), amounts.reshape(-1, *sums.shape[1:]))
    normalise(sums)

    there = finite & (weight > 0)
    low, high = torch.where(there, modulus, math.inf), torch.where(there, modulus, -math.inf)
    extremes[:, 0].scatter_reduce_(0, row.reshape(-1), low.reshape(-1), "amin")
    extremes[:, 1].scatter_reduce_(0, row.reshape(-1), high.reshape(-1), "amax")


def _polar(values: Tensor, log: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The magnitude that the edges are compared with, then in float64 |lambda|, its square, ln|lambda|, and a number of the same phase: re, im."""
    if log:
        v = values.real
        logarithm, angle = v.double(), values.imag.double() if values.is_complex() else torch.zeros_like(v, dtype=torch.float64)
        negative = angle.abs() == torch.tensor(math.pi, dtype=v.dtype).double()
        zero = logarithm == -math.inf
        re = torch.where(zero, 0.0, torch.where(negative, -1.0, angle.cos()))
        im = torch.where(zero | negative, 0.0, angle.sin())
        modulus = logarithm.exp()
        return v, modulus, modulus * modulus, logarithm, re, im + 0 * angle  # NaN where the angle is infinite
    if not values.is_complex():
        magnitude = values.abs()
        modulus = magnitude.double()
        return magnitude, modulus, modulus * modulus, modulus.log(), values.double(), 0 * modulus
    re, im = values.real.double(), values.imag.double()
    square = re * re + im * im
    logarithm = torch.where((re == 0) & (im == 0), -math.inf, (0.5 * square.log()).clamp(min=-400.0))
    infinite = (re.abs() == math.inf) | (im.abs() == math.inf)
    overflow = (square == math.inf) & ~infinite
    return square, square.sqrt(), square, torch.where(overflow, 400.0, logarithm), re, im


def zero_order_hold(
    counts: Tensor, sums: Tensor, extremes: Tensor, rows: Tensor, delta: Tensor, rate: Tensor, valid: Tensor | None, repeat: int
) -> None:
    """`sketch` of ``exp(delta_d rate_dn)``, each counted ``repeat`` times: ``delta (G, ..., D or 1)``, ``rate (D, N)``.

    Of a position where a factor is NaN or Inf none is finite.  The bins are those of the product ``delta_d rate_dn`` rounded to the dtype.
    The kernel's sums are those of the exact products, and of exponentials accurate to the dtype.
    """
    bad = ~(delta.isfinite().all(-1) & rate.isfinite().all())
    values = (delta[..., None] * rate).flatten(-2).masked_fill(bad[..., None], math.nan)
    sketch(counts, sums, extremes, rows, values, valid, None, torch.full((values.shape[-1],), repeat, device=values.device), True)
