"""The model of speed: its arithmetic on examples small enough to follow by hand, and its counts on a kernel whose operations are known."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "tests"))
executed = pytest.importorskip("executed")
sass = pytest.importorskip("sass")

CODE = """
	code for sm_90
		Function : _Z1kPd
        /*0000*/                   LDG.E.64 R2, desc[UR4][R8.64] ;              /* 0x1 */
                                                                                /* 0x2 */
        /*0010*/                   DADD R4, R2, R2 ;                            /* 0x1 */
        /*0020*/                   DMUL R6, R4, R4 ;                            /* 0x1 */
        /*0030*/                   SHFL.BFLY PT, R0, R6, 0x1, 0x1f ;            /* 0x1 */
        /*0040*/                   IADD3 R10, R10, 0x1, RZ ;                    /* 0x1 */
        /*0050*/                   ISETP.GE.AND P0, PT, R10, 0x8, PT ;          /* 0x1 */
        /*0060*/              @!P0 BRA 0x10 ;                                   /* 0x1 */
        /*0070*/               @P1 BRA 0x90 ;                                   /* 0x1 */
        /*0080*/                   CALL.REL.NOINC 0xb0 ;                        /* 0x1 */
        /*0090*/                   STS.64 [R1], R4 ;                            /* 0x1 */
        /*00a0*/                   EXIT ;                                       /* 0x1 */
        /*00b0*/                   DMUL R4, R4, R4 ;                            /* 0x1 */
        /*00c0*/                   RET.REL.NODEC R6 0x0 ;                       /* 0x1 */
"""
DISASSEMBLY = """
0000000000001000 <_Z1kPd>:
    1000:\tpush   %rbx
    1001:\tcall   500 <__sanitizer_cov_trace_pc@plt>
    1006:\tvmovsd (%rdi),%xmm0
    100a:\tvfmadd213sd %xmm1,%xmm2,%xmm0
    100f:\tvdivsd %xmm1,%xmm0,%xmm0
    1013:\tcall   500 <__sanitizer_cov_trace_pc@plt>
    1018:\tsqrtss %xmm0,%xmm0
    101c:\taddss  %xmm0,%xmm0
    1020:\taddl   $1,%eax
    1023:\tret
"""


def code():
    ((key, instructions),) = sass.parse(CODE).items()
    assert key == ("_Z1kPd", "sm_90")
    return instructions


def test_machine_code_is_read():
    assert [i.kind for i in code()[:7]] == ["global", "fp64", "fp64", "shuffle", "integer", "integer", "control"]
    assert [(len(b.instructions), b.depth, b.rare) for b in sass.blocks(code())] == [(1, 0, False), (6, 1, False), (1, 0, False), (1, 0, True), (2, 0, False), (2, 0, True)]


def test_critical_path_follows_registers():
    loop = code()[1:7]
    # DADD at 1, its result at 9, DMUL's at 17, SHFL's at 17 + 24; the counter's chain is shorter
    assert sass.critical_path(loop) == 1 + 8 + 8 + 24
    assert sass.critical_path(loop[3:4]) == 1 + 5
    assert sass.critical_path([loop[0], loop[0]]) == 2 + 8  # one a cycle where nothing depends


def test_profile_is_of_the_inner_loop():
    assert sass.profile(code()) == sass.Profile({"fp64": 2, "shuffle": 1, "integer": 2, "control": 1}, 0, 41)


def test_operations_of_blocks():
    assert executed.operations_of_blocks(DISASSEMBLY) == {0x1006: Counter(simple=1, division=1), 0x1018: Counter(simple=1, root=1)}


def test_a_warp_takes_the_steps_of_its_longest_lane():
    counts = np.zeros((2, 64), int)
    counts[0, :32], counts[0, 5], counts[0, 32:] = 3, 7, 2
    counts[1, 40] = 1
    assert executed.per_warp(counts, [Counter(simple=10), Counter(root=1)]) == {"simple": 90.0, "division": 0.0, "root": 1.0}


@pytest.mark.thorough
def test_counts_of_a_known_kernel():
    """Row sums: a lane adds 4 of 100 numbers (3 in some lanes), then 5 times what the others have; 4 warps."""
    script = """
import numpy as np, sys
sys.path[:0] = ["benchmarks", "tests"]
import executed, simt_library
k = simt_library.load("simt/example.cpp")
x, y = np.ones((4, 100)), np.zeros(4)
print(executed.measure(k, lambda: k.call("row_sum_f64", x, y, 4, 100)))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "SIMT_VARIANT": "counted"}, capture_output=True, text=True, check=False)
    assert done.stdout == "{'simple': 36.0, 'division': 0.0, 'root': 0.0}\n", done.stderr


