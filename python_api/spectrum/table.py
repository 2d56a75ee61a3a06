"""A `Spectrum` as a table."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from spectral_kernels.api.spectrum.statistics import PHASE_EDGES, RADIUS_EDGES

if TYPE_CHECKING:
    from spectral_kernels.api.spectrum.spectrum import Spectrum

COUNTS = ("count", "nonfinite", "real", "negative", "zero", "unstable", "suspect")
MOMENTS = ("mean", "std", "mean_log", "geometric_mean", "smallest", "largest")
QUARTILES = (0.25, 0.5, 0.75)


def interval_names(edges: tuple[float, ...], last_closed: bool = False) -> list[str]:
    """``[0, 0.1)`` and so on."""
    pairs = list(itertools.pairwise(edges))
    return [f"[{a:g}, {b:g}{']' if last_closed and i == len(pairs) - 1 else ')'}" for i, (a, b) in enumerate(pairs)]


def to_pandas(spectrum: Spectrum) -> Any:
    try:
        import pandas  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError("Spectrum.to_pandas needs pandas: pip install 'spectral_kernels[pandas]'") from error
    bins, quantiles = spectrum.bins().fractions, spectrum.quantile(QUARTILES)
    columns: dict[str, Any] = {name: getattr(spectrum, name) for name in (*COUNTS, *MOMENTS)}
    columns |= {f"quantile {q:g}": quantiles[..., i] for i, q in enumerate(QUARTILES)}
    columns |= {f"radius {name}": bins.radius[..., i] for i, name in enumerate(interval_names(RADIUS_EDGES))}
    columns |= {f"phase {name}": bins.phase[..., i] for i, name in enumerate(interval_names(PHASE_EDGES, last_closed=True))}
    groups = list(itertools.product(*map(range, spectrum.shape)))
    index: dict[str, Any] = {name: [group[i] for group in groups] for i, name in enumerate(spectrum.names)}
    if spectrum.buckets:
        index["bucket"] = [spectrum.buckets[i] for i in index["bucket"]]  # by the position that it begins at
    return pandas.DataFrame(index | {name: column.reshape(-1).cpu().numpy() for name, column in columns.items()})
