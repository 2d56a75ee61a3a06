"""Triton kernels without a GPU: launchers run on CPU tensors by Triton's interpreter in a process of its own, and are compiled ahead of time.

The interpreter is chosen when Triton is imported, so that one process cannot do both.  Tests take the fixture
``interpreted``, and `compile_launches`; `triton_cases.CASES` are the calls whose kernels are compiled and bounded.

    python tests/triton_harness.py --ceilings    # writes the table anew
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from spectral_kernels import triton as kernels

ROOT = Path(__file__).parent.parent
ARCHITECTURES = (80, 90, 100)
CACHE = ROOT / "build" / "triton"  # of compiled kernels, by the hash of their source
CEILINGS = ROOT / "tests" / "triton_ceilings.json"


class Interpreter:
    """A process that runs launchers under Triton's interpreter: ``interpreter(op, *args)`` returns what the launcher does.

    Tensors among ``args`` that the launcher writes to are written to here as well.
    """

    def __init__(self, cache: str) -> None:
        environment = os.environ | {"TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
        self.process = subprocess.Popen([sys.executable, __file__], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, op: str, *args: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        pickle.dump((op, args), self.process.stdin)
        self.process.stdin.flush()
        result, written, error = pickle.load(self.process.stdout)
        if error is not None:
            raise RuntimeError(error)
        for mine, theirs in zip(args, written, strict=True):
            if isinstance(mine, torch.Tensor) and mine.is_contiguous() and not mine.requires_grad:
                mine.copy_(theirs)
        return result

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def serve() -> None:
    """What the process of `Interpreter` does: pickled calls in, pickled answers out, until the input ends."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a kernel prints is no answer
    torch.set_num_threads(1)
    torch.utils.deterministic.fill_uninitialized_memory = True  # an element that is never written shows
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    while True:
        try:
            op, args = pickle.load(requests)
        except EOFError:
            return
        try:
            answer = kernels.launcher(op)(*args), args, None
        except Exception:
            answer = None, args, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


class Resources(NamedTuple):
    """Of one compiled kernel: bytes but for the registers, of which each is one thread's."""

    registers: int
    stack: int
    local: int  # what has spilled
    shared: int


class Compiled(NamedTuple):
    """A kernel as a launcher asked for it."""

    kernel: str
    programs: int
    num_warps: int
    ptx: str
    resources: Resources


def compile_launches(op: str, *args: Any, architecture: int) -> list[Compiled]:
    """Compiles what the launcher of ``op`` launches for these arguments, for an architecture of NVIDIA (80: A100) by its number, or of AMD by its name."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    target = GPUTarget("cuda", architecture, 32) if isinstance(architecture, int) else GPUTarget("hip", architecture, 64)
    found = []

    def record(kernel: Any, programs: int, like: torch.Tensor, *given: Any, **options: Any) -> None:
        signature, constants, attributes = {}, {}, {}
        for i, (parameter, value) in enumerate(zip(kernel.params, given, strict=True)):
            if parameter.is_constexpr:
                kind, key = "constexpr", None
            elif parameter.annotation_type:
                kind, key = parameter.annotation_type, None
            else:
                kind, key = specialised(value)
            signature[parameter.name] = kind
            if kind == "constexpr":
                constants[(i,)] = value
            elif key:
                attributes[(i,)] = [["tt.divisibility", 16]]
        source = ASTSource(kernel, signature, constants, attributes)
        made = triton.compile(source, target=target, options={"enable_fp_fusion": True} | options)
        if isinstance(architecture, int):
            found.append(Compiled(kernel.__name__, programs, options["num_warps"], made.asm["ptx"], resources(made.asm["cubin"], made.metadata.shared)))

    with mock.patch.dict(os.environ, {"TRITON_CACHE_DIR": str(CACHE)}), every_launch(record):
        kernels.launcher(op)(*args)
    return found


def specialised(value: Any) -> tuple[str, str | None]:
    """The type of an argument as Triton's own launcher has it, and a true key where it is a multiple of 16."""
    from triton.runtime.jit import BaseBackend, native_specialize_impl

    if isinstance(value, torch.Tensor):
        return native_specialize_impl(BaseBackend, value, False, True, True)[0], "D" if value.data_ptr() % 16 == 0 else None
    if value is None or value == 1:
        return "constexpr", None
    return native_specialize_impl(BaseBackend, value, False, False, False)[0], "D" if isinstance(value, int) and value % 16 == 0 else None


@contextmanager
def every_launch(record: Any) -> Iterator[None]:
    """The function `launch`, by which all launchers launch, replaced by ``record``."""
    for module in set(kernels.LAUNCHERS.values()):
        importlib.import_module(f"{kernels.__name__}.{module}")
    holders = [m for name, m in sys.modules.items() if name.startswith(f"{kernels.__name__}.") and callable(getattr(m, "launch", None))]
    with ExitStack() as stack:
        for module in holders:
            stack.enter_context(mock.patch.object(module, "launch", record))
        yield


def resources(cubin: bytes, shared: int) -> Resources:
    """What ``cuobjdump``, in Triton's wheel, says of the one kernel of a file."""
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return Resources(*(int(re.search(rf"{name}:(\d+)", report)[1]) for name in ("REG", "STACK", "LOCAL")), shared)


def usage(op: str, *args: Any, architecture: int) -> list[int]:
    """The registers, stack, local and shared memory that no kernel of a call exceeds."""
    return [max(column) for column in zip(*(c.resources for c in compile_launches(op, *args, architecture=architecture)), strict=True)]


def ceilings() -> dict[str, dict[str, list[int]]]:
    """case -> architecture -> `usage`."""
    return json.loads(CEILINGS.read_text())


def write_ceilings() -> None:
    from triton_cases import CASES

    lines = []
    for name, case in CASES.items():
        found = {str(a): usage(*case(), architecture=a) for a in ARCHITECTURES}
        lines.append(f"  {json.dumps(name)}: {json.dumps(found)}")
        print(lines[-1])
    CEILINGS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write_ceilings() if sys.argv[1:] == ["--ceilings"] else serve()
