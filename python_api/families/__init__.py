"""One function per model family: its tensors, as the reference implementation names them, to a transition."""

from __future__ import annotations

from spectral_kernels.api.families.recurrent import gru as gru
from spectral_kernels.api.families.recurrent import lstm as lstm
from spectral_kernels.api.families.recurrent import rnn as rnn
