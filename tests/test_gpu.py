"""What a GPU must do as the CPU does, and what only a GPU has: streams, graphs, no synchronisation, compute-sanitizer.

``make test-gpu`` runs these and every other test whose ``device`` is cuda.  On the CPU the first half runs on small sizes, so that the
tests themselves are right on the day there is a GPU.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import transition_cases
from structured_inputs import rand, randn

import spectral_kernels as sk
from spectral_kernels import ops
from spectral_kernels.api.testing import matrices, ratios, symmetric
from spectral_kernels.api.testing.matching import matched_distance

ROOT = Path(__file__).parents[1]
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
BOUNDARIES = {"cpu": (2, 9), "cuda": (1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 127, 128)}
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
tools = pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck", "initcheck"])


def back(r: sk.linalg.EigResult) -> list[torch.Tensor]:
    return [x.cpu() for x in (r.eigenvalues, r.eigenvectors, r.left_eigenvectors)]


@dtypes
def test_lapack_types(device, dtype):
    for n in BOUNDARIES[device.type]:
        A, names = matrices.lapack_batch(n, dtype, 3)
        A = torch.from_numpy(A)
        r = sk.linalg.eig_ex(A.to(device), left=True)
        assert not r.info.any()
        for test, ratio in ratios.ddrvev(A, *back(r)).items():
            assert ratio.max() <= 10, f"n = {n}, {test} ratio {ratio.max():.3g}: {names[int(ratio.argmax())]}"
        assert torch.equal(sk.linalg.eigvals(A.to(device)), r.eigenvalues)


@dtypes
def test_symmetric_types(device, dtype):
    for n in BOUNDARIES[device.type]:
        A, names = symmetric.symmetric_batch(n, dtype, 2)
        w, Z = (x.cpu().numpy() for x in sk.linalg.eigh(torch.from_numpy(A).to(device)))
        for ratio in (symmetric.residual_ratio(A, w, Z), symmetric.orthogonality_ratio(Z)):
            assert ratio.max() <= 20, f"n = {n}: {names[int(ratio.argmax())]}"


@dtypes
def test_bad_matrices_harm_no_neighbours(device, dtype):
    for n in BOUNDARIES[device.type]:
        A = torch.from_numpy(matrices.lapack_batch(n, dtype, 2)[0]).to(device)
        alone = sk.linalg.eig_ex(A, left=True)
        bad = list(range(0, len(A), 3))
        A[bad[::2], 0, n - 1], A[bad[1::2], n - 1, 0] = float("nan"), float("inf")
        among = sk.linalg.eig_ex(A, left=True)
        rest = [i for i in range(len(A)) if i not in bad]
        assert all(torch.equal(x[rest], y[rest]) for x, y in zip(alone[:4], among[:4], strict=True))
        assert bool((among.info[bad] > 0).all()) and bool(among.eigenvalues[bad].isnan().all())


def test_batches(device):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(100_003 if device.type == "cuda" else 1003, 3, 3, generator=generator).to(device)
    w = sk.linalg.eigvals(A)
    for batch in (0, 1, 2, 31, 33, 65, 1000):
        assert torch.equal(sk.linalg.eigvals(A[:batch]), w[:batch])
    assert ratios.residual(A[-50:].cpu(), *(x[-50:].cpu() for x in sk.linalg.eig(A))) <= 10


@pytest.mark.parametrize("n", [3, 12, 40])
def test_strides(device, n):
    A = torch.randn(4, 5, n, n, generator=torch.Generator().manual_seed(n)).to(device)
    w = sk.linalg.eigvals(A)
    assert torch.equal(sk.linalg.eigvals(A.mT.contiguous().mT), w)
    assert torch.equal(sk.linalg.eigvals(A.transpose(0, 1)), w.transpose(0, 1))
    assert torch.equal(sk.linalg.eigvals(A[:, ::2]), w[:, ::2])
    assert torch.equal(sk.linalg.eigvals(A[:1].expand(3, 5, n, n)), w[:1].expand(3, 5, n))
    wide = torch.zeros(4, 5, n + 3, n + 1, device=device)
    wide[..., 2 : n + 2, 1:] = A
    assert torch.equal(sk.linalg.eigvals(wide[..., 2 : n + 2, 1:]), w)


@pytest.mark.parametrize("name", [name for name in transition_cases.REAL if name not in transition_cases.DEFECTIVE])
def test_transitions(device, name):
    t = transition_cases.make((name, torch.float64))
    w = t.to(device).eigvals()
    assert w.device.type == device.type
    for ours, cpu in zip(w.cpu().reshape(-1, t.size), t.eigvals().reshape(-1, t.size), strict=True):
        assert matched_distance(ours, cpu) <= 1e-10 * max(1.0, float(cpu.abs().max()))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("rank_one_eigvals", (rand(70), rand(70), randn(70, 5), randn(70, 5, seed=2))),
        ("diagonal_eigvals", (randn(70, 3), True)),
        ("expand_exp", (rand(70, 3), -rand(3, 2))),
        ("householder_eigvals", (2 * rand(70, 3), randn(70, 3, 5))),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_ops_of_closed_forms(device, name, arguments):
    def result(where):
        found = getattr(ops, name)(*(x.to(where) if isinstance(x, torch.Tensor) else x for x in arguments))
        return (found[0] if isinstance(found, tuple) else found).cpu()

    ours, cpu = result(device), result("cpu")
    assert float((ours.sum(-1) - cpu.sum(-1)).abs().max()) <= 1e-12 * float(cpu.abs().max())


def test_spectrum(device):
    w = torch.randn(10, 500, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    there, here = sk.Spectrum(), sk.Spectrum()
    there.update(w.to(device))
    here.update(w)
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(there.bins(), here.bins(), strict=True))


def inputs_on_gpu(n: int, dtype: torch.dtype = torch.float32, batch: int = 999) -> torch.Tensor:
    return torch.randn(batch, n, n, dtype=dtype, generator=torch.Generator().manual_seed(n)).cuda()


@pytest.mark.gpu
@pytest.mark.parametrize("n", [3, 8, 16, 32, 64])
def test_side_stream(n):
    A = inputs_on_gpu(n)
    expected = sk.linalg.eigvals(A)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        late = torch.zeros_like(A)
        torch.cuda._sleep(50_000_000)
        late.copy_(A)  # a kernel on another stream would see zeros
        w = sk.linalg.eig_ex(late, right=False).eigenvalues
    stream.synchronize()
    assert torch.equal(w, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [3, 8, 16, 32, 64])
def test_nothing_waits_for_the_gpu(n):
    A = inputs_on_gpu(n)
    sk.linalg.eig_ex(A, left=True)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        torch.cuda._sleep(2_000_000_000)  # about a second
        start = time.perf_counter()
        sk.linalg.eig_ex(A, left=True)
        waited = time.perf_counter() - start
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    assert waited < 0.3


@pytest.mark.gpu
@pytest.mark.parametrize("n", [3, 8, 16, 32, 64])
def test_graph_capture(n):
    A, B = inputs_on_gpu(n), inputs_on_gpu(n).flip(0).contiguous()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        sk.linalg.eig_ex(A, left=True)
    torch.cuda.current_stream().wait_stream(side)
    static, graph = A.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        r = sk.linalg.eig_ex(static, left=True)
    for new in (A, B):
        static.copy_(new)
        graph.replay()
        assert all(torch.equal(x, y) for x, y in zip(r[:4], sk.linalg.eig_ex(new, left=True)[:4], strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("n", [3, 8, 16, 32, 64])
def test_only_outputs_and_one_workspace_are_allocated(n):
    A = inputs_on_gpu(n)
    sk.linalg.eig_ex(A)
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    r = sk.linalg.eig_ex(A)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] - before <= 1 + sum(x is not None for x in (r.eigenvalues, r.eigenvectors, r.info))


@pytest.mark.gpu
def test_another_device_than_the_current_one():
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device")
    A = inputs_on_gpu(8).to("cuda:1")
    assert torch.equal(sk.linalg.eigvals(A).cpu(), sk.linalg.eigvals(A.to("cuda:0")).cpu())


SMALL = """
import torch, spectral_kernels as sk
for n in (3, 8, 16, 33, 70):
    for dtype in (torch.float32, torch.complex128):
        A = torch.randn(5, n, n, dtype=dtype).cuda()
        sk.linalg.eig_ex(A, left=True)
        sk.linalg.eigvals(A)
        sk.linalg.eigh(A + A.mH)
torch.cuda.synchronize()
"""


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("compute-sanitizer") is None, reason="compute-sanitizer not found")
@tools
def test_compute_sanitizer(tool):
    only = ["--kernel-regex", "kns=sk"] if tool != "memcheck" else []  # other libraries' kernels are not ours to judge
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", *only, sys.executable, "-c", SMALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.thorough
def test_benchmark_runs_dry(tmp_path):
    csv = tmp_path / "gpu.csv"
    command = [sys.executable, "benchmarks/gpu.py", "--dry-run", "--filter", "^eig(valsh)? float32 n=3$", "--csv", str(csv)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = csv.read_text().splitlines()
    assert len(lines) == 1 + 2 * 5 and csv.with_suffix(".svg").is_file() and csv.with_suffix(".md").is_file()
