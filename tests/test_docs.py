"""What the documents say runs: every docstring example of every module, and every Python block of the README."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import spectral_kernels

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(spectral_kernels.__path__, "spectral_kernels.")
    if not module.name.rpartition(".")[2].startswith(("_cpu_", "_cuda", "__main__"))
)
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_there_is_something_to_run():
    assert {"spectral_kernels.api.linalg", "spectral_kernels.reference.eig", "spectral_kernels.ops.dense"} <= set(MODULES)
    assert BLOCKS


@pytest.mark.parametrize("name", ["spectral_kernels", *MODULES])
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_public_functions_have_examples():
    finder = doctest.DocTestFinder(recurse=False)
    linalg = importlib.import_module("spectral_kernels.api.linalg")
    without = [t.name for f in (linalg.eig, linalg.eigvals, linalg.eig_ex, linalg.drop_in) for t in finder.find(f, f.__name__) if not t.examples]
    assert not without


def test_readme_blocks_run_one_after_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
