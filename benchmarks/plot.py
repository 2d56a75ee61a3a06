"""Draws the figure and writes the Markdown table of a results file, beside it: ``python benchmarks/plot.py FILE.csv``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from spectral_kernels.api.bench import record, table
from spectral_kernels.api.markdown import replace_block

COLOURS = {"float32": "#0072b2", "float64": "#d55e00", "complex64": "#56b4e9", "complex128": "#e69f00"}  # Okabe & Ito: safe for colour-blind readers
README = Path(__file__).resolve().parent.parent / "README.md"
MARKS = ("<!-- results -->", "<!-- end of results -->")
SIZE_TICKS = (4, 8, 16, 32, 64, 128)
SPEED_UP_TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)
AGAINST = {"torch": "torch as shipped", "lapack": "LAPACK on all cores", "numpy": "numpy"}
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "spectral_kernels",  # the same results give the same file
}


def _draw(axes: Axes, compared: Sequence[table.Comparison], provider: str) -> None:
    """Speed-up over one opponent, a line per dtype; the band is the opponent's p20 over our p80 up to its p80 over our p20."""
    for dtype in dict.fromkeys(c.ours.dtype for c in compared):
        points = [c for c in compared if c.ours.dtype == dtype and provider in c.others]
        n = [c.ours.n for c in points]
        low = [c.others[provider].p20_s / c.ours.p80_s for c in points]
        high = [c.others[provider].p80_s / c.ours.p20_s for c in points]
        colour = COLOURS.get(dtype)
        axes.fill_between(n, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(n, [c.speed_up(provider) for c in points], color=colour, marker="o", markersize=3, linewidth=1.3, label=dtype)
    axes.axhline(1, color="#888888", linewidth=0.8)


def figure(rows: Sequence[record.Row], path: Path) -> None:
    """A row of panels per benchmark, a column per opponent; the format follows the file's suffix."""
    compared = table.comparisons(rows)
    benchmarks = list(dict.fromkeys(c.ours.benchmark for c in compared))
    providers = list(dict.fromkeys(name for c in compared for name in c.others))
    with plt.rc_context(STYLE):
        shape = {"figsize": (0.5 + 2.2 * len(providers), 0.7 + 1.7 * len(benchmarks)), "sharex": True, "sharey": True, "squeeze": False}
        drawn, grid = plt.subplots(len(benchmarks), len(providers), layout="constrained", **shape)
        for i, benchmark in enumerate(benchmarks):
            for j, provider in enumerate(providers):
                axes = grid[i][j]
                axes.set_xscale("log", base=2)
                axes.set_yscale("log")
                axes.grid(True)
                _draw(axes, [c for c in compared if c.ours.benchmark == benchmark], provider)
                axes.set_title(f"{benchmark} against {AGAINST.get(provider, provider)}", loc="left")
        first = grid[0][0]
        first.xaxis.set_major_locator(plt.FixedLocator(SIZE_TICKS))
        first.yaxis.set_major_locator(plt.FixedLocator(SPEED_UP_TICKS))
        for axis in (first.xaxis, first.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_locator(NullLocator())
        first.legend(frameon=False)
        drawn.supxlabel("matrix size n", fontsize=8)
        drawn.supylabel("speed-up", fontsize=8)
        drawn.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(drawn)


def report(rows: Sequence[record.Row], picture: str) -> str:
    """The page beside the CSV: machine, figure, geometric means, every point."""
    blocks = [table.machine_line(rows[0].provenance), f"![speed-up over n]({picture})", table.markdown(table.means_table(rows)), table.markdown(table.points_table(rows))]
    return "\n\n".join(blocks) + "\n"


def readme_block(csv: Path) -> str:
    """What the README shows of a results file: machine, geometric means with accuracy, figure."""
    rows = record.read_csv(csv)
    place = csv.with_suffix(".svg").relative_to(README.parent)
    return "\n\n".join([table.machine_line(rows[0].provenance), table.markdown(table.means_table(rows)), f"![speed-up over n]({place})"])


def write(csv: Path) -> None:
    """Writes ``FILE.svg`` and ``FILE.md`` beside ``FILE.csv``."""
    rows = record.read_csv(csv)
    picture = csv.with_suffix(".svg")
    figure(rows, picture)
    csv.with_suffix(".md").write_text(report(rows, picture.name))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path, nargs="+")
    parser.add_argument("--readme", action="store_true", help="also put the (first) file's means into the README")
    chosen = parser.parse_args()
    for file in chosen.csv:
        write(file)
    if chosen.readme:
        README.write_text(replace_block(README.read_text(), readme_block(chosen.csv[0].resolve()), MARKS))
