"""Recurrent layers whose gates do not see the state: RG-LRU, minGRU, minLSTM, qLSTM.  The state is a vector, ``h_t = a_t * h_{t-1} + ...``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import Diagonal


@family("RG-LRU (Griffin, RecurrentGemma)", "C1", cost="O(n)", range="(0, 1); 0 at a reset", source="arXiv:2402.19427; transformers RecurrentGemmaRglru")
def rg_lru(
    recurrent_gate: Tensor | None = None, recurrent_param: Tensor | None = None, *, recurrent_gate_logits: Tensor | None = None, reset: Tensor | None = None
) -> Diagonal:
    """RG-LRU: ``h_t = a_t * h_{t-1} + sqrt(1 - a_t^2) * (i_t * x_t)`` with ``a_t = exp(-8 r_t softplus(recurrent_param))``.

    Args:
        recurrent_gate: r, ``(..., T, D)``, after its sigmoid.
        recurrent_param: ``(D,)``, the parameter.
        recurrent_gate_logits: ``(..., T, D)`` in place of recurrent_gate, before the sigmoid.
        reset: bool, ``(..., T)``: where a document starts (``position_ids == 0``); there a_t = 0, as in the layer, and the position is not valid.

    Returns:
        `Diagonal` of shape ``(..., T, D, D)`` with log a.  Eigenvalues: real, in (0, 1); 0 at a reset.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and unless one of recurrent_gate and recurrent_gate_logits is given.

    Source: De et al., arXiv:2402.19427; transformers RecurrentGemmaRglru, recurrentgemma RGLRU.

    >>> import torch, spectral_kernels as sk
    >>> t = sk.families.rg_lru(torch.ones(1, 2, 1), torch.zeros(1), reset=torch.tensor([[True, False]]))
    >>> t.eigvals().real.flatten().round(decimals=6)  # 2^-8
    tensor([0.0000, 0.0039])
    """
    given, value = _arguments.one_of("rg_lru", recurrent_gate=recurrent_gate, recurrent_gate_logits=recurrent_gate_logits)
    r, parameter = _arguments.tensors("rg_lru", {given: "... T D", "recurrent_param": "D"}, **{given: value}, recurrent_param=recurrent_param)
    log = -8 * (r if given == "recurrent_gate" else torch.sigmoid(r)) * softplus(parameter)
    if reset is None:
        return Diagonal(log, log=True)
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        raise TypeError(f"families.rg_lru: expected a bool Tensor reset, got {getattr(reset, 'dtype', type(reset).__name__)}")
    if reset.shape != r.shape[:-1]:
        raise ValueError(f"families.rg_lru: expected reset of shape {tuple(r.shape[:-1])}, got {tuple(reset.shape)}")
    return Diagonal(log.masked_fill(reset[..., None], -torch.inf), log=True, valid=~reset)


@family("minGRU", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2410.01201; minGRU_pytorch")
def min_gru(gate: Tensor) -> Diagonal:
    """minGRU: ``h_t = (1 - z_t) * h_{t-1} + z_t * g(hidden_t)`` with ``z = sigma(gate)``.

    Args:
        gate: ``(..., T, D)``, raw: the second half of what `to_hidden_and_gate` gives.

    Returns:
        `Diagonal` of shape ``(..., T, D, D)`` with ``log(1 - z) = -softplus(gate)``.  Eigenvalues: real, in (0, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of the tensor.

    Source: Feng et al., arXiv:2410.01201; minGRU_pytorch.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.min_gru(torch.zeros(1, 1, 2)).eigvals().real.tolist()
    [[[0.5, 0.5]]]
    """
    (gate,) = _arguments.tensors("min_gru", {"gate": "... T D"}, gate=gate)
    return Diagonal(logsigmoid(-gate), log=True)


@family("minLSTM", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2410.01201; minGRU_pytorch")
def min_lstm(f: Tensor, i: Tensor) -> Diagonal:
    """minLSTM: ``h_t = f' * h_{t-1} + i' * g(hidden_t)``, both gates divided by their sum: ``f' = sigma(f) / (sigma(f) + sigma(i))``.

    Args:
        f, i: ``(..., T, D)``, raw.

    Returns:
        `Diagonal` of shape ``(..., T, D, D)`` with log f'.  Eigenvalues: real, in (0, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Feng et al., arXiv:2410.01201; minGRU_pytorch.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.min_lstm(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)).eigvals().real.tolist()
    [[[0.5, 0.5]]]
    """
    f, i = _arguments.tensors("min_lstm", {"f": "... T D", "i": "... T D"}, f=f, i=i)
    return Diagonal(logsigmoid(logsigmoid(f) - logsigmoid(i)), log=True)


@family("qLSTM", "C1", cost="O(n)", range="(0, 1); (0, 1] with alpha", source="arXiv:2405.15731 (its code)")
def qlstm(f: Tensor, *, alpha: Tensor | None = None) -> Diagonal:
    """qLSTM, an LSTM without recurrent weights: ``c_t = sigma(f_t) * c_{t-1} + ...``; the modified one forgets with ``sigma(-f_t)^relu(alpha)``,
    the decay ``exp(-a softplus(f_t))`` of the selective state spaces.

    Args:
        f: ``(..., T, D)``, raw forget gate, ``W_f u_t``.
        alpha: ``(D,)`` or a scalar, for the modified gate.

    Returns:
        `Diagonal` of shape ``(..., T, D, D)`` with the log of the gate.  Eigenvalues: real, in (0, 1); 1 where alpha <= 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Sieber et al., arXiv:2405.15731, and its code.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.qlstm(torch.zeros(1, 1, 2), alpha=torch.tensor([2.0, -1.0])).eigvals().real.tolist()
    [[[0.25, 1.0]]]
    """
    scalar = isinstance(alpha, Tensor) and alpha.dim() == 0
    f, a = _arguments.tensors("qlstm", {"f": "... T D", "alpha": "" if scalar else "D ?"}, f=f, alpha=alpha)
    return Diagonal(logsigmoid(f) if alpha is None else torch.relu(a) * logsigmoid(-f), log=True)
