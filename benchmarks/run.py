"""Runs the registry on this machine; the full grid goes to benchmarks/results: CSV, table and figure.

    python benchmarks/run.py                       everything, about a quarter of an hour on two cores
    python benchmarks/run.py --quick               printed only
    python benchmarks/run.py --filter '^eig '      printed only
    python benchmarks/run.py --quick --csv FILE    CSV, table and figure where you say
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import plot

from spectral_kernels.api import cli
from spectral_kernels.api.bench import record

RESULTS = Path(__file__).parent / "results"


def results_file() -> Path:
    """One file per kind of machine, such as ``amd-epyc-2-cores-avx512.csv``; git keeps the earlier ones."""
    origin = record.provenance()
    machine = re.sub(r"[^a-z0-9]+", "-", origin.machine.lower()).strip("-")
    return RESULTS / f"{machine}-{origin.cores}-cores-{origin.isa}.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only the points whose name matches")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where the rows go; the table and the figure lie beside it")
    chosen = parser.parse_args()
    csv = chosen.csv or (None if chosen.quick or chosen.filter else results_file())
    try:
        status = cli.bench(chosen.quick, chosen.filter, csv)
    except ValueError as error:
        parser.error(str(error))
    if status == 0 and csv is not None:
        plot.write(csv)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
