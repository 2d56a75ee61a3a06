"""Files of a `Spectrum`: three arrays and a header that names format, version and layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spectral_kernels.reference import sketch as layout

if TYPE_CHECKING:
    from spectral_kernels.api.spectrum.spectrum import Spectrum

FORMAT = "spectral_kernels.Spectrum"
VERSION = 1
_ARRAYS = ("counts", "sums", "extremes")


def save(spectrum: Spectrum, path: Path) -> None:
    header = json.dumps({"format": FORMAT, "version": VERSION, "columns": layout.COLUMNS, "names": spectrum.names, "buckets": spectrum.buckets})
    tensors = {name: getattr(spectrum, name).cpu() for name in _ARRAYS}
    if path.suffix == ".npz":
        np.savez_compressed(path, header=np.array(header), **{name: t.numpy() for name, t in tensors.items()})
    else:
        _safetensors(path).save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata={"header": header})


def load(path: Path) -> Spectrum:
    from spectral_kernels.api.spectrum.spectrum import Spectrum

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            text = str(file["header"]) if "header" in file else "{}"
            header = _checked(text, path)
            tensors = [torch.from_numpy(file[name]) for name in _ARRAYS]
    else:
        with _safetensors(path).safe_open(path, framework="pt") as file:
            header = _checked((file.metadata() or {}).get("header", "{}"), path)
            tensors = [file.get_tensor(name) for name in _ARRAYS]
    return Spectrum._of(tuple(header["names"]), tuple(header["buckets"]), *tensors)


def _checked(text: str, path: Path) -> dict[str, Any]:
    header = json.loads(text)
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a file of Spectrum.save, got one without its header")
    if header["version"] != VERSION:
        raise ValueError(f"{path}: expected version {VERSION} of the format, got {header['version']}: written by another version of spectral_kernels")
    return header


def _safetensors(path: Path) -> Any:
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected a file name that ends in .npz or .safetensors")
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError("a .safetensors file needs safetensors: pip install safetensors, or use .npz") from error
    from types import SimpleNamespace

    return SimpleNamespace(save_file=safetensors.torch.save_file, safe_open=safetensors.safe_open)
