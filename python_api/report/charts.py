"""The charts of a report as Vega-Lite specifications.

Colours are CSS variables of the page (an SVG's attributes resolve them), so a chart follows light, dark and print without being drawn anew; bars
answer to the signal ``lit``, the bin that the reader points at in the legend, heat maps to ``metric``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from spectral_kernels.api.report.measures import BARS, Head, Measures, measure, merged, uniform
from spectral_kernels.api.report.study import Layer, Study
from spectral_kernels.api.spectrum import Spectrum

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
METRICS = {"holds": "hold", "forgets": "forget", "grows": "grow", "median": "median |λ|"}  # of the heat maps, all shown from 0 to 1
MOST_COLUMNS = 512  # of a fingerprint; beyond that, and of heat maps beyond MOST_ROWS, heads are pooled
MOST_ROWS = 32
MOST_PLANES = 12
_PLANE_RADIUS = 1.25  # shown; what lies outside is drawn on the rim
_PER_OCTAVE = 2  # bins of the histogram of horizons
_HORIZONS = range(-4, 20)  # octaves, tokens
_GAP = 0.12  # between two layers of a fingerprint, in layers

_BAR_COLOUR = {
    "field": "bar",
    "type": "nominal",
    "scale": {"domain": list(BARS), "range": [f"var(--bar{i})" for i in range(len(BARS))]},
    "legend": None,
}
_LIT = {"name": "lit", "value": ""}
_BAR_OPACITY = {"condition": {"test": "lit === '' || lit === datum.bar", "value": 1}, "value": 0.12}
_TWO_DIGITS = {"format": ".1%", "type": "quantitative"}


def _chart(values: Sequence[Spec], *, height: int | Spec, **parts: Any) -> Spec:
    return {"$schema": SCHEMA, "width": "container", "height": height, "autosize": {"type": "fit-x", "contains": "padding"}, "data": {"values": list(values)}, **parts}


def fingerprint(study: Study, heads: Sequence[Head]) -> Spec:
    """A stacked column for every head, layer by layer: the whole model at a glance."""
    layers = [[h for h in heads if h.layer == i] for i in range(len(study.layers))]
    if len(heads) <= MOST_COLUMNS:
        columns = [[(f"{h.label}: {h.verdict}", h.bars) for h in of_layer] for of_layer in layers]
    else:
        columns = [[(f"layer {i}, all heads", tuple(measure(layer.whole).bars.tolist()))] for i, layer in enumerate(study.layers)]
    values = []
    for i, of_layer in enumerate(columns):
        width = (1 - _GAP) / len(of_layer)
        for j, (label, bars) in enumerate(of_layer):
            if math.isnan(bars[0]):
                continue
            left, bottom = i + _GAP / 2 + j * width, 0.0
            name = study.layers[i].name
            for bar, share in zip(BARS, bars, strict=True):
                if share > 0:
                    values.append({"x": left, "x2": left + width * 0.92, "y": bottom, "y2": bottom + share, "bar": bar, "share": share, "head": label, "layer": name})
                bottom += share
    every = max(1, math.ceil(len(columns) / 24))
    return _chart(
        values,
        height=190,
        params=[_LIT],
        mark={"type": "rect", "stroke": None},
        encoding={
            "x": {
                "field": "x",
                "type": "quantitative",
                "scale": {"domain": [0, len(columns)], "nice": False},
                "axis": {"values": [i + 0.5 for i in range(0, len(columns), every)], "labelExpr": "floor(datum.value)", "grid": False, "ticks": False, "domain": False},
                "title": "layer" + (", a column per head" if any(len(c) > 1 for c in columns) else ""),
            },
            "x2": {"field": "x2"},
            "y": {"field": "y", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"format": "%", "tickCount": 4}, "title": None},
            "y2": {"field": "y2"},
            "color": _BAR_COLOUR,
            "opacity": _BAR_OPACITY,
            "tooltip": [
                {"field": "head", "title": "where"},
                {"field": "layer", "title": "module"},
                {"field": "bar", "title": "|λ|"},
                {"field": "share", "title": "share", **_TWO_DIGITS},
            ],
        },
    )


def grouped_bars(groups: Sequence[tuple[str, tuple[float, ...]]], title: str) -> Spec:
    """The paper's figure: a group of bars for every head (or layer), a bar for every bin of ``|lambda|``."""
    used = [i for i, bar in enumerate(BARS) if bar != "1" or any(bars[i] > 0 for _, bars in groups)]
    values = [{"group": name, "bar": BARS[i], "share": bars[i]} for name, bars in groups for i in used if not math.isnan(bars[i])]
    return _chart(
        values,
        height=120,
        params=[_LIT],
        mark={"type": "bar"},
        encoding={
            "x": {"field": "group", "type": "ordinal", "sort": None, "title": title, "axis": {"labelAngle": 0, "ticks": False, "labelOverlap": True}, "scale": {"paddingInner": 0.18}},
            "xOffset": {"field": "bar", "type": "nominal", "sort": [BARS[i] for i in used], "scale": {"domain": [BARS[i] for i in used]}},
            "y": {"field": "share", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"format": "%", "tickCount": 3}, "title": None},
            "color": _BAR_COLOUR,
            "opacity": _BAR_OPACITY,
            "tooltip": [{"field": "group", "title": title}, {"field": "bar", "title": "|λ|"}, {"field": "share", "title": "share", **_TWO_DIGITS}],
        },
    )


