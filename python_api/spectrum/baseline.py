"""What a spectrum is to be compared with before it says anything."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from spectral_kernels.api.spectrum.spectrum import Spectrum

_AT_ONCE = 1 << 20


def uniform_attention(length: int, *, buckets: Sequence[int] = ()) -> Spectrum:
    """The spectrum of causal attention that attends to all keys alike, over one sequence: ``lambda_i = i / (i + 1)`` at position i, 1 <= i < length.

    The null of attention: without any preference 98 % of the eigenvalues of 512 positions lie in [0.9, 1).  Position 0 has no
    transition.  One group, or one per position bucket.

    Args:
        length: tokens in the sequence.
        buckets: positions at which buckets begin, as of `Spectrum`.

    >>> import spectral_kernels as sk
    >>> [round(x, 3) for x in sk.spectrum.uniform_attention(512).bins().fractions.radius.tolist()]
    [0.0, 0.0, 0.016, 0.984, 0.0, 0.0, 0.0]
    """
    s = Spectrum(buckets=buckets)
    for first in range(1, length, _AT_ONCE):
        i = torch.arange(first, min(first + _AT_ONCE, length), dtype=torch.float64)
        s.update((i / (i + 1))[:, None], start=first)
    return s
