"""State spaces that do not depend on the input: S4, S4D, DSS, S5, LRU and moving averages.  Their batch axes are parameters, never positions."""

from __future__ import annotations

import torch
from torch import Tensor

from spectral_kernels.api.families import _arguments
from spectral_kernels.api.families.registry import family
from spectral_kernels.api.transitions import BilinearLowRank, Diagonal


def _discretised(rate: Tensor, step: Tensor, disc: str) -> Diagonal:
    """``exp(step rate)``, as a logarithm, or the bilinear ``(1 + step rate / 2) / (1 - step rate / 2)``."""
    z = rate * step
    return Diagonal(z, log=True, time=None) if disc == "zoh" else Diagonal((1 + z / 2) / (1 - z / 2), time=None)


def _with_conjugates(value: Tensor, present: bool) -> Tensor:
    return torch.cat([value, value.conj().resolve_conj()], -1) if present else value


@family("S4", "C11", cost="O(n^2)", range="|lambda| < 1", source="arXiv:2111.00396")
def s4(Lambda_re: Tensor, Lambda_im: Tensor, P: Tensor, log_step: Tensor, *, clip: float | None = -1e-4) -> BilinearLowRank:
    """S4: ``x' = (Lambda - P P*) x + B u`` discretised by the bilinear rule, ``A = (2/Delta - A_c)^-1 (2/Delta + A_c)``, ``A_c = Lambda - P P*``.

    At the HiPPO-LegS initialisation the eigenvalues of A_c cannot be computed in double precision beyond N of about 16, whatever the method:
    they are those of a matrix whose eigenvectors are almost dependent, as `condition` of the result says.  Trained parameters have no such trouble.

    Args:
        Lambda_re, Lambda_im: ``(..., N)``.
        P: ``(..., N)``, complex, or ``(..., N, 2)`` with its real and imaginary parts.
        log_step: ``(..., 1)`` or ``(...)``: ``Delta = exp(log_step)``.
        clip: the real part of Lambda is at most this; None: as it is.

    Returns:
        `BilinearLowRank` of shape ``(..., N, N)``, constant in t.  Eigenvalues: complex, ``|lambda| < 1`` where the real parts of Lambda are negative.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Gu et al., arXiv:2111.00396.

    >>> import torch, spectral_kernels as sk
    >>> n = torch.arange(8.0)
    >>> t = sk.families.s4(torch.full((3, 8), -0.5), (torch.pi * n).expand(3, 8), torch.full((3, 8), 0.5 + 0j), torch.full((3, 1), -3.0))
    >>> t.shape, bool((t.spectral_radius() < 1).all())
    (torch.Size([3, 8, 8]), True)
    """
    if isinstance(P, Tensor) and not P.is_complex():
        (P,) = _arguments.tensors("s4", {"P": "... N 2"}, P=P)
        P = torch.complex(P[..., 0], P[..., 1])
    step_shape = "... 1" if isinstance(log_step, Tensor) and isinstance(Lambda_re, Tensor) and log_step.dim() == Lambda_re.dim() else "..."
    shapes = {"Lambda_re": "... N", "Lambda_im": "... N", "P": "complex ... N", "log_step": step_shape}
    re, im, P, step = _arguments.tensors("s4", shapes, Lambda_re=Lambda_re, Lambda_im=Lambda_im, P=P, log_step=log_step)
    re = re if clip is None else re.clamp(max=clip)
    return BilinearLowRank(torch.complex(re, im), P, step.exp().reshape(re.shape[:-1]), time=None)


