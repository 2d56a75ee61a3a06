"""`Spectrum`: groups, masks, merging, statistics, and spectra of transitions."""

from __future__ import annotations

import itertools
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

import spectral_kernels as sk
from spectral_kernels.api.spectrum import RADIUS_EDGES
from spectral_kernels.reference import sketch as layout

tr = sk.transitions


def of(values, **groups):
    return sk.Spectrum(groups).update(torch.as_tensor(values))


def radius_counts(values):
    size = np.abs(np.asarray(values, dtype=complex)).ravel()
    return np.histogram(size, RADIUS_EDGES)[0].tolist()


# Groups and masks


def test_groups_are_axes_of_the_eigenvalues():
    torch.manual_seed(0)
    w = torch.randn(2, 50, 3, 4, dtype=torch.complex64)  # (B, T, H, n)
    s = sk.Spectrum(groups=(3,)).update(w)
    assert s.names == ("head",) and s.shape == (3,)
    for h in range(3):
        assert s[h].equal(of(w[:, :, h]))
        assert s.bins().radius[h].tolist() == radius_counts(w[:, :, h])
    named = sk.Spectrum({"batch": 2, "head": 3}).update(w, axes={"batch": 0, "head": 2})
    assert named[1, 2].equal(of(w[1, :, 2])) and named.pool("batch").equal(s)
    assert named.pool().equal(of(w)) and named[:, 1].pool("batch").equal(s[1])
    layered = sk.Spectrum((5, 3)).update(w, at={"layer": 3})
    assert layered[3].equal(s) and int(layered.count.sum()) == w.numel() and layered.names == ("layer", "head")
    both = sk.Spectrum({"layer": 2, "head": 3}).update(w.transpose(0, 1))  # (T, layers, heads, n)
    assert both[1, 0].equal(of(w[1, :, 0]))


def test_position_buckets():
    torch.manual_seed(1)
    w = torch.rand(2, 100, 3, 4)
    buckets = (0, 1, 10, 64, 1000)
    s = sk.Spectrum({"head": 3}, buckets=buckets).update(w)
    assert s.shape == (3, 5) and s.names == ("head", "bucket")
    for h, (b, (begin, end)) in itertools.product(range(3), enumerate(itertools.pairwise(buckets))):
        assert s[h, b].equal(of(w[:, begin:end, h])), (h, b)
    assert s[:, 4].count.sum() == 0
    pieces = sk.Spectrum({"head": 3}, buckets=buckets)
    for first, last in ((0, 7), (7, 70), (70, 100)):
        pieces.update(w[:, first:last], start=first)
    assert pieces.equal(s)
    other = sk.Spectrum(buckets=buckets).update(w, axes={"bucket": 1})
    assert other.equal(s.pool("head"))


def test_masks_multiplicity_and_suspects():
    torch.manual_seed(2)
    w = torch.randn(3, 20, 2, 5)
    by_position, by_value = torch.rand(3, 20, 2) > 0.3, torch.rand(3, 20, 2, 5) > 0.3
    s = sk.Spectrum((2,)).update(w, by_position)
    assert [s[h].equal(of(w[:, :, h][by_position[:, :, h]])) for h in range(2)] == [True, True]
    s = sk.Spectrum((2,)).update(w, by_value)
    assert [s[h].equal(of(w[:, :, h][by_value[:, :, h]][:, None])) for h in range(2)] == [True, True]
    assert sk.Spectrum((2,)).update(w, by_position[:1, :, :1]).equal(sk.Spectrum((2,)).update(w, by_position[:1, :, :1].expand(3, 20, 2)))
    assert sk.Spectrum((2,)).update(w, by_position[..., None]).equal(sk.Spectrum((2,)).update(w, by_position))
    counts = (1, 0, 3, 2, 1)
    repeated = torch.cat([w[..., j : j + 1].expand(3, 20, 2, c) for j, c in enumerate(counts)], -1)
    assert of(w, head=2).update(w, multiplicity=counts).equal(of(w, head=2) + of(repeated, head=2))
    masked = torch.cat([by_value[..., j : j + 1].expand(3, 20, 2, c) for j, c in enumerate(counts)], -1)
    assert sk.Spectrum((2,)).update(w, by_value, multiplicity=counts).equal(sk.Spectrum((2,)).update(repeated, masked))
    assert sk.Spectrum().update(w, suspect=w > 0, multiplicity=7).suspect.item() == 7 * int((w > 0).sum())
    assert sk.Spectrum().update(w, by_value, suspect=w > 0).suspect.item() == int(((w > 0) & by_value).sum())


