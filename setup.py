"""Build of the compiled extensions; everything else is in pyproject.toml.

One CPU extension per instruction set, from the same sources; `spectral_kernels/_load.py` picks one at import.  The LibTorch
stable ABI and the limited Python API give one wheel for Python >= 3.10 and torch >= 2.10.

Environment: ``SPECTRAL_ISAS`` (a subset of the instruction sets, e.g. ``avx512``, or ``native``, for a quick build),
``SPECTRAL_CUDA`` (``auto``: the CUDA extension where nvcc is found; ``1``: always; ``0``: never) and ``SPECTRAL_CUDA_ARCHS`` (which GPUs
it is compiled for, the oldest first; others, from the oldest on, compile at run time).
"""

from __future__ import annotations

import copy
import os
import platform
import shutil
from pathlib import Path

import torch
from setuptools import Extension, setup
from torch.utils import cpp_extension

ROOT = Path(__file__).parent
if not (ROOT / "spectral_kernels" / "api").is_dir():
    raise SystemExit("spectral_kernels/api must be a link to python_api: check out with git's core.symlinks=true")

X86_ISAS = {
    "default": ["-fno-tree-vectorize"],  # without fused operations gcc 12 compiles sums of squares of complex numbers wrong when it vectorises them
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"],
}
ISAS = X86_ISAS if platform.machine() in {"x86_64", "AMD64"} else {"default": []}
CUDA_ARCHS = ("80",)  # and PTX, from which the driver compiles for all that came after
# No fast-math; products are contracted only where the source says lane_fma, so that every lane width gives the same bits.
COMMON = [
    "-O3", "-g0", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi", "-Wno-ignored-attributes",
    "-Wno-parentheses", "-Wno-maybe-uninitialized", "-Wno-uninitialized",  # `!` on masks; gcc 12 about its own AVX-512 headers
]
# As for the CPU: -fmad=false contracts nothing.
NVCC = ["-O3", "-std=c++17", "-fmad=false", "-Xcompiler=-fvisibility=hidden"]
MACROS = [("TORCH_TARGET_VERSION", "0x020a000000000000"), ("Py_LIMITED_API", "0x030A0000")]
MODULE = "csrc/cpu/module.cpp"


def sources(pattern: str) -> list[str]:
    return sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").glob(pattern))


def wanted_isas() -> list[str]:
    """The instruction sets that ``SPECTRAL_ISAS`` names (``native``: this machine's), all of them by default."""
    native = torch.backends.cpu.get_cpu_capability().lower()
    names = [name.strip() for name in os.environ.get("SPECTRAL_ISAS", "").split(",") if name.strip()] or list(ISAS)
    names = [(native if native in ISAS else "default") if name == "native" else name for name in names]
    if unknown := sorted(set(names) - set(ISAS)):
        raise SystemExit(f"SPECTRAL_ISAS: expected native or a comma-separated subset of {','.join(ISAS)}, got {','.join(unknown)}")
    return names


def cuda_home() -> Path | None:
    """Where CUDA is installed: ``CUDA_HOME`` if set, else beside the nvcc on PATH, else /usr/local/cuda.  No GPU is asked for."""
    nvcc = shutil.which("nvcc")
    usual = [*([Path(nvcc).resolve().parent.parent] if nvcc else []), Path("/usr/local/cuda")]
    candidates = [Path(os.environ["CUDA_HOME"])] if os.environ.get("CUDA_HOME") else usual
    return next((home for home in candidates if (home / "bin" / "nvcc").is_file() and (home / "include" / "cuda_runtime.h").is_file()), None)


def wanted_archs() -> list[str]:
    """nvcc's flags for the architectures that ``SPECTRAL_CUDA_ARCHS`` names, and for those to come."""
    archs = [arch.strip() for arch in os.environ.get("SPECTRAL_CUDA_ARCHS", "").split(",") if arch.strip()] or list(CUDA_ARCHS)
    if bad := [arch for arch in archs if not arch.rstrip("abcdef").isdigit()]:
        raise SystemExit(f"SPECTRAL_CUDA_ARCHS: expected a comma-separated list such as {','.join(CUDA_ARCHS)}, got {','.join(bad)}")
    code = ",".join([*(f"sm_{arch}" for arch in archs), f"compute_{archs[0]}"])  # the front end runs once, for the oldest
    return [f"-gencode=arch=compute_{archs[0]},code=[{code}]"]


def cpu_extension(isa: str) -> Extension:
    return cpp_extension.CppExtension(
        f"spectral_kernels._cpu_{isa}",
        sources("cpu/*.cpp"),
        depends=sources("**/*.h"),
        define_macros=[*MACROS, ("SK_MODULE_NAME", f"_cpu_{isa}")],
        extra_compile_args=[*COMMON, *ISAS[isa]],
        py_limited_api=True,
    )


def cuda_extensions() -> list[Extension]:
    """The CUDA extension, or none, as ``SPECTRAL_CUDA`` says."""
    switch = os.environ.get("SPECTRAL_CUDA", "auto")
    if switch not in {"auto", "0", "1"}:
        raise SystemExit(f"SPECTRAL_CUDA: expected auto, 0 or 1, got {switch!r}")
    kernels, home = sources("cuda/*.cu"), cuda_home()
    if switch == "1" and not kernels:
        raise SystemExit("SPECTRAL_CUDA=1: there are no CUDA sources (csrc/cuda/*.cu) in this version; build with SPECTRAL_CUDA=auto or 0")
    if switch == "1" and home is None:
        raise SystemExit("SPECTRAL_CUDA=1: nvcc was not found; set CUDA_HOME to the folder that holds bin/nvcc, or put nvcc on PATH")
    if switch == "0" or not kernels or home is None:
        return []
    cpp_extension.CUDA_HOME = str(home)  # a CPU build of torch does not look for nvcc
    return [
        cpp_extension.CppExtension(
            "spectral_kernels._cuda",
            [*kernels, *sources("cuda/*.cpp"), MODULE],
            depends=sources("**/*.h") + sources("**/*.cuh"),
            define_macros=[*MACROS, ("SK_MODULE_NAME", "_cuda")],
            include_dirs=[str(home / "include")],
            library_dirs=[str(home / "lib64")],
            libraries=["cudart_static", "rt", "dl"],  # whatever runtime torch has brought
            extra_compile_args={"cxx": COMMON, "nvcc": [*NVCC, *wanted_archs()]},
            py_limited_api=True,
        )
    ]


class BuildExtension(cpp_extension.BuildExtension):
    """Objects stand in build/<extension>: editable installs, wheels and `make` share them, and one extension's never replace another's."""

    def build_extensions(self) -> None:
        self.extensions = copy.deepcopy(self.extensions)  # torch appends its flags to them; twice appended, they would compile all anew
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        self.build_temp = str(ROOT / "build" / ext.name.rpartition(".")[2])
        super().build_extension(ext)


setup(
    ext_modules=[*(cpu_extension(isa) for isa in wanted_isas()), *cuda_extensions()],
    cmdclass={"build_ext": BuildExtension.with_options(no_python_abi_suffix=True)},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
