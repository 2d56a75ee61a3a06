"""The core of the suite (marked ``isa``) once for every instruction set this machine has, forced by ``ATEN_CPU_CAPABILITY``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import spectral_kernels as sk

ROOT = Path(__file__).parent.parent
ISAS = ["default", "avx2", "avx512"]
CODE = "import spectral_kernels as sk; print(sk.build_info()['cpu_isa'])"


def python(isa: str, *arguments: str) -> str:
    env = os.environ | {"ATEN_CPU_CAPABILITY": isa}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
def test_core_on(isa):
    if importlib.util.find_spec(f"spectral_kernels._cpu_{isa}") is None:
        pytest.skip(f"_cpu_{isa} is not built")
    if isa == sk.build_info()["cpu_isa"]:
        pytest.skip(f"{isa} is what the suite itself runs on")
    if python(isa, "-c", CODE).strip() != isa:
        pytest.skip(f"this CPU has no {isa}")
    marked = sorted(str(path) for path in (ROOT / "tests").glob("test_*.py") if "mark.isa" in path.read_text() and path != Path(__file__))  # the others need not be imported
    summary = python(isa, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "isa", *marked).strip().splitlines()[-1]
    assert "passed" in summary and "skipped" not in summary and "failed" not in summary, summary


def test_the_loaded_extension_is_the_one_torch_names():
    built = [isa for isa in ISAS if importlib.util.find_spec(f"spectral_kernels._cpu_{isa}")]
    at_most = ISAS.index(capability) if (capability := torch.backends.cpu.get_cpu_capability().lower()) in ISAS else 0
    assert sk.build_info()["cpu_isa"] == [isa for isa in built if ISAS.index(isa) <= at_most][-1]