@pytest.mark.isa
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128], ids=str)
def test_dtypes(dtype):
    torch.manual_seed(3)
    w = torch.randn(40, 6, dtype=dtype)
    s = of(w)
    assert s.bins().radius.tolist() == radius_counts(w.to(torch.complex128 if dtype.is_complex else torch.float64).numpy())
    assert s.count.item() == 240 and s.negative.item() == (0 if dtype.is_complex else int((w < 0).sum()))
    assert of(w.conj()).plane().counts.sum() == 240


def test_what_cannot_be_counted_is_counted_apart():
    s = of([[math.nan, math.inf, -math.inf, 0.0, -1.0, 1.0, 1.5]])
    assert (s.count.item(), s.nonfinite.item(), s.zero.item(), s.unstable.item(), s.negative.item(), s.real.item()) == (4, 3, 1, 1, 1, 4)
    assert (s.smallest.item(), s.largest.item(), s.mean_log.item(), s.geometric_mean.item()) == (0.0, 1.5, -math.inf, 0.0)
    s = of(torch.tensor([[complex(math.nan, 0), complex(0, math.inf), 1j, -1 + 0j]]))
    assert (s.count.item(), s.nonfinite.item(), s.real.item(), s.negative.item()) == (2, 2, 1, 1)


def test_empty():
    nothing = [(torch.zeros(0, 3),), (torch.zeros(4, 0),), (torch.ones(2, 3), torch.zeros(2, dtype=torch.bool))]
    for s in (sk.Spectrum(), *(sk.Spectrum().update(*given) for given in nothing)):
        assert s.equal(sk.Spectrum()) and s.count.item() == 0
        assert all(math.isnan(getattr(s, name).item()) for name in ("mean", "variance", "mean_log", "smallest", "largest"))
        assert math.isnan(s.median().item()) and s.bins().fractions.radius.isnan().all()
    assert sk.Spectrum((0,)).pool().count.item() == 0


def test_log_eigenvalues():
    torch.manual_seed(4)
    log = -torch.rand(30, 4, dtype=torch.float64)
    s, t = sk.Spectrum().update(log, log=True), of(log.exp())
    assert torch.equal(s.counts, t.counts)
    torch.testing.assert_close(s.mean, t.mean, rtol=1e-14, atol=0)
    tiny = sk.Spectrum().update(torch.tensor([[-1e-9, -200.0]]), log=True)  # both lost in float32: 1 and 0
    assert tiny.zero.item() == 0 and tiny.counts[layout.ONE] == 0 and tiny.bins().radius.tolist() == [1, 0, 0, 1, 0, 0, 0]


# Merging


def test_merging_is_exact_in_any_order():
    torch.manual_seed(5)
    parts = [of(torch.exp(5 * torch.randn(30, 2, 4, dtype=torch.complex128).real) * torch.randn(30, 2, 4, dtype=torch.complex128), head=2) for _ in range(5)]
    reference = sum(parts[1:], parts[0])
    for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 7):
        a, b, c, d, e = (parts[i] for i in order)
        assert (a + (b + (c + (d + e)))).equal(reference) and ((a + b) + (c + d) + e).equal(reference)
    assert (parts[0] + sk.Spectrum((2,))).equal(parts[0])
    before = parts[0].clone()
    _ = parts[0] + parts[1]
    assert parts[0].equal(before)


