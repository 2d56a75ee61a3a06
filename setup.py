"""Build of the compiled extensions; everything else is in pyproject.toml.

One extension per instruction set, from the same sources; `spectral_kernels/_load.py` picks one at import.
The LibTorch stable ABI and the limited Python API give one wheel for Python >= 3.10 and torch >= 2.10.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

ROOT = Path(__file__).parent
if not (ROOT / "spectral_kernels" / "api").is_dir():
    raise SystemExit("spectral_kernels/api must be a link to python_api: check out with git's core.symlinks=true")

X86_ISAS = {
    "default": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"],
}
ISAS = X86_ISAS if platform.machine() in {"x86_64", "AMD64"} else {"default": []}
if wanted := os.environ.get("SPECTRAL_ISAS"):  # a subset, for a quick build while developing: SPECTRAL_ISAS=avx512
    ISAS = {isa: ISAS[isa] for isa in wanted.split(",")}
# No fast-math; products are contracted only where the source says lane_fma, so that every lane width gives the same bits.
COMMON = [
    "-O3", "-g0", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi", "-Wno-ignored-attributes",
    "-Wno-parentheses", "-Wno-maybe-uninitialized", "-Wno-uninitialized",  # `!` on masks; gcc 12 about its own AVX-512 headers
]
MACROS = [("TORCH_TARGET_VERSION", "0x020a000000000000"), ("Py_LIMITED_API", "0x030A0000")]
CPU_SOURCES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc" / "cpu").glob("*.cpp"))
HEADERS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*.h"))


def cpu_extension(isa: str, flags: list[str]) -> CppExtension:
    return CppExtension(
        f"spectral_kernels._cpu_{isa}",
        CPU_SOURCES,
        depends=HEADERS,
        define_macros=[*MACROS, ("SK_MODULE_NAME", f"_cpu_{isa}")],
        extra_compile_args=[*COMMON, *flags],
        py_limited_api=True,
    )


setup(
    ext_modules=[cpu_extension(isa, flags) for isa, flags in ISAS.items()],
    cmdclass={"build_ext": BuildExtension.with_options(no_python_abi_suffix=True)},
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