def horizon_shares(spectrum: Spectrum) -> list[tuple[float, float, float]]:
    """Lower and upper edge in tokens, and the share of the eigenvalues, per bin; horizons outside of the axis count in its first and last bin, endless ones
    (``|lambda| >= 1``) in none."""
    histogram = spectrum.horizon()
    lower, counts = histogram.edges[:-1], histogram.counts.double()
    bins = len(_HORIZONS) * _PER_OCTAVE
    at = ((lower.clamp(min=2.0**-30).log2() - _HORIZONS.start) * _PER_OCTAVE + 1e-9).floor().clamp(0, bins - 1).nan_to_num(0).long()
    endless = torch.isinf(lower)
    total = torch.zeros(bins, dtype=torch.float64).index_add_(0, at[~endless], counts[~endless]) / counts.sum()
    edges = [2.0 ** (_HORIZONS.start + i / _PER_OCTAVE) for i in range(bins + 1)]
    return list(zip(edges, edges[1:], total.tolist(), strict=False))


def horizons(series: Sequence[tuple[str, Spectrum]]) -> Spec:
    """Shares of horizons on a logarithmic axis: the first series filled, those that it is compared with as lines."""
    names = [name for name, _ in series]
    values = [{"series": name, "from": a, "to": b, "share": share} for name, spectrum in series for a, b, share in horizon_shares(spectrum)]
    x = {
        "field": "from",
        "type": "quantitative",
        "scale": {"type": "log", "base": 10, "domain": [2.0**_HORIZONS.start, 2.0**_HORIZONS.stop], "nice": False},
        "title": "horizon, tokens until a mode has decayed to 1/e",
        "axis": {"grid": False, "values": [10.0**k for k in range(-1, 6)], "format": "~s"},
    }
    y = {"field": "share", "type": "quantitative", "axis": {"format": "%", "tickCount": 4}, "title": "of eigenvalues", "stack": None}
    colour = {"field": "series", "type": "nominal", "scale": {"domain": names, "range": [f"var(--series{i})" for i in range(len(names))]}, "legend": _LEGEND}
    tip = [
        {"field": "series", "title": "spectrum"},
        {"field": "from", "type": "quantitative", "format": ".3~r", "title": "from tokens"},
        {"field": "to", "type": "quantitative", "format": ".3~r", "title": "to"},
        {"field": "share", "title": "share", **_TWO_DIGITS},
    ]
    first = {"filter": {"field": "series", "equal": names[0]}}
    return _chart(
        values,
        height=220,
        encoding={"x": x, "y": y, "color": colour},
        layer=[
            {"transform": [first], "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.28, "line": False}},
            {"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2}, "encoding": {"strokeDash": _dashes(names)}},
            {"mark": {"type": "bar", "opacity": 0}, "encoding": {"x2": {"field": "to"}, "tooltip": tip}},
        ],
    )


_LEGEND = {"orient": "top", "title": None, "symbolType": "stroke", "labelLimit": 400, "columns": 2}


def _dashes(names: Sequence[str]) -> Spec:
    return {"field": "series", "type": "nominal", "scale": {"domain": list(names), "range": [[1, 0], [5, 3], [2, 2], [8, 3]][: len(names)] + [[1, 0]] * (len(names) - 4)}, "legend": _LEGEND}


def medians(series: Sequence[tuple[str, Study]], heads: Sequence[Sequence[Head]]) -> Spec:
    """The median of ``|lambda|`` by layer with its quartiles, and every head as a point."""
    names = [name for name, _ in series]
    values: list[Spec] = []
    for (name, study), of_study in zip(series, heads, strict=True):
        for i, layer in enumerate(study.layers):
            lower, median, upper = measure(layer.whole).quartiles.tolist()
            values.append({"series": name, "layer": i, "name": layer.name, "lower": lower, "median": median, "upper": upper, "kind": "layer"})
        if name == names[0]:
            values += [{"series": name, "layer": h.layer, "name": h.label, "median": h.median, "horizon": h.horizon, "kind": "head"} for h in of_study]
    values = [v for v in values if not math.isnan(v["median"])]
    top = max([1.0, *(v.get("upper", v["median"]) for v in values)])
    x = {"field": "layer", "type": "quantitative", "title": "layer", "axis": {"tickMinStep": 1, "format": "d", "grid": False}, "scale": {"nice": False, "padding": 14}}
    y = {"field": "median", "type": "quantitative", "title": "|λ|", "scale": {"domain": [0, min(top * 1.03, 2)], "clamp": True}, "axis": {"tickCount": 5}}
    colour = {"field": "series", "type": "nominal", "scale": {"domain": names, "range": [f"var(--series{i})" for i in range(len(names))]}, "legend": _LEGEND if len(names) > 1 else None}
    of_layer, of_head = ({"filter": {"field": "kind", "equal": kind}} for kind in ("layer", "head"))
    tip = [{"field": "series", "title": "spectrum"}, {"field": "name", "title": "where"}, {"field": "median", "type": "quantitative", "format": ".4~r", "title": "median |λ|"}]
    return _chart(
        values,
        height=220,
        encoding={"x": x, "y": y, "color": colour},
        layer=[
            {"data": {"values": [{"at": 1}]}, "mark": {"type": "rule", "color": "var(--soft)", "strokeDash": [3, 3]}, "encoding": {"x": None, "color": None, "y": {"datum": 1}}},
            {"transform": [of_layer], "mark": {"type": "area", "opacity": 0.16}, "encoding": {"y": {**y, "field": "lower"}, "y2": {"field": "upper"}}},
            {"transform": [of_head], "mark": {"type": "circle", "size": 18, "opacity": 0.55}, "encoding": {"tooltip": tip}},
            {"transform": [of_layer], "mark": {"type": "line", "strokeWidth": 2.5, "point": {"size": 36}}, "encoding": {"tooltip": tip, "strokeDash": _dashes(names)}},
        ],
    )


def plane(spectrum: Spectrum) -> Spec:
    """The complex plane with the unit circle: density of eigenvalues, logarithmic, in rings and sectors."""
    found = spectrum.plane()
    counts = found.counts.double()
    inner, outer = found.radius[:-1].clamp(max=_PLANE_RADIUS), found.radius[1:].clamp(max=_PLANE_RADIUS)
    inner[-1] = min(float(inner[-1]), _PLANE_RADIUS * 0.97)
    rim = inner >= _PLANE_RADIUS * 0.97
    if rim.any():  # all that lies outside in one ring on the rim
        first = int(rim.nonzero()[0])
        counts[first] = counts[first:].sum(0)
        counts, inner, outer = counts[: first + 1], inner[: first + 1].clone(), outer[: first + 1].clone()
        inner[first], outer[first] = _PLANE_RADIUS * 0.96, _PLANE_RADIUS
    thin = outer - inner < 0.012
    shown_inner = torch.where(thin, (inner + outer) / 2 - 0.006, inner).clamp(min=0)
    shown_outer = torch.where(thin, (inner + outer) / 2 + 0.006, outer)
    area = (shown_outer**2 - shown_inner**2).clamp(min=1e-4)[:, None]
    density = counts / counts.sum().clamp(min=1) / area
    values = []
    for ring, sector in counts.nonzero().tolist():
        begin, end = (math.radians(90 - float(found.degrees[s])) for s in (sector + 1, sector))  # Vega's angles run clockwise from the top
        values.append(
            {
                "from": begin,
                "to": end,
                "inner": float(shown_inner[ring]),
                "outer": float(shown_outer[ring]),
                "density": math.log10(float(density[ring, sector])),
                "share": float(counts[ring, sector] / counts.sum()),
                "modulus": f"{float(found.radius[ring]):.3g} to {float(found.radius[min(ring + 1, len(found.radius) - 1)]):.3g}",
                "degrees": f"{float(found.degrees[sector]) + 2.5:g}°",
            }
        )
    radius = {"type": "quantitative", "scale": {"domain": [0, _PLANE_RADIUS], "range": [0, 100], "zero": True}}
    theta = {"type": "quantitative", "scale": None}

    def circle(r: float, **mark: Any) -> Spec:
        ring = {"data": {"values": [{"r": r}]}, "mark": {"type": "arc", "fillOpacity": 0, "theta": 0, "theta2": 2 * math.pi, **mark}}
        return ring | {"encoding": {"radius": {"field": "r", **radius}}}

    return {
        "$schema": SCHEMA,
        "width": 200,
        "height": 200,
        "data": {"values": values},
        "layer": [
            circle(_PLANE_RADIUS, stroke="var(--line)"),
            {
                "mark": {"type": "arc", "stroke": None},
                "encoding": {
                    "theta": {"field": "from", **theta},
                    "theta2": {"field": "to"},
                    "radius": {"field": "outer", **radius},
                    "radius2": {"field": "inner"},
                    "color": {"field": "density", "type": "quantitative", "scale": {"scheme": "cividis", "domain": [-4, 1.5], "clamp": True}, "legend": None},
                    "tooltip": [{"field": "modulus", "title": "|λ|"}, {"field": "degrees", "title": "angle"}, {"field": "share", "title": "share", **_TWO_DIGITS}],
                },
            },
            circle(1.0, stroke="var(--ink)", strokeWidth=1.2),
        ],
    }


def positions(layer: Layer) -> Spec:
    """Position by head: a share, or the median, of every bucket, by the signal ``metric``."""
    starts = layer.spectrum.buckets
    spectrum = layer.spectrum if layer.heads <= MOST_ROWS else layer.spectrum.pool("head")
    m = measure(spectrum)
    rows = {name: (m.quartiles[..., 1].clamp(max=1) if name == "median" else getattr(m, name)).reshape(-1, len(starts)).tolist() for name in METRICS}
    values = []
    for h in range(len(rows["holds"])):
        for b, start in enumerate(starts):
            if not math.isnan(rows["holds"][h][b]):
                span = f"{start}-{starts[b + 1] - 1}" if b + 1 < len(starts) else f"{start} on"
                values.append({"head": str(h) if layer.heads == len(rows["holds"]) else "all", "position": span, **{name: rows[name][h][b] for name in METRICS}})
    count = len(rows["holds"])
    return _chart(
        values,
        height=max(26, count * (14 if count <= 16 else 8)),
        params=[{"name": "metric", "value": "holds"}],
        transform=[{"calculate": "datum[metric]", "as": "shown"}],
        mark={"type": "rect"},
        encoding={
            "x": {"field": "position", "type": "ordinal", "sort": None, "title": "position", "axis": {"labelOverlap": True, "labelAngle": 0, "ticks": False, "domain": False}},
            "y": {"field": "head", "type": "ordinal", "sort": None, "title": "head" if count > 1 else None, "axis": {"ticks": False, "domain": False, "labels": count > 1, "labelOverlap": True}},
            "color": {"field": "shown", "type": "quantitative", "scale": {"scheme": "cividis", "domain": [0, 1]}, "legend": None},
            "tooltip": [{"field": "head"}, {"field": "position"}]
            + [{"field": name, "title": title, "type": "quantitative", "format": ".3~f" if name == "median" else ".1%"} for name, title in METRICS.items()],
        },
    )


def is_real_and_positive(m: Measures) -> bool:
    """Whether the complex plane would show the positive axis alone."""
    return float(m.phases[0]) == 1.0


def compared(study: Study) -> list[tuple[str, Spectrum]]:
    """All eigenvalues of a model, and of what it is compared with: uniform attention with its attention layers, its initialisation."""
    series = [(study.title, merged(study.layers))]
    if (null := uniform(study)) is not None:
        series.append((f"uniform attention, {study.length} tokens", null))
    if study.initial is not None:
        series.append(("initialisation", merged(study.initial.layers)))
    return series
