"""Log-linear attention: one state per level of a binary counter, each under the transition of an ordinary linear attention."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.delta import gated_deltanet
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import LevelMerge, Scalar, Transition


def _merged(name: str, inner: Transition, levels: int | None, offset: int) -> LevelMerge:
    """`inner`, of batch ``(..., T, H)``, on every level; position t merges the levels up to the number of trailing zeros of t."""
    _arguments.size(name, "offset", offset)
    T = inner.batch_shape[-2]
    needed = (offset + T - 1).bit_length() + 1 if offset + T > 0 else 1
    count = needed if levels is None else _arguments.size(name, "levels", levels, 1)
    if count < needed:
        raise ValueError(f"families.{name}: expected at least {needed} levels for the positions up to {offset + T - 1}, got {count}")
    t = torch.arange(offset, offset + T, device=inner.device)
    zeros = torch.where(t > 0, (t & -t).clamp(min=1).to(torch.float64).log2().long(), -2)  # log2 of a power of 2; nothing stands before position 0
    valid = (t > 0)[:, None].expand(inner.batch_shape)
    return LevelMerge(inner, zeros[:, None], count, valid=valid, time=-2)


@family("Log-linear Mamba-2", "C12", cost="O(n log T)", range="[0, 1]", source="arXiv:2506.04761; fla chunk_log_linear_attn")
def log_linear_mamba2(g: Tensor, head_k_dim: int = 1, *, levels: int | None = None, offset: int = 0) -> LevelMerge:
    """Log-linear Mamba-2: one state per level, ``S^(l)_t``, under the decay ``alpha_t = exp(g_t)`` of Mamba-2.

    Level 0 is the current token.  At position t with l trailing zeros in its binary digits, the levels 0 to l are added up in level l + 1, which
    was empty, and cleared: ``A_t = alpha_t (M_l (x) I)``, M the matrix of `transitions.LevelMerge`.  The scales per level that
    the output is read with are no part of the recurrence.

    Args:
        g: ``(..., T, H)``, log decay, ``-exp(A_log) dt`` of the layer: as chunk_log_linear_attn takes it.
        head_k_dim: K, the order of the state of one level.  1: one number per level.
        levels: L, the last axis of `level_scales`; None: as many as the positions need, ``ceil(log2 T) + 1``.
        offset: the position of the first token, where the sequence goes on from a state.

    Returns:
        `LevelMerge` of shape ``(..., T, H, L K, L K)``.  Eigenvalues: 0, ``min(l + 2, L) K`` times, and alpha else.  Not valid at position 0,
        where there is nothing to merge.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype or shape of a tensor, and for fewer levels than the positions need.

    Source: Guo et al., arXiv:2506.04761; fla chunk_log_linear_attn, LogLinearMamba2.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.log_linear_mamba2(-torch.rand(2, 8, 3), 16)
    LevelMerge(shape=(2, 8, 3, 64, 64), dtype=torch.float32)
    """
    (g,) = _arguments.tensors("log_linear_mamba2", {"g": "... T H"}, g=g)
    _arguments.size("log_linear_mamba2", "head_k_dim", head_k_dim, 1)
    return _merged("log_linear_mamba2", Scalar(g, head_k_dim, log=True, time=-2), levels, offset)


@family("Log-linear Gated DeltaNet", "C12, C3", cost="O(n log T)", range="[0, 1]", source="arXiv:2506.04761")
def log_linear_gated_deltanet(g: Tensor, k: Tensor, beta: Tensor, *, levels: int | None = None, offset: int = 0, use_qk_l2norm_in_kernel: bool = False) -> LevelMerge:
    """Log-linear Gated DeltaNet: `log_linear_mamba2` with the transition of `gated_deltanet` on every level, ``A_t = M_l (x) alpha (I - beta k k^T)``.

    Args:
        g, beta: ``(..., T, HV)``, log decay and write strength.
        k: ``(..., T, H, K)``; head h serves HV/H consecutive value heads.
        levels, offset: as in `log_linear_mamba2`.
        use_qk_l2norm_in_kernel: k is still to be divided by ``sqrt(|k|^2 + 1e-6)``.

    Returns:
        `LevelMerge` of shape ``(..., T, HV, L K, L K)``.  Eigenvalues: 0, ``min(l + 2, L) K`` times, and those of `gated_deltanet` once for every other
        level.  Not valid at position 0.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for fewer levels than the positions need.

    Source: Guo et al., arXiv:2506.04761.

    >>> import torch, spectral_kernels as sk
    >>> g, k, beta = -torch.rand(2, 8, 3), torch.randn(2, 8, 3, 16), torch.rand(2, 8, 3)
    >>> sk.families.log_linear_gated_deltanet(g, k, beta, use_qk_l2norm_in_kernel=True)
    LevelMerge(shape=(2, 8, 3, 64, 64), dtype=torch.float32)
    """
    shapes = {"g": "... T HV", "k": "... T H K", "beta": "... T HV"}
    g, k, beta = _arguments.tensors("log_linear_gated_deltanet", shapes, g=g, k=k, beta=beta)
    inner = gated_deltanet(g, k, beta, use_qk_l2norm_in_kernel=use_qk_l2norm_in_kernel)
    return _merged("log_linear_gated_deltanet", inner, levels, offset)
