"""`sk.capture` and `sk.Run` on modules of torch and of one's own."""

from __future__ import annotations

import warnings

import pytest
import torch

import spectral_kernels as sk


class Gated(torch.nn.Module):
    """``h_t = a_t h_{t-1} + x_t``, which says what its transition is."""

    def __init__(self, size):
        super().__init__()
        self.gate = torch.nn.Linear(size, size)

    def forward(self, x):
        a = torch.sigmoid(self.gate(x))
        sk.capture.record("decay", sk.transitions.Diagonal(a))
        h, out = torch.zeros_like(x[:, 0]), []
        for a_t, x_t in zip(a.unbind(1), x.unbind(1), strict=True):
            h = a_t * h + x_t
            out.append(h)
        return torch.stack(out, 1)


def two_layers():
    torch.manual_seed(0)
    return torch.nn.Sequential(Gated(4), Gated(4))


def test_record_counts_what_the_layer_computes_with():
    model, x = two_layers(), torch.randn(2, 7, 4)
    with sk.capture(model) as run:
        y = model(x)
    a = torch.sigmoid(model[0].gate(x))
    assert run.spectra["0.decay"].equal(sk.Spectrum({"head": 1}).update(a[..., None, :].detach()))
    assert list(run.records) == ["0.decay", "1.decay"] and y.requires_grad
    assert (run.records["1.decay"].layer, run.records["1.decay"].positions, run.batches) == (1, 14, 1)
    assert run.spectrum().names == ("layer", "head") and not run.eigenvalues and not run.transitions


def test_record_does_nothing_outside():
    sk.capture.record("x", sk.transitions.Scalar(torch.ones(3)))
    with pytest.raises(TypeError, match="expected a transition"):
        sk.capture.record("x", torch.ones(3))


