"""Figures of a `Spectrum`."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from spectral_kernels.api.spectrum.statistics import PHASE_EDGES, RADIUS_EDGES
from spectral_kernels.api.spectrum.table import interval_names

if TYPE_CHECKING:
    import matplotlib.figure

    from spectral_kernels.api.spectrum.spectrum import Spectrum

_SHOWN_RADIUS = 1.5  # of the complex plane


def plot(spectrum: Spectrum, kind: str, rows: str | None, error: str | None) -> matplotlib.figure.Figure:
    if kind not in ("bins", "phases", "plane"):
        raise ValueError(f"Spectrum.plot: expected kind = bins, phases or plane, got {kind!r}")
    for name, axis in (("rows", rows), ("error", error)):
        if axis is not None and axis not in spectrum.names:
            raise ValueError(f"Spectrum.plot: expected {name} out of {spectrum.names}, got {axis!r}")
    if rows is not None and rows == error:
        raise ValueError(f"Spectrum.plot: expected different axes for rows and error, got {rows!r} for both")
    try:
        from matplotlib.figure import Figure
    except ImportError as cause:
        raise ImportError("Spectrum.plot needs matplotlib: pip install 'spectral_kernels[plot]'") from cause
    if kind == "plane" and error is not None:
        spectrum, error = spectrum.pool(error), None
    free = [name for name in spectrum.names if name != error]
    rows = rows if rows is not None or len(free) < 2 else free[0]
    if kind == "plane":
        return _plane(Figure, spectrum, rows)
    bins = spectrum.bins().fractions
    shares = 100 * (bins.radius if kind == "bins" else bins.phase)
    names = interval_names(RADIUS_EDGES) if kind == "bins" else interval_names(PHASE_EDGES, last_closed=True)
    return _bars(Figure, spectrum, shares, [f"{'|λ|' if kind == 'bins' else '|arg λ|°'} ∈ {name}" for name in names], rows, error)


def _arranged(spectrum: Spectrum, values: Tensor, rows: str | None, error: str | None) -> tuple[Tensor, list[str], list[str]]:
    """``(rows, groups, samples, ...)`` of values ``(*shape, ...)``, with the names of the rows and of the groups."""
    names = list(spectrum.names)
    first = [name for name in (rows,) if name is not None]
    last = [name for name in (error,) if name is not None]
    middle = [name for name in names if name not in first + last]
    order = [names.index(name) for name in first + middle + last]
    sizes = dict(zip(names, spectrum.shape, strict=True))
    moved = values.permute(*order, *range(len(names), values.dim()))
    moved = moved.reshape(sizes[rows] if rows else 1, -1, sizes[error] if error else 1, *values.shape[len(names) :])

    def labels(axes: list[str]) -> list[str]:
        return [", ".join(f"{name} {i}" for name, i in zip(axes, index, strict=True)) for index in itertools.product(*(range(sizes[a]) for a in axes))]

    return moved, labels(first), labels(middle)


def _bars(figure: Any, spectrum: Spectrum, shares: Tensor, names: list[str], rows: str | None, error: str | None) -> matplotlib.figure.Figure:
    values, row_names, group_names = _arranged(spectrum, shares, rows, error)
    mean, std = values.nanmean(2).numpy(), torch.nan_to_num((values - values.nanmean(2, keepdim=True)).square().nanmean(2).sqrt()).numpy()
    fig = figure(figsize=(max(6.0, 1.2 * mean.shape[1] + 2), 2.2 * len(mean) + 0.8), layout="constrained")
    axes = fig.subplots(len(mean), 1, squeeze=False, sharex=True)[:, 0]
    colours = _colours(len(names))
    width = 0.8 / len(names)
    for row, axis in enumerate(axes):
        for b, name in enumerate(names):
            at = np.arange(mean.shape[1]) + (b - (len(names) - 1) / 2) * width
            axis.bar(at, mean[row, :, b], width, yerr=std[row, :, b] if error else None, color=colours[b], label=name, error_kw={"linewidth": 0.8})
        axis.set(ylim=(0, 100), ylabel="% of eigenvalues", title=row_names[row])
        axis.set_xticks(np.arange(mean.shape[1]), group_names)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return fig


def _colours(count: int) -> Any:
    import matplotlib

    return matplotlib.colormaps["coolwarm"](np.linspace(0, 1, count))


def _plane(figure: Any, spectrum: Spectrum, rows: str | None) -> matplotlib.figure.Figure:
    from matplotlib.colors import LogNorm

    plane = spectrum.plane()
    values, row_names, group_names = _arranged(spectrum, plane.counts, rows, None)
    counts = values[:, :, 0].double().numpy()
    radius = plane.radius.clamp(max=_SHOWN_RADIUS).numpy()
    area = np.maximum(np.diff(radius**2), 1e-12)[:, None]  # a count per area is what the eye takes a colour for
    angle = np.radians(plane.degrees.numpy())
    x, y = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
    fig = figure(figsize=(2.6 * counts.shape[1] + 1, 2.6 * counts.shape[0] + 0.4), layout="constrained")
    axes = fig.subplots(counts.shape[0], counts.shape[1], squeeze=False)
    turn = np.linspace(0, 2 * np.pi, 200)
    for (row, group), axis in np.ndenumerate(axes):
        density = np.where(np.diff(radius)[:, None] > 0, counts[row, group] / area / max(1.0, counts[row, group].sum()), 0.0)
        if density.any():
            shown = axis.pcolormesh(x, y, np.ma.masked_equal(density, 0), norm=LogNorm(), cmap="viridis", rasterized=True)
            fig.colorbar(shown, ax=axis, shrink=0.7)
        axis.plot(np.cos(turn), np.sin(turn), color="black", linewidth=0.6)
        axis.set(aspect="equal", xlim=(-_SHOWN_RADIUS, _SHOWN_RADIUS), ylim=(-_SHOWN_RADIUS, _SHOWN_RADIUS))
        axis.set_title(", ".join(name for name in (row_names[row], group_names[group]) if name), fontsize="small")
    return fig
