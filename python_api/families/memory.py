"""Memories that learn while they read: the state is the weight of a small model, and a position one step of its training.

Gradient descent on ``|W^T k - v|^2 / 2`` is the delta rule, with momentum a linear map of two states.  Where the small model ends in a norm
the step is no longer linear in the state, and its Jacobian depends on it.  A state of zero, with which the references start unless told otherwise,
is where the norm is steepest: the variance is 0 there and the eigenvalues of the first position are of the size of 1 / eps.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families._gates import l2norm
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import KroneckerMomentum, KroneckerRankOne, LowRankUpdate, Momentum, RankOne

_MINI_BATCH_SIZE = 16  # of the reference implementation


@family("Momentum DeltaNet", "C7", cost="O(n)", range="|lambda| < 1 with unit keys; complex pairs", source="fla MomentumDeltaNet")
def momentum_deltanet(
    k: Tensor,
    log_alpha: Tensor,
    log_mu: Tensor,
    beta: Tensor | None = None,
    eta: Tensor | None = None,
    p: Tensor | None = None,
    *,
    use_qk_l2norm_in_kernel: bool = True,
    use_p_times_alpha: bool = True,
) -> Momentum:
    """Momentum DeltaNet: ``M_t = mu_t M_{t-1} + eta_t k_t (p_t^T S_{t-1} - v_t^T)``, ``S_t = alpha_t S_{t-1} - beta_t M_t``.

    Args:
        k: ``(..., T, H, K)``.
        log_alpha, log_mu: ``(..., T, H)``, log decay of the state S and of the momentum M.
        beta, eta: ``(..., T, H)``, step and learning rate; None: 1.
        p: ``(..., T, H, K)``, what S is read with; None: k.
        use_qk_l2norm_in_kernel: k and p are still to be divided by ``sqrt(|.|^2 + 1e-6)``; the kernels' default.
        use_p_times_alpha: S is read after its decay, so that alpha multiplies p; the kernels' default.  The recurrent
            reference has neither: False for both.

    Returns:
        `Momentum` of shape ``(..., T, H, 2 K, 2 K)``, on the state (S, M).  Eigenvalues: alpha and mu, K - 1 times each, and the roots of
        ``x^2 - (alpha + mu - beta eta p^T k) x + alpha mu``: complex where ``(alpha + mu - beta eta p^T k)^2 < 4 alpha mu``, then of modulus
        ``sqrt(alpha mu)``.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: fla chunk_momentum_delta_rule, recurrent_momentum_delta_rule_ref.

    >>> import torch, spectral_kernels as sk
    >>> log_alpha, log_mu = -torch.rand(2, 2, 7, 3)
    >>> sk.families.momentum_deltanet(torch.randn(2, 7, 3, 16), log_alpha, log_mu)
    Momentum(shape=(2, 7, 3, 32, 32), dtype=torch.float32)
    """
    shapes = {"k": "... T H K", "log_alpha": "... T H", "log_mu": "... T H", "beta": "... T H ?", "eta": "... T H ?", "p": "... T H K ?"}
    given = {"k": k, "log_alpha": log_alpha, "log_mu": log_mu, "beta": beta, "eta": eta, "p": p}
    k, log_alpha, log_mu, step, rate, read = _arguments.tensors("momentum_deltanet", shapes, **given)
    alpha, one = log_alpha.exp(), torch.ones_like(log_alpha)
    read = k if p is None else read
    if use_qk_l2norm_in_kernel:
        k, read = l2norm(k), l2norm(read)
    if use_p_times_alpha:
        read = alpha[..., None] * read
    return Momentum(alpha, log_mu.exp(), one if beta is None else step, one if eta is None else rate, k, read, time=-2)


@family("TTT-linear", "C3, C10", cost="O(n); with norm O(V^3)", range="real; [0, 1] for small eta |k|^2", source="arXiv:2407.04620; fla chunk_ttt_linear")
def ttt_linear(
    k: Tensor,
    eta: Tensor,
    *,
    v: Tensor | None = None,
    w: Tensor | None = None,
    b: Tensor | None = None,
    eps: float = 1e-6,
    initial_state: Tensor | None = None,
    initial_state_bias: Tensor | None = None,
) -> RankOne | KroneckerRankOne:
    """TTT-linear, one token per step: the state is the weight of a linear model that each token trains, ``W_t = W_{t-1} - eta_t k_t grad_t^T``.

    Without norm ``grad = W^T k - v``, and ``A_t = I - eta_t k_t k_t^T`` on the K axis.  With norm (give w) the model has a bias c, and
    grad is the gradient of ``|w * norm(u) + b - (v - k)|^2 / 2`` with respect to ``u = W^T k + c``.  The step is then not linear in the state;
    its Jacobian, with the bias as one more row of W and ``k' = (k, 1)``, is ``I - eta k' k'^T (x) G_t``, G the Hessian of that loss in u.
    The state is followed position by position to know G.

    Args:
        k: ``(..., T, H, K)``.
        eta: ``(..., T, H, 1)``, learning rate.
        v: ``(..., T, H, K)``, values, of the keys' length; with norm only.
        w, b: ``(H, K)``, weight and bias of the norm; without w there is no norm.  b None: 0.
        eps: added to the variance.
        initial_state: ``(..., H, K, K)``, or for all sequences ``(H, K, K)``, W before the first position; with norm only; None: 0.
        initial_state_bias: ``(..., H, 1, K)`` or ``(H, 1, K)``, c before the first position; with norm only; None: 0.

    Returns:
        Without norm `RankOne` of shape ``(..., T, H, K, K)``, whose spectrum the state has V times; with norm `KroneckerRankOne` of shape
        ``(..., T, H, (K + 1) K, (K + 1) K)``.  Both symmetric.  Eigenvalues: real: 1, and ``1 - eta |k|^2``; with norm 1, K^2 times, and
        ``1 - eta (|k|^2 + 1) gamma_j`` of the eigenvalues of G, above 1 where the loss is concave.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for what belongs to the norm without w, or w without v.

    Source: Sun et al., arXiv:2407.04620; fla chunk_ttt_linear_ref with mini_batch_size=1.

    >>> import torch, spectral_kernels as sk
    >>> k, v, eta = torch.randn(2, 7, 3, 4), torch.randn(2, 7, 3, 4), 0.1 * torch.rand(2, 7, 3, 1)
    >>> sk.families.ttt_linear(k, eta), sk.families.ttt_linear(k, eta, v=v, w=torch.ones(3, 4))
    (RankOne(shape=(2, 7, 3, 4, 4), dtype=torch.float32), KroneckerRankOne(shape=(2, 7, 3, 20, 20), dtype=torch.float32))
    """
    k, (eta,), norm = _memory("ttt_linear", k, {"eta": eta}, v, w, b, eps, initial_state, initial_state_bias)
    if norm is None:
        return RankOne(torch.ones_like(eta), eta, k, time=-2)
    keys, G = norm.train(k, eta, 1)
    return KroneckerRankOne(eta, keys, G, time=-2)


@family("TTT-linear, mini-batches", "C6, C10", cost="O(n m^2 + m^3); with norm m V for m", range="real; [0, 1] for small eta |k|^2", source="arXiv:2407.04620; fla")
def ttt_linear_mini_batch(
    k: Tensor,
    eta: Tensor,
    mini_batch_size: int = _MINI_BATCH_SIZE,
    *,
    v: Tensor | None = None,
    w: Tensor | None = None,
    b: Tensor | None = None,
    eps: float = 1e-6,
    initial_state: Tensor | None = None,
    initial_state_bias: Tensor | None = None,
) -> LowRankUpdate:
    """TTT-linear in mini-batches of m tokens, whose gradients are all taken at the state before the first: one transition per mini-batch.

    ``A = I - eta sum_j k_j k_j^T``, with norm ``I - eta sum_j k'_j k'_j^T (x) G_j``, eta the learning rate of the LAST token of the mini-batch
    as in fla; names as in `ttt_linear`.  A last mini-batch that is not full has the tokens that there are.

    Args:
        k, eta, v, w, b, eps, initial_state, initial_state_bias: as in `ttt_linear`.
        mini_batch_size: m.

    Returns:
        `LowRankUpdate` of shape ``(..., ceil(T/m), H, K, K)``, whose spectrum the state has V times; with norm ``(..., ceil(T/m), H, (K + 1) K, (K + 1) K)`` with
        factors of ``m K`` rows: for small heads.  Both symmetric.  Eigenvalues: real up to rounding: 1 but for m (with norm m K)
        of them, which are at most 1 without norm.  Gauge: raw.

    Raises:
        TypeError, ValueError: as `ttt_linear`.

    Source: Sun et al., arXiv:2407.04620; fla chunk_ttt_linear_ref.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.ttt_linear_mini_batch(torch.randn(2, 40, 3, 64), 0.01 * torch.rand(2, 40, 3, 1))
    LowRankUpdate(shape=(2, 3, 3, 64, 64), dtype=torch.float32)
    """
    m = _arguments.size("ttt_linear_mini_batch", "mini_batch_size", mini_batch_size, 1)
    k, (eta,), norm = _memory("ttt_linear_mini_batch", k, {"eta": eta}, v, w, b, eps, initial_state, initial_state_bias)
    T = k.shape[-3]
    last = torch.arange(m - 1, T + m - 1, m, device=k.device).clamp(max=T - 1)  # of each mini-batch
    rate = eta.index_select(-2, last)
    keys, G = (k, None) if norm is None else norm.train(k, eta, m)
    left = _mini_batches(keys, -3, m).movedim(-3, -2)  # (..., T/m, H, m, K)
    core = rate[..., None, None] * torch.eye(m, dtype=k.dtype, device=k.device)
    if G is not None:
        V = G.shape[-1]
        left = torch.einsum("...mk,vw->...mvkw", left, torch.eye(V, dtype=k.dtype, device=k.device)).flatten(-2).flatten(-3, -2)
        hessians = _mini_batches(G, -4, m).movedim(-4, -3)  # (..., T/m, H, m, V, V)
        core = torch.einsum("...mn,...mvw->...mvnw", core, hessians).flatten(-2).flatten(-3, -2)
    return LowRankUpdate(torch.ones_like(rate), left, core, time=-2)


@family("Titans, linear memory", "C7", cost="O(n); with norm O(V^3)", range="|lambda| < 1 for small theta |k|^2; complex pairs", source="arXiv:2501.00663; fla titans")
def titans_linear(
    k: Tensor,
    theta: Tensor,
    alpha: Tensor,
    eta: Tensor,
    *,
    v: Tensor | None = None,
    w: Tensor | None = None,
    b: Tensor | None = None,
    eps: float = 1e-6,
    initial_state: Tensor | None = None,
) -> Momentum | KroneckerMomentum:
    """Titans with a linear memory, one token per step: ``S_t = eta_t S_{t-1} - 2 theta_t k_t grad_t^T``, ``M_t = (1 - alpha_t) M_{t-1} + S_t``.

    Without norm ``grad = M^T k - v``; with norm (give w) the gradient of ``|w * norm(u) + b - (v - k)|^2 / 2`` with respect to ``u = M^T k``,
    whose Hessian G enters the Jacobian of the step as in `ttt_linear`.  (fla's reference leaves out a pair of parentheses of that gradient,
    which TTT's has; this is the gradient.)

    Args:
        k: ``(..., T, H, K)``.
        theta, alpha, eta: ``(..., T, H, 1)``, learning rate, forgetting, and decay of the momentum.
        v: ``(..., T, H, K)``, values, of the keys' length; with norm only.
        w, b: ``(H, K)``, weight and bias of the norm; without w there is no norm.  b None: 0.
        eps: added to the variance.
        initial_state: ``(..., H, K, K)``, or for all sequences ``(H, K, K)``, M before the first position; with norm only; None: 0.

    Returns:
        On the state (M, -S): without norm `Momentum` of shape ``(..., T, H, 2 K, 2 K)``, whose spectrum the state has V times; with norm `KroneckerMomentum` of
        shape ``(..., T, H, 2 K K, 2 K K)``.  Eigenvalues: ``1 - alpha`` and eta, K - 1 times each, and the roots of
        ``x^2 - (1 - alpha - 2 theta |k|^2 gamma + eta) x + (1 - alpha) eta``: with gamma = 1 without norm, with each eigenvalue of G with it.
        Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for what belongs to the norm without w, or w without v.

    Source: Behrouz et al., arXiv:2501.00663; fla titans_linear with chunk_size=1.  A memory of several layers: its Jacobian is `transitions.Dense`.

    >>> import torch, spectral_kernels as sk
    >>> k, (theta, alpha, eta) = torch.randn(2, 7, 3, 16), torch.rand(3, 2, 7, 3, 1)
    >>> sk.families.titans_linear(k, 0.01 * theta, alpha, eta)
    Momentum(shape=(2, 7, 3, 32, 32), dtype=torch.float32)
    """
    k, (theta, alpha, eta), norm = _memory("titans_linear", k, {"theta": theta, "alpha": alpha, "eta": eta}, v, w, b, eps, initial_state, None)
    keep, one = 1 - alpha, torch.ones_like(alpha)
    if norm is None:
        return Momentum(keep, eta, one, 2 * theta, k, time=-2)
    return KroneckerMomentum(keep, eta, one, 2 * theta, k, norm.train_with_momentum(k, theta, keep, eta), time=-2)


def _mini_batches(x: Tensor, axis: int, m: int) -> Tensor:
    """`axis` in pieces of m, the last filled up with zeros: axis and, behind it, m."""
    T = x.shape[axis]
    missing = -T % m
    if missing:
        x = torch.cat([x, torch.zeros_like(x.narrow(axis, 0, 1)).expand(*x.shape[: x.dim() + axis], missing, *x.shape[x.dim() + axis + 1 :])], axis)
    return x.unflatten(axis, ((T + missing) // m, m))


def _memory(
    name: str, k: Tensor, rates: dict[str, Tensor], v: Tensor | None, w: Tensor | None, b: Tensor | None, eps: float, state: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, list[Tensor], _Normed | None]:
    """k, the rates without their last axis, and the model with norm where there is one."""
    of_norm: dict[str, Any] = {"v": v, "w": w, "b": b, "initial_state": state, "initial_state_bias": bias}
    without = [key for key, value in of_norm.items() if value is not None]
    if w is None and without:
        raise ValueError(f"families.{name}: expected w, the weight of the norm, with {', '.join(without)}; without norm the transition does not depend on them")
    if w is not None and v is None:
        raise ValueError(f"families.{name}: expected v with w: the Jacobian of the norm depends on the state")
    shapes = {"k": "... T H K"} | {rate: "... T H 1" for rate in rates}
    learned = {key: isinstance(of_norm[key], Tensor) and of_norm[key].dim() == 3 for key in ("initial_state", "initial_state_bias")}
    shapes |= {"v": "... T H K ?", "w": "H K ?", "b": "H K ?"}
    shapes |= {key: f"{'' if learned[key] else '... '}H {rows} K ?" for key, rows in (("initial_state", "K"), ("initial_state_bias", "1"))}
    k, *rest = _arguments.tensors(name, shapes, k=k, **rates, **of_norm)
    values, weight, offset, W, c = rest[len(rates) :]
    return k, [rate[..., 0] for rate in rest[: len(rates)]], None if w is None else _Normed(values - k, weight, offset, W, c, eps)


class _Normed:
    """The small model ``u -> w * norm(u) + b`` behind the state, and what it is trained to give, ``target (..., T, H, V)``."""

    def __init__(self, target: Tensor, w: Tensor, b: Tensor, state: Tensor, bias: Tensor, eps: float) -> None:
        self.target, self.w, self.b, self.eps = target, w, b, eps
        *batch, _, H, V = target.shape
        self.state = state.expand(*batch, H, V, V)
        self.bias = bias.expand(*batch, H, 1, V)

    def gradient(self, u: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``|w * norm(u) + b - target|^2 / 2``, the gradient ``(..., H, V)`` and the Hessian ``(..., H, V, V)``, with respect to u.

        With ``x = norm(u)``, ``s = sqrt(var u + eps)`` and ``P = I - (1 1^T + x x^T) / V``, dx/du is ``P / s``, and for ``g = w (w x + b - target)``
        the gradient is ``P g / s`` and the Hessian ``(P W^2 P - (x^T g P + x (P g)^T + P g x^T) / V) / s^2``.
        """
        V = u.shape[-1]
        centred = u - u.mean(-1, keepdim=True)
        s = (centred.square().mean(-1, keepdim=True) + self.eps).sqrt()
        x = centred / s
        g = self.w * (self.w * x + self.b - target)
        along = (x * g).sum(-1, keepdim=True)
        Pg = g - (g.sum(-1, keepdim=True) + x * along) / V
        P = torch.eye(V, dtype=u.dtype, device=u.device) - (1 + x[..., :, None] * x[..., None, :]) / V
        mixed = x[..., :, None] * Pg[..., None, :]
        hessian = P @ (self.w.square()[..., None] * P) - (along[..., None] * P + mixed + mixed.mT) / V
        return Pg / s, hessian / s[..., None].square()

    def train(self, k: Tensor, eta: Tensor, m: int) -> tuple[Tensor, Tensor]:
        """TTT in mini-batches of m: the keys ``(k, 1)`` and the Hessians ``(..., T, H, V, V)``."""
        W, c, hessians = self.state, self.bias, []
        for first in range(0, k.shape[-3], m):
            keys, target = (x[..., first : first + m, :, :].movedim(-3, 0) for x in (k, self.target))
            gradient, hessian = self.gradient((keys[..., None, :] @ W + c)[..., 0, :], target)
            hessians.append(hessian)
            step = eta[..., first : first + m, :][..., -1, :, None] * gradient
            W, c = W - torch.einsum("m...k,m...v->...kv", keys, step), c - step.sum(0)[..., None, :]
        G = torch.cat(hessians) if hessians else self.target.new_zeros(0, *self.state.shape)
        return torch.cat([k, torch.ones_like(k[..., :1])], -1), G.movedim(0, -4)

    def train_with_momentum(self, k: Tensor, theta: Tensor, keep: Tensor, eta: Tensor) -> Tensor:
        """Titans, token by token: the Hessians ``(..., T, H, V, V)``."""
        M, S, hessians = self.state, torch.zeros_like(self.state), []
        for key, target, rate, kept, decay in zip(k.unbind(-3), self.target.unbind(-3), theta.unbind(-2), keep.unbind(-2), eta.unbind(-2), strict=True):
            gradient, hessian = self.gradient((key[..., None, :] @ M)[..., 0, :], target)
            hessians.append(hessian)
            S = decay[..., None, None] * S - (2 * rate[..., None] * key)[..., :, None] * gradient[..., None, :]
            M = kept[..., None, None] * M + S
        return torch.stack(hessians, -4) if hessians else self.state.new_zeros(*self.target.shape, self.target.shape[-1])
