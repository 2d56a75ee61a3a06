"""eigvals of matrices that live on a GPU: `sk.linalg`, torch on the GPU, and a round trip to the CPU kernels.

Accuracy first: no time is printed for a batch whose residual is above the gate.  Exits with 2 where there is no CUDA device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch
from torch.utils.benchmark import Timer

import spectral_kernels as sk

SIZES = (3, 8, 16, 32, 64)
GATE = 10.0  # residual in units of ulp |A|_1 |V|_1, as in tests/test_accuracy.py


def residual(A: torch.Tensor) -> float:
    w, V = sk.linalg.eig(A)
    wide, V, w = A.to(torch.complex128), V.to(torch.complex128), w.to(torch.complex128)
    norms = torch.linalg.matrix_norm(A.double(), 1) * torch.linalg.matrix_norm(V, 1) * torch.finfo(A.dtype).eps
    return float((torch.linalg.matrix_norm(wide @ V - V * w[..., None, :], 1) / norms).max())


def opponents(A: torch.Tensor) -> dict[str, Callable[[], torch.Tensor]]:
    return {
        "sk.linalg": lambda: sk.linalg.eigvals(A),
        "torch": lambda: torch.linalg.eigvals(A),
        "CPU kernels and back": lambda: sk.linalg.eigvals(A.cpu()).to(A.device),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=256)
    chosen = parser.parse_args()
    if torch.device(chosen.device).type == "cuda" and not torch.cuda.is_available():
        print(f"no CUDA device: torch {torch.__version__} sees none, so there is nothing to measure", file=sys.stderr)
        return 2
    name = torch.cuda.get_device_name(chosen.device) if chosen.device.startswith("cuda") else chosen.device
    print(f"{name}, torch {torch.__version__}, batch {chosen.batch}: median microseconds per matrix")
    failed = False
    for dtype in (torch.float32, torch.float64):
        for n in SIZES:
            torch.manual_seed(n)
            A = torch.randn(chosen.batch, n, n, dtype=dtype, device=chosen.device)
            worst = residual(A)
            if not worst <= GATE:
                print(f"{dtype} n = {n}: residual {worst:.3g} above the gate of {GATE:g}: not measured")
                failed = True
                continue
            medians = {label: Timer("call()", globals={"call": call}).blocked_autorange(min_run_time=0.3).median for label, call in opponents(A).items()}
            print(f"{dtype} n = {n}: " + ", ".join(f"{label} {median / chosen.batch * 1e6:.2f}" for label, median in medians.items()))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