def worker(rank, store):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(0)
    w = torch.randn(100, 3, 8, dtype=torch.complex64)
    whole = of(w, head=3)
    s = of(w[:33] if rank == 0 else w[33:], head=3)
    assert s.all_reduce() is s and s.equal(whole)
    assert sk.Spectrum((3,)).all_reduce().equal(sk.Spectrum((3,)))
    with pytest.raises(ValueError, match="same groups in every process, got 2 to 3"):
        sk.Spectrum((2 + rank,)).all_reduce()
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_reduce_on_two_processes(tmp_path):
    mp.spawn(worker, args=(tmp_path / "store",), nprocs=2)


# Statistics


def test_moments():
    torch.manual_seed(6)
    w = torch.exp(torch.randn(200, 2, 5, dtype=torch.float64))
    s, flat = of(w, head=2), w.transpose(0, 1).reshape(2, -1)
    for ours, theirs in (
        (s.mean, flat.mean(1)),
        (s.variance, flat.var(1, correction=0)),
        (s.std, flat.std(1, correction=0)),
        (s.mean_log, flat.log().mean(1)),
        (s.variance_log, flat.log().var(1, correction=0)),
        (s.geometric_mean, flat.log().mean(1).exp()),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert torch.equal(s.smallest, flat.amin(1)) and torch.equal(s.largest, flat.amax(1))
    same = of(torch.full((1000, 3), 0.7))
    assert same.variance.item() == 0 and same.mean.item() == pytest.approx(torch.tensor(0.7).item(), abs=2**-48)


values = st.lists(st.one_of(st.floats(1e-60, 1e60), st.floats(0.99, 1.01), st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.9])), min_size=1, max_size=50)


