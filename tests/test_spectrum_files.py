"""Spectra as files, tables and figures."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

import spectral_kernels as sk
from spectral_kernels.api.spectrum import storage


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_save_and_load(tmp_path, suffix, monkeypatch):
    s = sk.Spectrum({"head": 2}, buckets=(0, 5)).update(torch.randn(3, 9, 2, 4))
    path = tmp_path / f"s{suffix}"
    s.save(path)
    again = sk.Spectrum.load(path)
    assert again.equal(s) and again.buckets == (0, 5) and (again + s).equal(s + s)
    one = sk.Spectrum().update(torch.rand(3, 2))
    one.save(str(path))
    assert sk.Spectrum.load(str(path)).equal(one)
    monkeypatch.setattr(storage, "VERSION", 7)
    s.save(path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="expected version 1 of the format, got 7"):
        sk.Spectrum.load(path)


def test_files_that_are_none_of_ours(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    np.savez(tmp_path / "b.npz", header=np.array(json.dumps({"format": "other", "version": 1})))
    for name in "ab":
        with pytest.raises(ValueError, match=r"expected a file of Spectrum\.save"):
            sk.Spectrum.load(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"ends in \.npz or \.safetensors"):
        sk.Spectrum().save(tmp_path / "s.pt")


def test_to_pandas():
    s = sk.Spectrum({"layer": 2, "head": 3}, buckets=(0, 8)).update(torch.rand(2, 20, 3, 4), axes={"layer": 0, "bucket": 1, "head": 2})
    frame = s.to_pandas()
    assert len(frame) == 12 and frame["count"].sum() == 480 and list(frame.columns[:3]) == ["layer", "head", "bucket"]
    row = frame[(frame.layer == 1) & (frame["head"] == 2) & (frame.bucket == 8)].iloc[0]
    assert row["count"] == 48 and row["mean"] == s.mean[1, 2, 1].item() and row["radius [0.9, 1)"] == s.bins().fractions.radius[1, 2, 1, 3].item()
    assert "phase [90, 180]" in frame and len(sk.Spectrum().to_pandas()) == 1


@pytest.mark.parametrize(("module", "call", "needs"), [("pandas", "to_pandas", "spectral_kernels.pandas"), ("matplotlib.figure", "plot", "spectral_kernels.plot")])
def test_optional_packages_are_named_where_they_are_missing(monkeypatch, module, call, needs):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=needs):
        getattr(sk.Spectrum(), call)()


def test_plots(tmp_path):
    s = sk.Spectrum({"layer": 2, "head": 3, "batch": 4}).update(torch.randn(2, 3, 4, 50, 6, dtype=torch.complex64), axes={"layer": 0, "head": 1, "batch": 2})
    bars = s.plot(error="batch")
    assert len(bars.axes) == 2 and all(len(axis.patches) == 7 * 3 for axis in bars.axes)
    heights = np.array([bar.get_height() for bar in bars.axes[1].patches]).reshape(7, 3)
    np.testing.assert_allclose(heights.sum(0), 100)
    np.testing.assert_allclose(heights.T, 100 * s.bins().fractions.radius[1].mean(1))
    s.plot("plane", rows="head", error="batch").savefig(tmp_path / "plane.png")
    s[0, 0, 0].plot("phases").savefig(tmp_path / "phases.svg")
    sk.Spectrum().plot("plane").savefig(tmp_path / "nothing.png")
    for wrong in ({"kind": "pie"}, {"rows": "x"}, {"rows": "head", "error": "head"}):
        with pytest.raises(ValueError, match=r"Spectrum\.plot: expected"):
            s.plot(**wrong)
