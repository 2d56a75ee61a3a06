"""The build's switches, and a wheel and a source archive that hold what they must and work outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
PACKAGE_FILES = {
    *(f"spectral_kernels/{p.relative_to(ROOT / 'spectral_kernels')}" for p in (ROOT / "spectral_kernels").rglob("*.py") if "api" not in p.relative_to(ROOT).parts),
    *(f"spectral_kernels/api/{p.relative_to(ROOT / 'python_api')}" for p in (ROOT / "python_api").rglob("*.py")),
    "spectral_kernels/py.typed",
    *(f"spectral_kernels/api/report/page.{kind}" for kind in ("css", "html", "js")),
}
OUTSIDE = """
import sys, torch, spectral_kernels as sk
assert not sk.__file__.startswith(sys.argv[1]), sk.__file__
assert sk.build_info()["cpu_isa"] in ("default", "avx2", "avx512")
A = torch.randn(100, 7, 7, dtype=torch.float64)
w, V = sk.linalg.eig(A)
assert float((A.to(V.dtype) @ V - V * w[:, None, :]).abs().max()) < 1e-12
with sk.drop_in():
    assert torch.equal(torch.linalg.eigvals(A), w)
print("works")
"""


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # ninja stands beside this Python
    return subprocess.run([str(c) for c in command], cwd=cwd, env=os.environ | {"PATH": path} | env, text=True, capture_output=True)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"SPECTRAL_CUDA": "yes"}, "SPECTRAL_CUDA: expected auto, 0 or 1, got 'yes'"),
        ({"SPECTRAL_ISAS": "avx2,mmx"}, "SPECTRAL_ISAS: expected native or a comma-separated subset of "),
        ({"SPECTRAL_CUDA": "1", "CUDA_HOME": "/nowhere"}, "SPECTRAL_CUDA=1: "),
    ],
    ids=str,
)
def test_switches_refuse_what_they_do_not_know(env, message):
    done = run(sys.executable, "setup.py", "--version", cwd=ROOT, **env)
    assert done.returncode != 0 and message in done.stderr, done.stdout + done.stderr


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> Path:
    """Wheel and source archive, from the objects that `make build` left in build/: nothing is compiled twice."""
    out = tmp_path_factory.mktemp("distributions")
    for command in (["sdist"], ["build", "--build-lib", out / "lib", "bdist_wheel", "--bdist-dir", out / "bdist"]):
        done = run(sys.executable, "setup.py", "-q", *command, "--dist-dir", out, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_source_archive(distributions):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        members = {m.name.partition("/")[2]: m for m in archive.getmembers()}
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*") if p.is_file()}
    assert sources | PACKAGE_FILES | {"setup.py", "pyproject.toml", "LICENSE", "tests/conftest.py"} <= set(members)
    assert all(members[name].isreg() for name in PACKAGE_FILES)  # files, where the repository has a link


@pytest.mark.slow
def test_wheel_works_outside_the_repository(distributions, tmp_path):
    wheel = next(distributions.glob("*.whl"))
    assert "-cp310-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name for name in names if not name.endswith(".so")} == PACKAGE_FILES
    assert any(name.startswith("spectral_kernels/_cpu_") for name in names)
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # torch from this environment; a path that a .pth file adds has its own .pth files ignored, so no editable install comes along
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "torch.pth").write_text(sysconfig.get_path("purelib"))
    done = run(python, "-c", OUTSIDE, str(ROOT), cwd=tmp_path, PYTHONPATH="")
    assert done.returncode == 0 and done.stdout.strip() == "works", done.stdout + done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [["-m", "pytest", "-q", "-m", "gpu", "--require-gpu"], ["benchmarks/gpu.py"]], ids=["test-gpu", "bench-gpu"])
def test_gpu_verbs_fail_clearly_without_a_gpu(command):
    done = run(sys.executable, *command, cwd=ROOT)
    assert done.returncode != 0 and "no CUDA device" in done.stderr, done.stdout + done.stderr
