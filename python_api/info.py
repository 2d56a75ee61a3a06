"""What is inside this build, and what it runs on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from spectral_kernels import ops, triton
from spectral_kernels._version import __version__


def build_info() -> dict[str, str]:
    """What is inside: versions, the instruction set of the CPU kernels in use, whether the CUDA kernels were built, and the Triton whose kernels CUDA tensors take."""
    version = triton.version()
    has_gpu = "" if triton.available() else ", no GPU for it"
    return {
        "spectral_kernels": __version__,
        "torch": str(torch.__version__),
        "cpu_isa": ops.CPU_ISA,
        "cuda_kernels": "built" if ops.CUDA_BUILT else "not built",
        "triton": "none" if version is None else version + has_gpu,
    }


def cpu_model() -> str:
    """The processor's name as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_info() -> dict[str, str]:
    """The machine: processor, cores this process may run on, torch's threads (what every parallel provider uses)."""
    return {
        "machine": cpu_model(),
        "cores": str(cores()),
        "threads": str(torch.get_num_threads()),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }
