"""What the kernels of the delta rules do to their arguments before the recurrence: gates, write strengths, norms, grouped heads.

The flags are those of the kernels, so that a recorded call can be passed on as it is.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from spectral_kernels.api.families import _arguments

_L2_EPS = 1e-6  # of the kernels' l2norm, inside the square root


def l2norm(x: Tensor) -> Tensor:
    """``x / sqrt(|x|^2 + 1e-6)`` over the last axis: shorter than 1, which the eigenvalue ``1 - beta |k|^2`` sees."""
    return x * (x.square().sum(-1, keepdim=True) + _L2_EPS).rsqrt()


def strength(family: str, beta: Tensor, use_beta_sigmoid_in_kernel: bool, allow_neg_eigval: bool) -> Tensor:
    """beta as the recurrence uses it: ``sigma(beta)`` of logits, twice that, in (0, 2), with `allow_neg_eigval`."""
    if allow_neg_eigval and not use_beta_sigmoid_in_kernel:
        raise ValueError(f"families.{family}: expected use_beta_sigmoid_in_kernel=True with allow_neg_eigval=True; a beta that is in (0, 2) already needs neither")
    if not use_beta_sigmoid_in_kernel:
        return beta
    return 2 * beta.sigmoid() if allow_neg_eigval else beta.sigmoid()


def check_gate(family: str, use_gate_in_kernel: bool, A_log: Tensor | None, dt_bias: Tensor | None, lower_bound: float | None = None) -> None:
    """Refuses what no kernel would read, and a gate without its parameter."""
    if not use_gate_in_kernel and (A_log is not None or dt_bias is not None):
        raise ValueError(f"families.{family}: expected use_gate_in_kernel=True with A_log or dt_bias: without it g is the log decay itself")
    if use_gate_in_kernel and A_log is None and lower_bound is None:
        raise ValueError(f"families.{family}: expected A_log with use_gate_in_kernel=True, got None")
    if lower_bound is not None and not lower_bound < 0:
        raise ValueError(f"families.{family}: expected lower_bound < 0, got {lower_bound}")


def log_decay(g: Tensor, A_log: Tensor, dt_bias: Tensor, lower_bound: float | None = None) -> Tensor:
    """``-exp(A_log) softplus(g + dt_bias)``, or with a lower bound ``lower_bound sigma(exp(A_log) (g + dt_bias))``."""
    if lower_bound is None:
        return -A_log.exp() * softplus(g + dt_bias)
    return lower_bound * (A_log.exp() * (g + dt_bias)).sigmoid()


def tensors_with_bias(family: str, shapes: dict[str, str], dt_bias: Tensor | None, **given: Tensor | None) -> list[Tensor]:
    """`_arguments.tensors` of a family whose gate g has a bias per head and channel; behind them that bias, ``(H, K)``, which the kernels take flat."""
    heads, channels = shapes["g"].split()[-2:]
    flat = isinstance(dt_bias, Tensor) and dt_bias.dim() == 1
    *checked, bias = _arguments.tensors(family, shapes | {"dt_bias": f"{heads}*{channels} ?" if flat else f"{heads} {channels} ?"}, dt_bias=dt_bias, **given)
    if flat:
        H, K = checked[0].shape[-2:]
        if bias.shape[0] != H * K:
            raise ValueError(f"families.{family}: expected dt_bias ({heads} {channels}) with {heads} {channels} = {H * K}, as in g; got dt_bias of shape {tuple(bias.shape)}")
        bias = bias.reshape(H, K)
    return [*checked, bias]


def grouped(family: str, heads: int, axis: int, **given: Tensor) -> list[Tensor]:
    """Tensors of H heads repeated along `axis` for the `heads` value heads, of which each consecutive ``heads / H`` share one."""
    repeated = []
    for name, t in given.items():
        own = t.shape[axis]
        if own != heads and (own == 0 or heads % own):
            raise ValueError(f"families.{family}: expected {name} with a number of heads that divides the {heads} of g and beta, got {own}")
        repeated.append(t if own == heads else t.repeat_interleave(heads // own, dim=axis))
    return repeated
