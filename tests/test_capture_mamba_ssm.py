"""The calls of mamba_ssm, which needs a GPU: a module with its names, whose functions compute what its reference functions define."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, linear, silu, softplus

import spectral_kernels as sk

B, T, D, N, H, P, G = 2, 11, 6, 4, 3, 5, 1


def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False):
    delta = delta if delta_bias is None else delta + delta_bias[:, None]
    delta = softplus(delta) if delta_softplus else delta
    state, out = torch.zeros(*u.shape[:2], A.shape[1]), []
    for t in range(u.shape[2]):
        state = torch.exp(delta[:, :, t, None] * A) * state + delta[:, :, t, None] * B[:, None, :, t] * u[:, :, t, None]
        out.append((state * C[:, None, :, t]).sum(-1))
    y = torch.stack(out, 2)
    y = y if D is None else y + u * D[:, None]
    y = y if z is None else y * silu(z)
    return (y, state) if return_last_state else y


def mamba_inner_fn(
    xz, conv1d_weight, conv1d_bias, x_proj_weight, delta_proj_weight, out_proj_weight, out_proj_bias, A, B=None, C=None, D=None, delta_bias=None, delta_softplus=True
):
    x, z = xz.chunk(2, 1)
    x = silu(conv1d(x, conv1d_weight, conv1d_bias, padding=conv1d_weight.shape[-1] - 1, groups=x.shape[1])[..., : x.shape[-1]])
    rank = delta_proj_weight.shape[1]
    dt, B, C = linear(x.transpose(1, 2), x_proj_weight).split([rank, N, N], -1)
    delta = linear(dt, delta_proj_weight).transpose(1, 2)
    y = selective_scan_fn(x, delta, A, B.transpose(1, 2), C.transpose(1, 2), D, z, delta_bias, delta_softplus)
    return linear(y.transpose(1, 2), out_proj_weight, out_proj_bias)


def mamba_chunk_scan_combined(x, dt, A, B, C, chunk_size, D=None, z=None, dt_bias=None, initial_states=None, dt_softplus=False, dt_limit=(0.0, float("inf")), **others):
    delta = (softplus(dt + dt_bias) if dt_softplus else dt).clamp(*dt_limit)
    state, out = torch.zeros(x.shape[0], H, P, N), []
    for t in range(x.shape[1]):
        b, c = (m[:, t].repeat_interleave(H // G, 1) for m in (B, C))
        state = torch.exp(delta[:, t] * A)[..., None, None] * state + (delta[:, t, :, None] * x[:, t])[..., None] * b[:, :, None]
        out.append((state * c[:, :, None]).sum(-1))
    y = torch.stack(out, 1)
    y = y if D is None else y + x * D[:, None]
    return y if z is None else y * silu(z)


def mamba_split_conv1d_scan_combined(zxbcdt, conv1d_weight, conv1d_bias, dt_bias, A, D, chunk_size, dt_limit=(0.0, float("inf")), **others):
    return zxbcdt[..., :1]


def selective_state_update(state, x, dt, A, B, C, D=None, z=None, dt_bias=None, dt_softplus=False):
    dt = dt if dt_bias is None else dt + dt_bias
    dt = softplus(dt) if dt_softplus else dt
    B, C = (m[:, None] if state.dim() == 3 else m.repeat_interleave(H // G, 1)[:, :, None] for m in (B, C))
    state.copy_(torch.exp(dt[..., None] * A) * state + (dt * x)[..., None] * B)
    y = (state * C).sum(-1)
    y = y if D is None else y + x * D
    return y if z is None else y * silu(z)


class Mamba(nn.Module):
    """A layer that gives its kernel what it is made of."""

    def forward(self, kernel, *args, **kwargs):
        return vars(sys.modules[type(self).__module__])[kernel](*args, **kwargs)


@pytest.fixture
def layer(monkeypatch):
    module = ModuleType("mamba_ssm.modules.stand_in")
    for function in (selective_scan_fn, mamba_inner_fn, mamba_chunk_scan_combined, mamba_split_conv1d_scan_combined, selective_state_update):
        setattr(module, function.__name__, function)
        monkeypatch.setattr(function, "__module__", "mamba_ssm.ops.stand_in")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Mamba, "__module__", module.__name__)
    torch.manual_seed(0)
    return Mamba()


def captured(layer, *args, **kwargs):
    with torch.no_grad():
        expected = layer(*[a.clone() if isinstance(a, torch.Tensor) else a for a in args], **kwargs)
        with sk.capture(layer, "factors") as run:
            found = layer(*args, **kwargs)
    assert torch.equal(found, expected) and not run.skipped
    assert [r.library for r in run.records.values()] == ["mamba_ssm"]
    return run, run.transitions["Mamba"][0]


def test_mamba(layer):
    u, delta, z = torch.randn(3, B, D, T)
    A = -torch.rand(D, N)
    arguments = {"D": torch.randn(D), "z": z, "delta_bias": torch.randn(D), "delta_softplus": True}
    run, t = captured(layer, "selective_scan_fn", u, delta, A, torch.randn(B, N, T), torch.randn(B, N, T), **arguments)
    assert run.verify()["Mamba"] <= 1e-5
    assert torch.equal(t.exponent, (softplus(delta + arguments["delta_bias"][:, None]).transpose(1, 2)[..., None] * A).flatten(-2))


def test_mamba_fused(layer):
    """The fused layer shows its input alone; what its scan gets is computed again."""
    xz, w, A = torch.randn(B, 2 * D, T), torch.randn(D, 1, 4), -torch.rand(D, N)
    x_proj, delta_proj, out_proj, bias = torch.randn(2 + 2 * N, D), torch.randn(D, 2), torch.randn(7, D), torch.randn(D)
    _, t = captured(layer, "mamba_inner_fn", xz, w, None, x_proj, delta_proj, out_proj, None, A, D=torch.randn(D), delta_bias=bias)
    x = silu(conv1d(xz[:, :D], w, padding=3, groups=D)[..., :T]).transpose(1, 2)
    assert (t.delta - softplus(linear(linear(x, x_proj)[..., :2], delta_proj) + bias)).abs().max() <= 1e-5


@pytest.mark.parametrize("limits", [(0.0, float("inf")), (0.1, 0.5)])
def test_mamba2(layer, limits):
    x, dt, bias, A = torch.randn(B, T, H, P), torch.randn(B, T, H), torch.randn(H), -torch.rand(H)
    b, c = torch.randn(2, B, T, G, N)
    run, t = captured(layer, "mamba_chunk_scan_combined", x, dt, A, b, c, 4, D=torch.randn(H), dt_bias=bias, dt_softplus=True, dt_limit=limits)
    assert run.verify()["Mamba"] <= 1e-5 and run.records["Mamba"].multiplicity == P
    assert (t.value - softplus(dt + bias).clamp(*limits) * A).abs().max() <= 1e-6


def test_mamba2_fused(layer):
    zxbcdt, A, bias = torch.randn(B, T, 20), -torch.rand(H), torch.randn(H)
    _, t = captured(layer, "mamba_split_conv1d_scan_combined", zxbcdt, None, None, bias, A, None, 4)
    assert (t.value - softplus(zxbcdt[..., -H:] + bias) * A).abs().max() <= 1e-6


@pytest.mark.parametrize("version", [1, 2])
def test_one_token(layer, version):
    if version == 1:
        state, x, dt, z, A, bias, skip = torch.randn(B, D, N), *torch.randn(3, B, D), -torch.rand(D, N), torch.randn(D), torch.randn(D)
        b, c = torch.randn(2, B, N)
    else:  # what a head shares stands at all of its channels
        state, x, z, skip = torch.randn(B, H, P, N), *torch.randn(2, B, H, P), torch.randn(H, P)
        dt, bias = torch.randn(B, H, 1).expand(B, H, P), torch.randn(H, 1).expand(H, P)
        A = -torch.rand(H, 1, 1).expand(H, P, N)
        b, c = torch.randn(2, B, G, N)
    run, t = captured(layer, "selective_state_update", state, x, dt, A, b, c, skip, z=z, dt_bias=bias, dt_softplus=True)
    assert run.verify()["Mamba"] <= 1e-5 and t.batch_shape[:2] == (B, 1)
