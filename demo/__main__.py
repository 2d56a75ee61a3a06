"""Three trained models that come in PyPI packages, each on what it was made for, and one page about what they keep.  Run it by `make demo`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import microbes
import source_code
import words

import spectral_kernels as sk

MODELS = (microbes, source_code, words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), metavar="DIR")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    studies = []
    for module in MODELS:
        start = time.perf_counter()
        print(module.__doc__.partition("\n")[0])
        studies.append(module.study())
        print(f"  {time.perf_counter() - start:.1f} s\n")
    for study in studies:
        print(study.title)
        for word, sentence in sk.report.sentences(study):
            print(f"  {word}: {sentence}")
    sk.report.write(out / "report.html", *studies, title="What three trained models keep")
    sk.report.write_table(out / "spectrum.csv", studies)
    print(f"\n{out / 'report.html'}")


if __name__ == "__main__":
    main()