@hypothesis.given(values, st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_quantiles_are_within_the_stated_error(x, q):
    got = of(torch.tensor([x], dtype=torch.float64)).quantile(q).numpy()
    true = np.quantile(x, q, method="inverted_cdf")
    with np.errstate(divide="ignore"):
        for g, t, log in zip(got, true, np.log(true), strict=True):
            if log in (0.0, -np.inf):
                assert g == t
            elif abs(log) >= 2.0**-32 and t > 1e-110:
                assert abs(np.log(g) - log) <= abs(log) / 64 * (1 + 1e-9)
            assert t > 1 or abs(g - t) <= 0.006


def test_histograms_agree_with_raw_values():
    torch.manual_seed(7)
    w = torch.rand(5000, 2, dtype=torch.float64) * 1.2
    s, x = of(w), w.flatten().numpy()
    for histogram, raw in ((s.modulus(), x), (s.gap(), 1 - x), (s.horizon(), np.where(x < 1, -1 / np.log(np.minimum(x, 0.9999999)), np.inf))):
        edges = histogram.edges.numpy()
        assert (np.diff(edges[np.isfinite(edges)]) >= 0).all() and len(edges) == histogram.counts.shape[-1] + 1
        assert int(histogram.counts.sum()) == len(raw)
        for e in edges[np.isfinite(edges)][::50]:
            if 1e-6 < abs(e) < 1e5:
                i = int(np.searchsorted(edges, e, side="right")) - 1
                assert abs(int(histogram.counts[:i].sum()) - (raw < e).sum()) <= 1, e
    z = torch.randn(3000, 1, dtype=torch.complex128)
    plane, raw = of(z).plane(), z.flatten().numpy()
    expected = np.histogram2d(np.abs(raw), (np.angle(raw, deg=True) + 2.5) % 360 - 2.5, [plane.radius.numpy(), plane.degrees.numpy()])[0]
    assert plane.counts.tolist() == expected.astype(int).tolist()


# Transitions


@pytest.mark.isa
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_spectrum_of_a_transition_is_that_of_its_eigenvalues(dtype):
    torch.manual_seed(8)
    B, T, H, n = 2, 30, 3, 6
    complex_ = dtype.to_complex()
    valid = torch.rand(B, T, H) > 0.2
    batch = {"valid": valid, "multiplicity": 5, "time": -2}
    made = [
        tr.Scalar(torch.rand(B, T, H, dtype=dtype), n, **batch),
        tr.Scalar(-torch.rand(B, T, H, dtype=dtype), n, log=True, **batch),
        tr.Diagonal(torch.randn(B, T, H, n, dtype=dtype), **batch),
        tr.Diagonal(torch.randn(B, T, H, n, dtype=complex_), **batch),
        tr.ZeroOrderHold(torch.rand(B, T, H, n, dtype=dtype), -torch.rand(n, 4, dtype=dtype), **batch),
        tr.ZeroOrderHold(torch.rand(B, T, H, n, dtype=dtype), -torch.rand(n, 4, dtype=complex_), **batch),
        tr.Rotation(torch.rand(B, T, H, dtype=dtype), torch.randn(B, T, H, 2, dtype=dtype), n, **batch),
        tr.RankOne(torch.rand(B, T, H, dtype=dtype), torch.rand(B, T, H, dtype=dtype), torch.randn(B, T, H, n, dtype=dtype), **batch),
        tr.HouseholderProduct(torch.rand(B, T, H, dtype=dtype), torch.rand(B, T, H, 2, dtype=dtype), torch.randn(B, T, H, 2, n, dtype=dtype), **batch),
        tr.Dense(torch.randn(B, T, H, n, n, dtype=dtype), **batch),
    ]
    for t in made:
        whole = sk.Spectrum((H,)).update(t.eigvals(), valid, multiplicity=5)
        s = t.spectrum(axes={"head": -1})
        assert torch.equal(s.count, whole.count) and torch.equal(s.nonfinite, whole.nonfinite), t
        # exp and the square root round: an eigenvalue next to an edge may lie in the bin beside it
        moved = int((s.bins().radius - whole.bins().radius).abs().sum() + (s.bins().phase - whole.bins().phase).abs().sum())
        assert moved <= 4 * 5 if isinstance(t, tr.Rotation | tr.ZeroOrderHold) else moved == 0, t
        torch.testing.assert_close(s.mean, whole.mean, rtol=1e-6, atol=0)
        torch.testing.assert_close(s.mean_log, whole.mean_log, rtol=1e-5, atol=1e-7)
        assert t.spectrum().equal(s.pool("head")) and torch.equal(t.spectrum().real, s.real.sum(0)), t
        into = sk.Spectrum({"layer": 2, "head": H}, buckets=(0, 7, 20))
        assert t.spectrum(into, at={"layer": 1}) is into and into[0].count.sum() == 0
        assert torch.equal(into[1].pool("bucket").counts, s.counts) and into[1].pool("bucket").equal(t.spectrum(axes={"head": -1}, buckets=(0, 7, 20)).pool("bucket"))
        assert torch.equal(into[1].count[:, 0], t[:, :7].spectrum(axes={"head": -1}).count)


def test_a_position_with_a_bad_factor_is_not_finite_as_a_whole():
    delta = torch.rand(10, 4)
    delta[3, 1], delta[5, 0] = math.nan, math.inf
    for t in (tr.ZeroOrderHold(delta, -torch.ones(4, 16)), tr.Diagonal(delta), tr.RankOne(delta[:, 0], delta[:, 1], delta), tr.Dense(torch.diag_embed(delta))):
        s, whole = t.spectrum(), sk.Spectrum().update(t.eigvals())
        assert s.nonfinite.item() == whole.nonfinite.item() == 2 * t.size and torch.equal(s.count, whole.count)


def test_defective_suspects_of_rank_one_updates():
    k, p = torch.eye(3)[0], torch.eye(3)[1]
    one = torch.ones(2)
    assert tr.RankOne(one, one, k.expand(2, 3), p.expand(2, 3)).spectrum().suspect.item() == 2 * 3
    assert tr.RankOne(one, 0 * one, k.expand(2, 3), p.expand(2, 3)).spectrum().suspect.item() == 0
    assert tr.RankOne(one, one * 0.5, k.expand(2, 3)).spectrum().suspect.item() == 0
    assert tr.Dense(torch.tensor([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.5]]])).spectrum().suspect.item() == 2


