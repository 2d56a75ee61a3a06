"""Exponential and tanh of the core: worst errors in ulps, and what they make of 0, infinity and NaN."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_errors_in_ulps(tmp_path):
    program = tmp_path / "exp"
    subprocess.run([COMPILER, "-std=c++17", "-O1", "-ffp-contract=off", "-w", f"-I{ROOT / 'csrc'}", ROOT / "tests" / "core" / "exp.cpp", "-o", program], check=True)
    lines = subprocess.run([program], check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        exp2, tanh, ends = line.split()
        assert float(exp2) <= 1.2 and float(tanh) <= 4 and ends == "1", line
