"""One function per model family: its tensors, as the reference implementation names them, to a transition.

What all of them share:

- Axes: ``[B, T, H, ...]``, with any number of leading axes in place of B.  What does not depend on the position (LTI) has no T.
- Log decays: `g` (`gk`, `w`) is the logarithm of the decay, as the kernels of the families take it.  Where a layer has raw logits, these
  are another keyword of the layer's name for them, with the layer's activation applied here; give one of the two.
- float16 and bfloat16 are computed in float32; tensors of several dtypes in the widest of them.
- `valid`: False at the first position of families whose eigenvalue is a ratio over two positions.  ``dataclasses.replace(t, valid=mask,
  multiplicity=V)`` puts in what the tensors do not say: padding, and the width of the state's other axis.
- Errors: TypeError for the type, dtype or device of an argument, and where of two arguments not exactly one is given; ValueError for shapes and values.
  The data never raises: NaN in gives NaN out, at that position alone.
"""

from __future__ import annotations

from spectral_kernels.api.families.attention import forgetting_attention as forgetting_attention
from spectral_kernels.api.families.attention import path_attention as path_attention
from spectral_kernels.api.families.attention import softmax_attention as softmax_attention
from spectral_kernels.api.families.linear import based as based
from spectral_kernels.api.families.linear import linear_attention as linear_attention
from spectral_kernels.api.families.linear import norm_attention as norm_attention
from spectral_kernels.api.families.linear import rebased as rebased
from spectral_kernels.api.families.recurrent import gru as gru
from spectral_kernels.api.families.recurrent import lstm as lstm
from spectral_kernels.api.families.recurrent import rnn as rnn