@pytest.mark.parametrize("keep", ["eigenvalues", "factors"])
def test_what_is_kept_is_what_was_asked_for(keep):
    model, x = two_layers(), torch.randn(2, 7, 4)
    with sk.capture(model, keep) as run:
        model(x)
        model(x)
    kept = run.eigenvalues if keep == "eigenvalues" else run.transitions
    assert {name: len(calls) for name, calls in kept.items()} == {"0.decay": 2, "1.decay": 2}
    assert not (run.transitions if keep == "eigenvalues" else run.eigenvalues)
    first = kept["0.decay"][0]
    values = first if keep == "eigenvalues" else first.eigvals()
    assert torch.equal(values.real, torch.sigmoid(model[0].gate(x)))
    assert not values.requires_grad


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_run_is_read_as_it_was_written_and_goes_on(suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model, (x, more) = two_layers(), torch.randn(2, 2, 7, 4)
    with sk.capture(model, buckets=(0, 3), title="mine") as run:
        model(x)
    run.save(tmp_path / f"run{suffix}")
    read = sk.Run.load(tmp_path / f"run{suffix}")
    assert (read.title, read.records) == ("mine", run.records) and all(read.spectra[n].equal(s) for n, s in run.spectra.items())
    with sk.capture(model, buckets=(0, 3), into=read):
        model(more)
    with sk.capture(model, buckets=(0, 3)) as whole:
        model(x)
        model(more)
    assert all(read.spectra[name].equal(s) for name, s in whole.spectra.items())
    run += sk.Run.load(tmp_path / f"run{suffix}")
    assert run.records["0.decay"].positions == 28


def test_files_that_are_none_of_a_run(tmp_path):
    sk.Spectrum().save(tmp_path / "spectrum.npz")
    with pytest.raises(ValueError, match=r"expected a file of Run\.save"):
        sk.Run.load(tmp_path / "spectrum.npz")
    with pytest.raises(ValueError, match="ends in"):
        sk.Run().save(tmp_path / "run.pt")


def test_everything_is_put_back_after_an_exception():
    model = torch.nn.Sequential(torch.nn.GRU(4, 4, batch_first=True))
    before = (torch.nn.functional.softmax, torch.softmax, torch.nn.functional.scaled_dot_product_attention)
    with pytest.raises(RuntimeError, match="mine"), sk.capture(model):
        model(torch.randn(1, 3, 4))
        assert torch.softmax is not before[1]
        raise RuntimeError("mine")
    assert before == (torch.nn.functional.softmax, torch.softmax, torch.nn.functional.scaled_dot_product_attention)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_that_raises_can_be_captured_again():
    model, x = two_layers(), torch.randn(2, 7, 4)
    session = sk.capture(model)
    with session as run:
        with pytest.raises(RuntimeError):
            model(torch.randn(2, 7, 3))
        model(x)
    assert run.records["0.decay"].positions == 14


def test_nested_captures_hear_their_own_model():
    a, b, x = two_layers(), two_layers(), torch.randn(2, 7, 4)
    with sk.capture(a) as first, sk.capture(b) as second:
        a(x)
        b(x)
        b(x)
    assert (first.records["0.decay"].positions, second.records["0.decay"].positions) == (14, 28)


def test_arguments():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module, got function"):
        sk.capture(lambda x: x)
    with pytest.raises(ValueError, match="expected keep 'spectrum', 'eigenvalues', 'factors', got 'all'"):
        sk.capture(two_layers(), "all")
    with pytest.raises(ValueError, match="expected verify"):
        sk.capture(two_layers(), verify="sometimes")
    with pytest.raises(ValueError, match="to go on with"):
        sk.capture(two_layers(), buckets=(0, 5), into=sk.Run())
    with pytest.raises(ValueError, match="n = 3 and 1 heads, as before"):
        run = sk.Run()
        run.add("x", sk.transitions.Diagonal(torch.ones(2, 3)))
        run.add("x", sk.transitions.Diagonal(torch.ones(2, 4)))


def test_a_model_without_recurrences_says_so():
    model = torch.nn.Linear(2, 2)
    with pytest.warns(UserWarning, match="Linear called no kernel"), sk.capture(model):
        model(torch.randn(3, 2))
    with pytest.raises(ValueError, match="replayed"):
        sk.Run().verify()


def test_constant_transitions_count_once_per_position():
    run = sk.Run(buckets=(0, 4))
    t = sk.transitions.Diagonal(torch.tensor([0.5, 0.9]), time=None)
    run.add("pole", t, positions=torch.ones(2, 6, dtype=torch.bool))
    assert run.spectra["pole"].count.tolist() == [[16, 8]]


def test_warnings_are_not_errors_of_the_model():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = two_layers()
        with sk.capture(model):
            model(torch.randn(1, 3, 4))
    assert not [w for w in seen if "capture" in str(w.message)]


class S4DKernel(torch.nn.Module):
    """The filter of a diagonal state space, with the parameters of state-spaces/s4."""

    def __init__(self, channels, modes):
        super().__init__()
        self.log_dt = torch.nn.Parameter(torch.rand(channels) - 4)
        self.C = torch.nn.Parameter(torch.randn(channels, modes, 2))
        self.log_A_real = torch.nn.Parameter(torch.full((channels, modes), 0.5).log())
        self.A_imag = torch.nn.Parameter(torch.pi * torch.arange(modes).repeat(channels, 1).float())

    def forward(self, L):
        A = -self.log_A_real.exp() + 1j * self.A_imag
        dtA = A * self.log_dt.exp()[:, None]
        C = torch.view_as_complex(self.C) * (dtA.exp() - 1) / A
        return 2 * torch.einsum("hn,hnl->hl", C, (dtA[..., None] * torch.arange(L)).exp()).real


def test_a_state_space_of_parameters_alone():
    model = S4DKernel(3, 4)
    with sk.capture(model) as run:
        model(50)
    record = run.records["S4DKernel"]
    assert (record.family, record.lti, record.n, record.positions) == ("s4d", True, 24, 50)
    assert run.verify()["S4DKernel"] <= 1e-5 and run.spectra["S4DKernel"].count.tolist() == [50 * 24]


def chunk_delta_rule(q, k, v, beta, scale=None, initial_state=None):
    """As the kernel of this name, token by token."""
    S, out = torch.zeros(k.shape[0], k.shape[2], k.shape[3], v.shape[3]), []
    for q_t, k_t, v_t, b_t in zip(q.unbind(1), k.unbind(1), v.unbind(1), beta.unbind(1), strict=True):
        S = S + (b_t[..., None] * k_t)[..., None] * (v_t - torch.einsum("bhk,bhkv->bhv", k_t, S))[..., None, :]
        out.append(torch.einsum("bhk,bhkv->bhv", q_t, S) * k.shape[-1] ** -0.5)
    return torch.stack(out, 1), None


class DeltaLayer(torch.nn.Module):
    """Keeps its kernel on the instance, as transformers before 5.15 did."""

    def __init__(self):
        super().__init__()
        self.chunk_delta_rule = chunk_delta_rule

    def forward(self, x):
        return self.chunk_delta_rule(x, torch.nn.functional.normalize(x, dim=-1), x, x[..., 0].sigmoid())[0]


def test_a_kernel_that_is_kept_on_the_instance():
    model, x = DeltaLayer(), torch.randn(2, 7, 3, 4)
    with sk.capture(model, "factors") as run:
        model(x)
    assert model.chunk_delta_rule is chunk_delta_rule
    assert run.verify()["DeltaLayer"] <= 1e-5
    expected = sk.families.deltanet(torch.nn.functional.normalize(x, dim=-1), x[..., 0].sigmoid())
    assert torch.equal(run.transitions["DeltaLayer"][0].dense(), expected.dense())


def test_a_kernel_that_is_called_in_an_unknown_way_is_skipped_and_the_model_runs():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return self.kernel(x)

    model = Odd()
    model.chunk_hgrn = lambda x: x
    model.kernel = lambda x: model.chunk_hgrn(x)
    with pytest.warns(UserWarning, match="called in a way that is not known"), sk.capture(model) as run:
        assert torch.equal(model(torch.ones(2, 3)), torch.ones(2, 3))
    assert list(run.skipped) == ["Odd"]
