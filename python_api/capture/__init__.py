"""Spectra of real models: what their layers' kernels are called with becomes transitions, and these eigenvalues, while the model runs.

`capture` is the context manager, `Run` what it yields, `Record` what a run knows of each recurrence.  One module per model library
(`transformers`, `fla`, `mamba_ssm`, `torch_nn`, and `attention` for what all of them share) says which calls it listens to and what of their arguments
makes a transition.
"""

from __future__ import annotations

from spectral_kernels.api.capture.run import Record as Record
from spectral_kernels.api.capture.run import Run as Run
from spectral_kernels.api.capture.session import capture as capture
