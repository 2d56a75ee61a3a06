"""A matrix whose iteration does not end: the count stops it, info says how far it came, its neighbours are not harmed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_iteration_limit(tmp_path):
    program = tmp_path / "iteration_limit"
    source = ROOT / "tests" / "core" / "iteration_limit.cpp"
    subprocess.run([COMPILER, "-std=c++17", "-O1", "-ffp-contract=off", "-Wno-psabi", "-w", f"-I{ROOT / 'csrc'}", source, "-o", program], check=True)
    out = subprocess.run([program], check=True, capture_output=True, text=True, timeout=30).stdout
    # info = 3: eigenvalue 3 (counted from 0) is right, 10 = 1 + 3 + 2 * 3; the first three were not found
    assert out.splitlines() == ["scalar 3 10", "lanes 0 0 3 0 10"]