@family("S4D", "C2", cost="O(n)", range="|lambda| < 1", source="arXiv:2206.11893; state-spaces/s4 S4D, SSMKernelDiag")
def s4d(log_A_real: Tensor, A_imag: Tensor, log_dt: Tensor, *, disc: str = "zoh", conjugates: bool = True) -> Diagonal:
    """S4D: ``x' = A x + B u`` with diagonal ``A = -exp(log_A_real) + i A_imag``, discretised with ``dt = exp(log_dt)``.

    Args:
        log_A_real, A_imag: ``(H, N/2)``, one of each conjugate pair.
        log_dt: ``(H,)``.
        disc: "zoh", ``exp(dt A)``, or "bilinear", ``(1 + dt A / 2) / (1 - dt A / 2)``.
        conjugates: whether the other halves of the pairs, which the layer leaves out, are put in.

    Returns:
        `Diagonal` of shape ``(H, N, N)``, complex, constant in t; as logs for "zoh".  Eigenvalues: ``|lambda| < 1``, with conjugates in pairs.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for disc.

    Source: Gu et al., arXiv:2206.11893; state-spaces/s4.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.s4d(torch.zeros(3, 4), torch.pi * torch.arange(4.0).expand(3, 4), torch.full((3,), -2.0)).shape
    torch.Size([3, 8, 8])
    """
    _arguments.choice("s4d", "disc", disc, ("zoh", "bilinear"))
    re, im, dt = _arguments.tensors("s4d", {"log_A_real": "H N/2", "A_imag": "H N/2", "log_dt": "H"}, log_A_real=log_A_real, A_imag=A_imag, log_dt=log_dt)
    return _discretised(_with_conjugates(torch.complex(-re.exp(), im), conjugates), dt.exp()[:, None], disc)


@family("DSS (exp, softmax)", "C2", cost="O(n)", range="|lambda| < 1 (exp), any (softmax)", source="arXiv:2203.14343")
def dss(Lambda_re: Tensor, Lambda_im: Tensor, log_dt: Tensor, *, version: str = "exp") -> Diagonal:
    """DSS: ``x' = Lambda x + u`` with diagonal Lambda shared by the H features, each with its own step ``dt = exp(log_dt)``; ``lambda = exp(dt Lambda)``.

    Args:
        Lambda_re, Lambda_im: ``(N,)``: ``Lambda = -exp(Lambda_re) + i Lambda_im`` for the version "exp"; for "softmax" the real part is Lambda_re itself,
            of any sign, and the row-wise softmax of the kernel keeps growing modes finite.
        log_dt: ``(H,)``.
        version: "exp" or "softmax".

    Returns:
        `Diagonal` of shape ``(H, N, N)``, complex, as logs, constant in t.  Eigenvalues: ``|lambda| < 1`` for "exp"; of any modulus for "softmax".  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for version.

    Source: Gupta et al., arXiv:2203.14343.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.dss(torch.zeros(4), torch.arange(4.0), torch.zeros(3)).spectral_radius().round(decimals=4)
    tensor([0.3679, 0.3679, 0.3679])
    """
    _arguments.choice("dss", "version", version, ("exp", "softmax"))
    re, im, dt = _arguments.tensors("dss", {"Lambda_re": "N", "Lambda_im": "N", "log_dt": "H"}, Lambda_re=Lambda_re, Lambda_im=Lambda_im, log_dt=log_dt)
    return _discretised(torch.complex(-re.exp() if version == "exp" else re, im), dt.exp()[:, None], "zoh")


