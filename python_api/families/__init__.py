"""One function per model family: its tensors, as the reference implementation names them, to a transition.

What all of them share:

- Axes: ``[B, T, H, ...]``, with any number of leading axes in place of B.  What does not depend on the position (LTI) has no T.
- Log decays: `g` (`gk`, `w`) is the logarithm of the decay, as the kernels of the families take it.  Where a layer has raw logits, these
  are another keyword of the layer's name for them, with the layer's activation applied here; give one of the two.
- The delta rules take the flags of their kernels instead (`use_gate_in_kernel`, `use_beta_sigmoid_in_kernel`, `allow_neg_eigval`,
  `use_qk_l2norm_in_kernel`, `lower_bound`): what is still to be done to the tensors, so that a recorded call is passed on as it is.
- float16 and bfloat16 are computed in float32; tensors of several dtypes in the widest of them.
- `valid`: False at the first position of families whose eigenvalue is a ratio over two positions.  ``dataclasses.replace(t, valid=mask,
  multiplicity=V)`` puts in what the tensors do not say: padding, and the width of the state's other axis.
- Errors: TypeError for the type, dtype or device of an argument, and where of two arguments not exactly one is given; ValueError for shapes and values.
  The data never raises: NaN in gives NaN out, as far as the recurrence carries it.
"""

from __future__ import annotations

from spectral_kernels.api.families.convolution import autoregression as autoregression
from spectral_kernels.api.families.convolution import iir as iir
from spectral_kernels.api.families.convolution import long_conv as long_conv
from spectral_kernels.api.families.convolution import short_conv as short_conv
from spectral_kernels.api.families.convolution import sliding_buffer as sliding_buffer
from spectral_kernels.api.families.decay import gla as gla
from spectral_kernels.api.families.decay import hgrn as hgrn
from spectral_kernels.api.families.decay import hgrn2 as hgrn2
from spectral_kernels.api.families.decay import lightnet as lightnet
from spectral_kernels.api.families.decay import lightning_attention as lightning_attention
from spectral_kernels.api.families.decay import minimax_lightning_attention as minimax_lightning_attention
from spectral_kernels.api.families.decay import retnet as retnet
from spectral_kernels.api.families.decay import rodimus as rodimus
from spectral_kernels.api.families.decay import simple_gla as simple_gla
from spectral_kernels.api.families.delta import comba as comba
from spectral_kernels.api.families.delta import deltanet as deltanet
from spectral_kernels.api.families.delta import deltaproduct as deltaproduct
from spectral_kernels.api.families.delta import gated_deltanet as gated_deltanet
from spectral_kernels.api.families.delta import gated_deltaproduct as gated_deltaproduct
from spectral_kernels.api.families.delta import path_transition as path_transition
from spectral_kernels.api.families.delta_diagonal import dplr_delta_rule as dplr_delta_rule
from spectral_kernels.api.families.delta_diagonal import gated_deltanet2 as gated_deltanet2
from spectral_kernels.api.families.delta_diagonal import gated_oja_rule as gated_oja_rule
from spectral_kernels.api.families.delta_diagonal import iplr_delta_rule as iplr_delta_rule
from spectral_kernels.api.families.delta_diagonal import kda as kda
from spectral_kernels.api.families.delta_diagonal import rwkv7 as rwkv7
from spectral_kernels.api.families.gated import min_gru as min_gru
from spectral_kernels.api.families.gated import min_lstm as min_lstm
from spectral_kernels.api.families.gated import qlstm as qlstm
from spectral_kernels.api.families.gated import rg_lru as rg_lru
from spectral_kernels.api.families.log_linear import log_linear_gated_deltanet as log_linear_gated_deltanet
from spectral_kernels.api.families.log_linear import log_linear_mamba2 as log_linear_mamba2
from spectral_kernels.api.families.memory import momentum_deltanet as momentum_deltanet
from spectral_kernels.api.families.memory import titans_linear as titans_linear
from spectral_kernels.api.families.memory import ttt_linear as ttt_linear
from spectral_kernels.api.families.memory import ttt_linear_mini_batch as ttt_linear_mini_batch
from spectral_kernels.api.families.mesa import mesa_net as mesa_net
from spectral_kernels.api.families.mesa import mesa_net_fast_weight as mesa_net_fast_weight
from spectral_kernels.api.families.preconditioned import precond_gated_deltanet as precond_gated_deltanet
from spectral_kernels.api.families.preconditioned import precond_kda as precond_kda
from spectral_kernels.api.families.recurrent import gru as gru
from spectral_kernels.api.families.recurrent import lstm as lstm
from spectral_kernels.api.families.recurrent import rnn as rnn
from spectral_kernels.api.families.rwkv import rwkv4 as rwkv4
from spectral_kernels.api.families.rwkv import rwkv5 as rwkv5
from spectral_kernels.api.families.rwkv import rwkv6 as rwkv6
from spectral_kernels.api.families.slots import abc as abc
from spectral_kernels.api.families.slots import gsa as gsa
from spectral_kernels.api.families.slots import raven as raven
from spectral_kernels.api.families.state_space import longhorn as longhorn
from spectral_kernels.api.families.state_space import mamba as mamba
from spectral_kernels.api.families.state_space import mamba2 as mamba2
from spectral_kernels.api.families.state_space import mamba2_pseudo_lti as mamba2_pseudo_lti
from spectral_kernels.api.families.state_space import mamba3 as mamba3
from spectral_kernels.api.families.time_invariant import dss as dss
from spectral_kernels.api.families.time_invariant import lru as lru
from spectral_kernels.api.families.time_invariant import mega_ema as mega_ema
from spectral_kernels.api.families.time_invariant import s4 as s4
from spectral_kernels.api.families.time_invariant import s4d as s4d
from spectral_kernels.api.families.time_invariant import s5 as s5
from spectral_kernels.api.families.xlstm import mlstm as mlstm
from spectral_kernels.api.families.xlstm import slstm as slstm
from spectral_kernels.api.families.xlstm import slstm_jacobian as slstm_jacobian
