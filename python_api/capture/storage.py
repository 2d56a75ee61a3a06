"""Files of a `Run`: the arrays of its spectra, and a header that names format, version and records."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from spectral_kernels.api.spectrum import Spectrum
from spectral_kernels.api.spectrum.storage import _safetensors
from spectral_kernels.reference import sketch as layout

if TYPE_CHECKING:
    from spectral_kernels.api.capture.run import Run

FORMAT = "spectral_kernels.Run"
VERSION = 1
_ARRAYS = ("counts", "sums", "extremes")


def save(run: Run, path: Path) -> None:
    header = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "columns": layout.COLUMNS,
            "title": run.title,
            "keep": run.keep,
            "buckets": run.buckets,
            "batches": run.batches,
            "skipped": run.skipped,
            "records": [asdict(record) for record in run.records.values()],
            "axes": [run.spectra[name].names for name in run.records],
        }
    )
    arrays: dict[str, Tensor] = {f"{i}/{a}": getattr(run.spectra[name], a).cpu().contiguous() for i, name in enumerate(run.records) for a in _ARRAYS}
    if path.suffix == ".npz":
        np.savez_compressed(path, header=np.array(header), **{name: t.numpy() for name, t in arrays.items()})  # type: ignore[arg-type]
    else:
        _safetensors(path).save_file(arrays, path, metadata={"header": header})


def load(path: Path) -> Run:
    from spectral_kernels.api.capture.run import Record, Run

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            header = _checked(str(file["header"]) if "header" in file else "{}", path)
            spectra = [_spectrum(header, i, lambda key: torch.from_numpy(file[key])) for i in range(len(header["records"]))]
    else:
        with _safetensors(path).safe_open(path, framework="pt") as file:
            header = _checked((file.metadata() or {}).get("header", "{}"), path)
            spectra = [_spectrum(header, i, file.get_tensor) for i in range(len(header["records"]))]
    records = {entry["name"]: Record(**entry) for entry in header["records"]}
    return Run(
        header["title"],
        header["keep"],
        tuple(header["buckets"]),
        dict(zip(records, spectra, strict=True)),
        records,
        skipped=header["skipped"],
        batches=header["batches"],
    )


def _spectrum(header: dict[str, Any], i: int, array: Any) -> Spectrum:
    return Spectrum._of(tuple(header["axes"][i]), tuple(header["buckets"]), *(array(f"{i}/{name}") for name in _ARRAYS))


def _checked(text: str, path: Path) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(text)
    if header.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a file of Run.save, got one without its header")
    if header["version"] != VERSION:
        raise ValueError(f"{path}: expected version {VERSION} of the format, got {header['version']}: written by another version of spectral_kernels")
    return header
