"""State spaces whose transition is a parameter, and small recurrences that show their gates: modules known by the names of their classes.

Channels share nothing but their place in the layer, so the spectrum has one group for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from spectral_kernels.api import families
from spectral_kernels.api.capture.calls import Call, Observation, Unsupported, module
from spectral_kernels.api.capture.replay import POSITIONS, Comparison
from spectral_kernels.api.transitions import Diagonal


def _channels(t: Diagonal) -> Diagonal:
    """``(H, N)`` modes in one diagonal."""
    return Diagonal(t.value.flatten(), t.log, time=None)


@module("S4DKernel")
def _s4d(call: Call) -> Iterator[Observation]:
    """state-spaces/s4: ``forward(L)`` gives the filter ``(H, L)``, of which this is the impulse response."""
    layer, K = call.module, call.output
    if not all(hasattr(layer, name) for name in ("log_A_real", "A_imag", "log_dt", "C")):
        raise Unsupported("an S4DKernel without log_A_real, A_imag, log_dt and C")
    t = families.s4d(layer.log_A_real.float(), layer.A_imag.float(), layer.log_dt.float())
    compared = None
    if call.replayed:
        A = torch.complex(-layer.log_A_real.double().exp(), layer.A_imag.double())
        dtA = A * layer.log_dt.double().exp()[:, None]
        C = torch.view_as_complex(layer.C.double().contiguous()) * (dtA.exp() - 1) / A
        L = min(K.shape[-1], POSITIONS)
        half = t.value[:, : A.shape[1]].to(torch.complex128)  # the other half is conjugate
        modes = (half[..., None] * torch.arange(L, device=K.device)).exp()
        compared = Comparison(2 * torch.einsum("hn,hnl->hl", C, modes).real, K[..., :L])
    yield Observation(_channels(t), "s4d", compared, positions=(1, K.shape[-1]))


@module("LRU")
def _lru(call: Call) -> Iterator[Observation]:
    layer = call.module
    if not all(hasattr(layer, name) for name in ("nu_log", "theta_log")):
        raise Unsupported("an LRU without nu_log and theta_log")
    x = next(value for value in call.arguments.values() if isinstance(value, Tensor))
    yield Observation(_channels(families.lru(layer.nu_log.float(), layer.theta_log.float())), "lru", positions=(x.shape[0], x.shape[1]))


@module("minGRU")
def _min_gru(call: Call) -> Iterator[Observation]:
    """minGRU_pytorch: one projection makes the candidate and the gate."""
    layer, x = call.module, call["x"]
    if not hasattr(layer, "to_hidden_and_gate"):
        raise Unsupported("a minGRU without to_hidden_and_gate")
    yield Observation(families.min_gru(layer.to_hidden_and_gate(x).chunk(2, -1)[1].float()), "min_gru")