def test_chunks_do_not_matter(monkeypatch):
    torch.manual_seed(9)
    t = tr.RankOne(torch.rand(3, 40, 5), torch.rand(3, 40, 5), torch.randn(3, 40, 5, 8), valid=torch.rand(3, 40, 5) > 0.5, time=-2)
    whole = t.spectrum(axes={"batch": 0, "head": 2}, buckets=(0, 11, 30))
    from spectral_kernels.api.spectrum import sources

    monkeypatch.setattr(sources, "_CHUNK_BYTES", 0)
    for least in (1, 7, 64):
        monkeypatch.setattr(sources, "_LEAST", least)
        assert t.spectrum(axes={"batch": 0, "head": 2}, buckets=(0, 11, 30)).equal(whole), least


def test_a_transition_without_positions_has_no_buckets():
    with pytest.raises(ValueError, match="position buckets need an axis of positions"):
        tr.Diagonal(torch.rand(4, 3), time=None).spectrum(buckets=(0, 2))
    with pytest.raises(ValueError, match="for a new spectrum only"):
        tr.Diagonal(torch.rand(4, 3)).spectrum(sk.Spectrum(), buckets=(0, 2))
    assert tr.Diagonal(torch.rand(3)).spectrum().count.item() == 3


# Errors


def test_what_is_refused():
    s = sk.Spectrum((3,))
    w = torch.rand(5, 3, 2)
    for call, error, message in [
        (lambda: sk.Spectrum((1, 2, 3)), ValueError, "expected names for 3 group axes"),
        (lambda: sk.Spectrum((-1,)), ValueError, "sizes >= 0"),
        (lambda: sk.Spectrum(buckets=(1, 2)), ValueError, "begin at 0 and ascend"),
        (lambda: sk.Spectrum({"bucket": 2}, buckets=(0, 2)), ValueError, "is that of buckets"),
        (lambda: s.update(torch.ones(3, 2, dtype=torch.int64)), TypeError, "floating-point eigenvalues, got torch.int64"),
        (lambda: s.update(torch.tensor(1.0)), ValueError, "got a scalar"),
        (lambda: s.update(w[:, :2]), ValueError, "group axis head=3, got eigenvalues of shape"),
        (lambda: s.update(torch.rand(3)), ValueError, "group axis head=3"),
        (lambda: s.update(w, axes={"layer": 0}), ValueError, "expected each of the group axes"),
        (lambda: s.update(w, at={"head": 3}), ValueError, r"expected head in \[0, 3\)"),
        (lambda: s.update(w, torch.ones(4, 3, dtype=torch.bool)), ValueError, "expected mask of shape"),
        (lambda: s.update(w, torch.ones(5, 3)), TypeError, "boolean mask"),
        (lambda: s.update(w, multiplicity=(1, 2, 3)), ValueError, "multiplicity"),
        (lambda: s.update(w, multiplicity=-1), ValueError, "multiplicity"),
        (lambda: s + sk.Spectrum((2,)), ValueError, "the same groups"),
        (lambda: s.pool("layer"), ValueError, "expected names out of"),
        (lambda: s[0, 0], IndexError, "2 indices for 1 group axes"),
        (lambda: s[3], IndexError, "out of bounds"),
        (lambda: s[[0]], TypeError, "integers and slices"),
        (lambda: s.quantile(1.5), ValueError, r"numbers in \[0, 1\]"),
        (lambda: sk.Spectrum({"a": 2, "b": 2}).update(torch.rand(2, 2, 1), axes={"a": 0, "b": 0}), ValueError, "a different axis for each"),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert s.equal(sk.Spectrum((3,)))