def model():
    import gpu_model

    return gpu_model


@pytest.mark.parametrize("registers, threads, shared, blocks", [
    (255, 64, 0, 4),  # 65536 / (256 x 32) = 8 warps
    (128, 128, 0, 4),
    (32, 1024, 0, 2),  # 64 warps
    (32, 32, 0, 32),
    (32, 128, 100 * 1024, 2),
    (32, 128, 228 * 1024, 0),
])
def test_occupancy(registers, threads, shared, blocks):
    h100 = next(g for g in model().GPUS if g.name == "H100")
    assert model().occupancy(h100, registers, threads, shared) == blocks


def test_prediction_by_hand():
    m = model()
    gpu = m.Gpu("toy", "sm_90", 10, 1e9, 1e15, 228 * 1024, {**m.COMMON, "fp32": 1.0, "fp64": 2.0})
    profile = sass.Profile({"fp64": 80, "mufu": 20, "integer": 100, "shuffle": 50}, 60, 1000)
    # 90 + 10 x (10 + 1) = 200 floating-point instructions: twice the profile's 100
    work = m.Work("k", 32, 64, 0, {"simple": 90.0, "division": 10.0, "root": 0.0})
    p = m.predict("eigvals", "float64", 4, gpu, work, 32, profile)
    # units: fp64 160 x 2 / 4 = 80, mufu 40 x 8 / 4 = 80, integer 200 x 2 / 4 = 100, shuffle 100 x 4 / 4 = 100, shared 120, issue 500 / 4 = 125
    assert p.instructions * 32 == pytest.approx(500) and p.busy * 32 == pytest.approx(125)
    # two warps share 2000 cycles of waiting, and 32 blocks of two warps are resident: 1000 / 32
    assert p.resident_blocks == 32 and p.waiting * 32 == pytest.approx(1000 / 32)
    assert p.bound == "issue" and p.per_second == pytest.approx(10 * 1e9 * 32 / 125)
    assert p.bytes == 4 * 4 * 8 + 4 * 16 + 4
    slow = m.predict("eigvals", "float64", 4, m.Gpu("toy", "sm_90", 10, 1e9, 196e6, 228 * 1024, gpu.cycles), work, 32, profile)
    assert slow.bound == "memory" and slow.per_second == pytest.approx(1e6)
    crowded = m.predict("eigvals", "float64", 4, gpu, work._replace(shared=200 * 1024), 32, profile)
    assert crowded.bound == "latency" and crowded.per_second == pytest.approx(10 * 1e9 * 32 / 1000)
    with pytest.raises(ValueError, match="does not fit on toy"):
        m.predict("eigvals", "float64", 4, gpu, work._replace(shared=230 * 1024), 32, profile)


@pytest.mark.parametrize("op, dtype, size", [
    ("eigvals", "float32", 9 * 4 + 3 * 8 + 4), ("eigvals", "complex128", 9 * 16 + 3 * 16 + 4), ("eig", "float64", 9 * 8 + 3 * 16 + 9 * 16 + 4),
    ("eigvalsh", "complex64", 9 * 8 + 3 * 4 + 4), ("eigh", "float32", 9 * 4 + 3 * 4 + 9 * 4 + 4),
])
def test_bytes(op, dtype, size):
    m = model()
    work = m.Work("k", 32, 64, 0, {"simple": 100.0, "division": 0.0, "root": 0.0})
    assert m.predict(op, dtype, 3, m.GPUS[1], work, 32, sass.Profile({"fp32": 10}, 0, 10)).bytes == size


def test_lapack_is_scaled_to_its_cores():
    row = {"benchmark": "eig", "provider": "lapack", "dtype": "float32", "n": "8", "median_s": "6.4e-6", "threads": "2"}
    assert model().lapack_seconds("eig", "float32", 8, [row]) == pytest.approx(0.2e-6)
    assert model().lapack_seconds("eig", "float32", 9, [row]) is None


def test_report_says_that_it_predicts():
    m = model()
    work = m.Work("k", 32, 64, 0, {"simple": 100.0, "division": 0.0, "root": 0.0})
    text = m.report([m.predict("eig", "float32", 3, gpu, work, 32, sass.Profile({"fp32": 10}, 0, 10)) for gpu in m.GPUS], [])
    assert "no kernel was run on a GPU" in text and "| eig | float32 | 3 |" in text
