"""The direction of imports: core, ops <- cpu | cuda, and reference, triton, lapack <- dispatch <- ops <- python_api <- __init__."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Each layer, and the layers it may import (besides itself).  The top of the package is a layer of its own.
MAY_IMPORT = {
    "_version": set(),
    "_load": set(),
    "lapack": set(),
    "reference": set(),
    "triton": set(),
    "dispatch": {"reference", "triton", "lapack"},
    "autograd": {"reference"},
    "ops": {"_load", "autograd", "dispatch", "reference", "triton", "lapack"},
    "api": {"_version", "ops", "dispatch", "reference", "triton", "lapack"},
    "__main__": {"api"},
    "__init__": {"_version", "_load", "ops", "api", "dispatch", "reference", "triton", "lapack"},
}
MAY_INCLUDE: dict[str, set[str]] = {"core": set(), "ops": set(), "cpu": {"core", "ops"}, "cuda": {"core", "ops"}}
STANDARD_HEADERS_OF_CORE = {"algorithm", "array", "cfloat", "cmath", "cstddef", "cstdint", "cstring", "limits", "type_traits", "utility"}
PACKAGE = "spectral_kernels"


def imported_modules(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Absolute names of all that ``source`` imports, at any depth of nesting; relative imports are resolved against ``module``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def layer(name: str) -> str | None:
    """``spectral_kernels.ops.x`` -> ``ops``; the package itself -> ``__init__``; what is not ours -> None."""
    parts = name.split(".")
    if parts[0] == "python_api":
        return "api"
    if parts[0] != PACKAGE:
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "__init__"


def backward_imports(source: str, module: str, is_package: bool = False) -> list[str]:
    here = layer(module)
    assert here is not None
    targets = {layer(name) for name in imported_modules(source, module, is_package)} - {None, here}
    return [f"{module} ({here}) imports {target}" for target in sorted(targets - MAY_IMPORT[here])]


def backward_includes(source: str, path: Path, csrc: Path) -> list[str]:
    here = path.relative_to(csrc).parts[0]
    wrong = []
    for quoted, system in re.findall(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', source, re.MULTILINE):
        if quoted:
            places = [(path.parent / quoted).resolve(), csrc / quoted]
            place = next((p for p in places if p.is_file()), places[0])
            target = place.relative_to(csrc).parts[0] if place.is_relative_to(csrc) else "outside csrc"
            if target != here and target not in MAY_INCLUDE[here]:
                wrong.append(f"{path.name} ({here}) includes {quoted} ({target})")
        elif here == "core" and system not in STANDARD_HEADERS_OF_CORE:
            wrong.append(f"{path.name} (core) includes <{system}>")
    return wrong


def python_files() -> Iterator[tuple[Path, str]]:
    for folder, package in (("spectral_kernels", PACKAGE), ("python_api", f"{PACKAGE}.api")):
        for path in (ROOT / folder).rglob("*.py"):
            if "api" in path.relative_to(ROOT / folder).parts[:1]:
                continue  # the link
            parts = [package, *path.relative_to(ROOT / folder).with_suffix("").parts]
            yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_imports_point_one_way():
    files = list(python_files())
    assert len(files) > 8
    known = {layer(module) for _, module in files}
    assert known <= set(MAY_IMPORT)
    unknown = [module for _, module in files if module != PACKAGE and layer(module) == "__init__"]
    assert not unknown, f"modules without a layer in MAY_IMPORT: {unknown}"
    wrong = [arrow for path, module in files for arrow in backward_imports(path.read_text(), module, path.name == "__init__.py")]
    assert not wrong, wrong


def test_includes_point_one_way():
    csrc = ROOT / "csrc"
    files = [p for p in csrc.rglob("*") if p.suffix in {".h", ".cpp", ".cu", ".cuh"}]
    assert len(files) > 8
    wrong = [arrow for path in files for arrow in backward_includes(path.read_text(), path, csrc)]
    assert not wrong, wrong


def test_backward_arrows_are_caught():
    for source, module in [
        ("from spectral_kernels import ops", "spectral_kernels.dispatch"),
        ("import spectral_kernels.ops", "spectral_kernels.reference.eig"),
        ("import spectral_kernels", "spectral_kernels.ops"),
        ("from . import ops", "spectral_kernels.dispatch"),
        ("from ..ops import eig_batched", "spectral_kernels.reference.eig"),
        ("def f():\n    from spectral_kernels.api import linalg", "spectral_kernels.ops"),
        ("from spectral_kernels.api.linalg import eig", "spectral_kernels.ops"),
        ("import python_api.linalg", "spectral_kernels.ops"),
        ("from spectral_kernels import drop_in", "spectral_kernels.api.linalg"),
    ]:
        assert backward_imports(source, module), (source, module)
    assert not backward_imports("from spectral_kernels import lapack\nimport torch", "spectral_kernels.dispatch")
    assert not backward_imports("from spectral_kernels import ops", "spectral_kernels.api.linalg")
    assert backward_imports("from .api import linalg", "spectral_kernels.ops")
    csrc = ROOT / "csrc"
    for source, path in [
        ('#include "../cpu/pack.h"', csrc / "core" / "eig.h"),
        ('#include "cpu/pack.h"', csrc / "core" / "eig.h"),
        ("#include <immintrin.h>", csrc / "core" / "lane.h"),
        ("# include <torch/csrc/stable/tensor.h>", csrc / "core" / "lane.h"),
        ('#include "../cuda/tuning.h"', csrc / "cpu" / "eig.h"),
        ('#include "../ops/batch_axes.h"', csrc / "core" / "eig.h"),
        ('#include "../core/eig.h"', csrc / "ops" / "eigenproblem.h"),
        ('#include "../../tests/x.h"', csrc / "cpu" / "eig.h"),
    ]:
        assert backward_includes(source, path, csrc), source
    assert not backward_includes('#include "../core/eig.h"\n#include "pack.h"\n#include <vector>', csrc / "cpu" / "eig.h", csrc)
