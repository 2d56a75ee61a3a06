"""csrc/core under nvcc, one source for CPU and GPU; skipped where there is no nvcc."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NVCC = shutil.which("nvcc")


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="nvcc not found")
def test_core_compiles(tmp_path):
    code = "-gencode=arch=compute_80,code=[sm_80,sm_90,sm_100]"  # as in setup.py, the front end runs once
    command = [NVCC, "-std=c++17", "-O0", "-Xcicc=-O0", "-Xptxas=-O0", "-fmad=false", f"-I{ROOT / 'csrc'}", code]
    subprocess.run([*command, "-c", "-o", tmp_path / "core.o", ROOT / "tests" / "cuda" / "core_compiles.cu"], check=True)
