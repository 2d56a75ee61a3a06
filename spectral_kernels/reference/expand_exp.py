r"""The eigenvalues of a diagonal state space model in discrete time.

Zero-order hold over a step :math:`\Delta` makes of :math:`\dot h = a h` the recurrence :math:`h_t = e^{\Delta a} h_{t-1}`; Mamba has a step per channel
and N rates per channel (Gu and Dao, arXiv:2312.00752, eq. 4).
"""

from __future__ import annotations

from torch import Tensor


def expand_exp(delta: Tensor, rate: Tensor) -> Tensor:
    """The contract of the op ``spectral_kernels::expand_exp``: ``exp(delta_d rate_dn)``.

    Args:
        delta: ``(..., D)``, float32 or float64.
        rate: ``(D, N)``.

    Returns:
        ``(..., D N)`` complex, d first.

    >>> import torch
    >>> expand_exp(torch.tensor([0.0, 1.0]), torch.tensor([[-1.0, -2.0], [0.0, -float("inf")]])).real.tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    return (delta[..., None] * rate).exp().flatten(-2).to(delta.dtype.to_complex())
