"""The README's table of families, from the registry: ``python -m spectral_kernels.api.families.table [--readme README.md]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from spectral_kernels.api.families.registry import STRUCTURES, families
from spectral_kernels.api.markdown import replace_block, rows

MARKS = ("<!-- families -->", "<!-- end of families -->")


def markdown() -> str:
    """Both tables: the families, from the simplest structure up and then by name, and the structures that they name."""
    ids = list(STRUCTURES)
    entries = sorted(families().values(), key=lambda f: (min(map(ids.index, f.structure)), f.name.lower()))
    header = ["family", "`sk.families.`", "structure", "cost per position and head", "eigenvalues", "gauge", "source"]
    lines = [[f.name, f"`{f.function.__name__}`", ", ".join(f.structure), f.cost, f.range, ", ".join(f.gauge), f.source] for f in entries]
    used = {s for f in entries for s in f.structure}
    structures = [[key, ", ".join(f"`{c}`" for c in classes.split(", ")), matrix] for key, (classes, matrix) in STRUCTURES.items() if key in used]
    return f"{rows(header, [[_escaped(cell) for cell in line] for line in lines])}\n\n{rows(['structure', '`sk.transitions.`', 'matrix'], structures)}"


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")  # |lambda| is no end of a cell


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m spectral_kernels.api.families.table", description="Prints the table of families.")
    parser.add_argument("--readme", type=Path, help="write it into this page instead, between the marks of the table")
    page = parser.parse_args(arguments).readme
    if page is None:
        print(markdown())
    else:
        page.write_text(replace_block(page.read_text(), markdown(), MARKS))


if __name__ == "__main__":
    main()