@family("S5", "C2", cost="O(n)", range="|lambda| < 1", source="arXiv:2208.04933; s5-pytorch")
def s5(
    Lambda_re: Tensor, Lambda_im: Tensor, log_step: Tensor, *, step_scale: float = 1.0, disc: str = "zoh", clip_eigs: bool = False, conj_sym: bool = False
) -> Diagonal:
    """S5: one multi-input state ``x' = Lambda x + B u`` with diagonal Lambda, discretised with ``Delta = step_scale exp(log_step)``.

    Args:
        Lambda_re, Lambda_im: ``(P,)``.
        log_step: ``(P, 1)`` or ``(P,)``.
        step_scale: for inputs sampled at another rate.
        disc: "zoh", ``exp(Delta Lambda)``, or "bilinear", ``(1 + Delta Lambda / 2) / (1 - Delta Lambda / 2)``.
        clip_eigs: whether the real part of Lambda is at most -1e-4.
        conj_sym: whether Lambda is one of each conjugate pair; the others are put in.

    Returns:
        `Diagonal` of shape ``(P, P)``, with conj_sym ``(2 P, 2 P)``, complex, constant in t; as logs for "zoh".  Eigenvalues: ``|lambda| < 1`` where Re Lambda < 0.
        Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor, and for disc.

    Source: Smith et al., arXiv:2208.04933; s5-pytorch.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.s5(torch.full((4,), -0.5), torch.arange(4.0), torch.zeros(4, 1)).horizon().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    _arguments.choice("s5", "disc", disc, ("zoh", "bilinear"))
    step_shape = "P" if isinstance(log_step, Tensor) and log_step.dim() == 1 else "P 1"
    re, im, step = _arguments.tensors("s5", {"Lambda_re": "P", "Lambda_im": "P", "log_step": step_shape}, Lambda_re=Lambda_re, Lambda_im=Lambda_im, log_step=log_step)
    rate = torch.complex(re.clamp(max=-1e-4) if clip_eigs else re, im) * (step_scale * step.reshape(-1).exp())
    return _discretised(_with_conjugates(rate, conj_sym), torch.ones_like(re[:1]), disc)


@family("LRU", "C2", cost="O(n)", range="|lambda| < 1", source="arXiv:2303.06349")
def lru(nu_log: Tensor, theta_log: Tensor) -> Diagonal:
    """LRU: ``x_t = lambda * x_{t-1} + gamma * B u_t`` with ``lambda = exp(-exp(nu_log) + i exp(theta_log))``.

    Args:
        nu_log, theta_log: ``(..., N)``, the parameters; leading axes for stacked layers.

    Returns:
        `Diagonal` of shape ``(..., N, N)``, complex, as logs, constant in t.  Eigenvalues: ``|lambda| < 1``.  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Orvieto et al., arXiv:2303.06349.

    >>> import torch, spectral_kernels as sk
    >>> sk.families.lru(torch.zeros(2), torch.zeros(2)).eigvals().abs().round(decimals=4)
    tensor([0.3679, 0.3679])
    """
    nu, theta = _arguments.tensors("lru", {"nu_log": "... N", "theta_log": "... N"}, nu_log=nu_log, theta_log=theta_log)
    return Diagonal(torch.complex(-nu.exp(), theta.exp()), log=True, time=None)


@family("MEGA's EMA", "C1", cost="O(n)", range="(0, 1)", source="arXiv:2209.10655; MultiHeadEMA")
def mega_ema(damping_factor: Tensor, decay_factor: Tensor) -> Diagonal:
    """Damped moving average of MEGA: ``h_t = p * beta x_t + (1 - p q) * h_{t-1}`` with ``p = sigma(damping_factor)``, ``q = sigma(decay_factor)``.

    Args:
        damping_factor, decay_factor: ``(D, N, 1)`` as in the layer, or ``(D, N)``.

    Returns:
        `Diagonal` of shape ``(D, N, N)``, constant in t.  Eigenvalues: ``1 - p q``, real, in (0, 1).  Gauge: raw.

    Raises:
        TypeError, ValueError: for the type, dtype, device or shape of a tensor.

    Source: Ma et al., arXiv:2209.10655 (delta and alpha of the layer's parameters).

    >>> import torch, spectral_kernels as sk
    >>> sk.families.mega_ema(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1)).eigvals().real.tolist()
    [[0.75, 0.75, 0.75], [0.75, 0.75, 0.75]]
    """
    shape = "D N 1" if isinstance(damping_factor, Tensor) and damping_factor.dim() == 3 else "D N"
    given = {"damping_factor": damping_factor, "decay_factor": decay_factor}
    p, q = (torch.sigmoid(t.flatten(1)) for t in _arguments.tensors("mega_ema", dict.fromkeys(given, shape), **given))
    return Diagonal(1 - p * q, time=None)
