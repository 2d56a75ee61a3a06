"""The chart of the complex plane."""

from __future__ import annotations

import math
from typing import Any

import torch

from spectral_kernels.api.report.charts import SCHEMA, Spec
from spectral_kernels.api.report.measures import Measures
from spectral_kernels.api.spectrum import Spectrum

RIM = 1.25  # |lambda| shown; what lies outside is drawn on the rim
_RIM_WIDTH = 0.05
_THINNEST = 0.012  # rings next to |lambda| = 1 are thinner than a pixel
_DENSITIES = (-4.0, 1.5)  # decades of the share per unit of area that the colours span


def is_positive(m: Measures) -> bool:
    """Whether all eigenvalues are real and positive, which no plane is needed for."""
    return float(m.phases[0]) == 1.0


def plane(spectrum: Spectrum, size: int = 200) -> Spec:
    """Density of eigenvalues, logarithmic, in rings and sectors, with the unit circle."""
    found = spectrum.plane()
    radius = {"type": "quantitative", "scale": {"domain": [0, RIM], "range": [0, size // 2], "zero": True}}
    theta: Spec = {"type": "quantitative", "scale": None}

    def circle(r: float, **mark: Any) -> Spec:
        return {
            "data": {"values": [{"r": r}]},
            "mark": {"type": "arc", "fillOpacity": 0, "theta": 0, "theta2": 2 * math.pi, **mark},
            "encoding": {"radius": {"field": "r", **radius}},
        }

    return {
        "$schema": SCHEMA,
        "width": size,
        "height": size,
        "data": {"values": _cells(found.radius, found.degrees, found.counts.double())},
        "layer": [
            circle(RIM, stroke="var(--line)"),
            {
                "mark": {"type": "arc"},
                "encoding": {
                    "theta": {"field": "from", **theta},
                    "theta2": {"field": "to"},
                    "radius": {"field": "outer", **radius},
                    "radius2": {"field": "inner"},
                    "color": {"field": "density", "type": "quantitative", "scale": {"scheme": "cividis", "domain": list(_DENSITIES), "clamp": True}, "legend": None},
                    "tooltip": [
                        {"field": "modulus", "title": "|λ|"},
                        {"field": "angle", "title": "angle"},
                        {"field": "share", "title": "share", "type": "quantitative", "format": ".2%"},
                    ],
                },
            },
            circle(1.0, stroke="var(--ink)", strokeWidth=1.2),
        ],
    }


def _cells(edges: torch.Tensor, degrees: torch.Tensor, counts: torch.Tensor) -> list[Spec]:
    """Every cell that holds something: its ring ``(rings + 1)`` as drawn, its sector ``(sectors + 1)`` in Vega's angles, which run clockwise from the top."""
    total = counts.sum().clamp(min=1)
    inner, outer = edges[:-1].clone(), edges[1:].clone()
    outside = inner >= RIM - _RIM_WIDTH
    inner[outside], outer[outside] = RIM - _RIM_WIDTH, RIM
    outer = outer.clamp(max=RIM)
    thin = outer - inner < _THINNEST
    middle = (inner + outer) / 2
    inner, outer = torch.where(thin, middle - _THINNEST / 2, inner).clamp(min=0), torch.where(thin, middle + _THINNEST / 2, outer)
    density = counts / total / (outer**2 - inner**2).clamp(min=1e-4)[:, None]
    cells = []
    for ring, sector in counts.nonzero().tolist():
        begin, end = (math.radians(90 - float(degrees[s])) for s in (sector + 1, sector))
        cells.append(
            {
                "from": begin,
                "to": end,
                "inner": float(inner[ring]),
                "outer": float(outer[ring]),
                "density": math.log10(float(density[ring, sector])),
                "share": float(counts[ring, sector] / total),
                "modulus": f"{float(edges[ring]):.3g} to {float(edges[ring + 1]):.3g}",
                "angle": f"{float(degrees[sector] + degrees[sector + 1]) / 2:g}°",
            }
        )
    return cells
