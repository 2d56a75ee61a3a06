"""csrc/core under nvcc, one source for CPU and GPU; skipped where there is no nvcc."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NVCC = shutil.which("nvcc")


@pytest.mark.skipif(NVCC is None, reason="nvcc not found")
@pytest.mark.parametrize("arch", ["80", "90", "100"])
def test_core_compiles(arch, tmp_path):
    command = [NVCC, "-std=c++17", "-O1", "-fmad=false", f"-I{ROOT / 'csrc'}", f"-gencode=arch=compute_{arch},code=sm_{arch}"]
    subprocess.run([*command, "-c", "-o", tmp_path / "core.o", ROOT / "tests" / "cuda" / "core_compiles.cu"], check=True)
