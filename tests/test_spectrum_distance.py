"""Baselines of spectra, and their distances against scipy on raw values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

import spectral_kernels as sk

tr = sk.transitions


def of(values, **groups):
    return sk.Spectrum(groups).update(torch.as_tensor(values))


@pytest.mark.parametrize(("length", "percent"), [(64, 87.3), (512, 98.4), (1024, 99.2), (10240, 99.9)])
def test_uniform_attention(length, percent):
    s = sk.spectrum.uniform_attention(length)
    assert s.count.item() == length - 1
    assert round(100 * s.bins().fractions.radius[3].item(), 1) == percent
    assert s.mean_log.item() == pytest.approx(-math.log(length) / (length - 1), rel=1e-12)  # telescoping
    softmax = tr.Scalar(-torch.arange(1.0, length, dtype=torch.float64).reciprocal().log1p(), log=True)  # ln(i / (i + 1))
    # ln 0.9 has two roundings: the one value next to the edge may lie in the bin beside it, whose width is 0.105 / 32 at most
    assert sk.spectrum.wasserstein(s, softmax.spectrum()).item() <= 0.105 / 32 / (length - 1)


def test_uniform_attention_by_position():
    s = sk.spectrum.uniform_attention(100, buckets=(0, 9, 50))
    assert s.count.tolist() == [8, 41, 50] and s.bins().fractions.radius[:, 3].tolist() == [0, 1, 1]


def test_excess_of_several_groups_over_one():
    base = sk.spectrum.uniform_attention(512)
    s = sk.Spectrum((3,)).update(torch.rand(50, 3, 2))
    e = sk.spectrum.excess(s, base)
    assert e.radius.shape == (3, 7) and e.phase.shape == (3, 5) and e.radius.sum(-1).abs().max() < 1e-12
    assert torch.equal(e.radius[1], sk.spectrum.excess(s[1], base).radius)
    c = sk.spectrum.compare(s, base)
    assert c.wasserstein.shape == c.jensen_shannon.shape == (3,) and torch.equal(c.excess.radius, e.radius)
    with pytest.raises(ValueError, match="group axes are some of"):
        sk.spectrum.excess(base, s)


def test_wasserstein_against_scipy_on_raw_values():
    rng = np.random.default_rng(0)
    pairs = [(rng.random(400), rng.random(300) ** 3), (np.exp(rng.normal(size=300)), rng.random(300)), (1 - rng.random(200) ** 8, 1 - rng.random(200) ** 9)]
    for x, y in pairs:
        s, t = of(x[:, None]), of(y[:, None])
        inside = max(x.max(), y.max()) <= 1
        if inside:
            assert abs(sk.spectrum.wasserstein(s, t, "modulus").item() - scipy.stats.wasserstein_distance(x, y)) <= 0.012
        lx, ly = np.log(x), np.log(y)
        bound = (np.abs(lx).mean() + np.abs(ly).mean()) / 64
        assert abs(sk.spectrum.wasserstein(s, t).item() - scipy.stats.wasserstein_distance(lx, ly)) <= bound

        def horizon(log):
            return np.clip(np.log(np.where(log < 0, -1 / np.minimum(log, -1e-300), np.inf)), math.log(2.0**-8), math.log(2.0**32))

        assert abs(sk.spectrum.wasserstein(s, t, "log_horizon").item() - scipy.stats.wasserstein_distance(horizon(lx), horizon(ly))) <= 0.032
        assert sk.spectrum.wasserstein(s, s).item() == 0 and sk.spectrum.wasserstein(s, t).item() == pytest.approx(sk.spectrum.wasserstein(t, s).item())
    with pytest.raises(ValueError, match="log_horizon, got 'x'"):
        sk.spectrum.wasserstein(s, t, "x")


def test_jensen_shannon_against_scipy():
    rng = np.random.default_rng(1)
    s, t = of(rng.random((500, 1))), of(rng.random((500, 1)) ** 2 * 1.5)
    for kind, a, b in (("radius", s.bins().radius, t.bins().radius), ("modulus", s.modulus().counts, t.modulus().counts)):
        expected = scipy.spatial.distance.jensenshannon(a.numpy(), b.numpy(), base=2) ** 2
        assert sk.spectrum.jensen_shannon(s, t, kind).item() == pytest.approx(expected, abs=1e-12)
    assert sk.spectrum.jensen_shannon(of([[0.5]]), of([[-0.5]]), "plane").item() == 1 and sk.spectrum.jensen_shannon(of([[0.5]]), of([[-0.5]])).item() == 0


def test_near_defective():
    jordan = torch.tensor([[1.0, 1.0, 0.0], [1e-16, 1.0, 0.0], [0.0, 0.0, 0.5]], dtype=torch.float64)
    assert sorted(sk.spectrum.near_defective(sk.linalg.eigvals(jordan)).tolist()) == [False, True, True]
    assert not sk.spectrum.near_defective(torch.linspace(0, 1, 50)).any()
    assert sk.spectrum.near_defective(torch.zeros(3, 0)).shape == (3, 0)
