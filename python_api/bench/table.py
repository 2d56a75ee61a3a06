"""Rows as a table for people: aligned text or Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spectral_kernels.api.bench.gate import LIMIT
from spectral_kernels.api.bench.record import Provenance, Row
from spectral_kernels.api.bench.runner import OURS
from spectral_kernels.api.markdown import rows as rows_of_cells

SHORT = {"lapack": "LAPACK"}  # provider -> its name in a heading
SMALL = 32  # the geometric means are taken up to this n and above it, where the cost moves from instructions to cache

POINTS_TITLE = (
    "Microseconds per matrix (median). LAPACK: torch's, parallel over the batch, all cores, one thread each.\n"
    f"peak: fraction of the measured matrix-product peak by the flop model; ratio: worst accuracy ratio, at most {LIMIT:g}"
)


class Table(NamedTuple):
    title: str
    header: list[str]
    lines: list[list[str]]


class Comparison(NamedTuple):
    """All providers at one point; ``speed_up`` is another provider's median over ours."""

    ours: Row
    others: dict[str, Row]

    def speed_up(self, provider: str) -> float:
        return self.others[provider].median_s / self.ours.median_s


def comparisons(rows: Iterable[Row]) -> list[Comparison]:
    """Rows grouped by point, in their order."""
    points: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        points.setdefault((row.benchmark, row.dtype, row.n), {})[row.provider] = row
    return [Comparison(found.pop(OURS), found) for found in points.values()]


def machine_line(origin: Provenance) -> str:
    """The machine and the versions, in one line."""
    commit = f" ({origin.commit})" if origin.commit else ""
    return (
        f"{origin.machine}, cores: {origin.cores}, threads: {origin.threads}, {origin.isa}; spectral_kernels {origin.version}{commit}, "
        f"torch {origin.torch}, numpy {origin.numpy}; {origin.date}"
    )


def _microseconds(seconds: float) -> str:
    """Three digits."""
    value = seconds * 1e6
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def _providers(compared: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(name for c in compared for name in c.others))


def points_table(rows: Sequence[Row]) -> Table:
    """One line per point: times, speed-ups of this package over each opponent, fraction of peak and accuracy ratio."""
    compared = comparisons(rows)
    others = _providers(compared)
    header = ["benchmark", "dtype", "n", "batch", OURS, *(SHORT.get(o, o) for o in others), *(f"vs {SHORT.get(o, o)}" for o in others), "peak", "ratio"]
    lines = []
    for c in compared:
        row = c.ours
        line = [row.benchmark, row.dtype, str(row.n), str(row.batch), _microseconds(row.median_s)]
        line += [_microseconds(c.others[o].median_s) if o in c.others else "" for o in others]
        line += [f"{c.speed_up(o):.1f}" if o in c.others else "" for o in others]
        line += ["" if row.peak_fraction is None else f"{row.peak_fraction:.1%}", "" if row.ratio is None else f"{row.ratio:.1f}"]
        lines.append(line)
    return Table(POINTS_TITLE, header, lines)


def means_table(rows: Sequence[Row]) -> Table:
    """Geometric means of the speed-ups per benchmark and dtype, of small and of large matrices."""
    compared = comparisons(rows)
    others = _providers(compared)
    groups: dict[tuple[str, str, bool], list[Comparison]] = {}
    for c in compared:
        groups.setdefault((c.ours.benchmark, c.ours.dtype, c.ours.n > SMALL), []).append(c)
    lines = []
    for (benchmark, dtype, _), group in groups.items():
        sizes = [c.ours.n for c in group]
        line = [benchmark, dtype, f"{min(sizes)}-{max(sizes)}" if len(sizes) > 1 else str(sizes[0])]
        for other in others:
            logs = [math.log(c.speed_up(other)) for c in group if other in c.others]
            line.append(f"{math.exp(sum(logs) / len(logs)):.1f}" if logs else "")
        first = group[0]
        ratios = [first.ours.ratio, first.others["torch"].ratio if "torch" in first.others else None]
        lines.append([*line, *("" if ratio is None else f"{ratio:.1f}" for ratio in ratios)])
    header = ["benchmark", "dtype", "n", *(f"vs {SHORT.get(o, o)}" for o in others), "ratio", "torch's ratio"]
    return Table("Geometric mean of the speed-ups, and the worst accuracy ratio", header, lines)


def _right_aligned(column: int) -> bool:
    return column >= 2  # the names stand left


def text(table: Table) -> str:
    """Aligned columns under a title."""
    cells = [table.header, *table.lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(table.header))]

    def aligned(line: list[str]) -> str:
        return "  ".join(cell.rjust(width) if _right_aligned(i) else cell.ljust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()

    return "\n".join([table.title, aligned(table.header), "  ".join("-" * width for width in widths), *map(aligned, table.lines)])


def markdown(table: Table) -> str:
    """A Markdown table under a title."""
    right = [i for i in range(len(table.header)) if _right_aligned(i)]
    return f"{table.title}:\n\n{rows_of_cells(table.header, table.lines, right)}"
