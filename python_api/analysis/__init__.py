"""The analysis of a model of transformers or flash-linear-attention on a text, as ``spectral-kernels analyze`` runs it."""

from __future__ import annotations

from spectral_kernels.api.analysis.runner import Settings as Settings
from spectral_kernels.api.analysis.runner import analyze as analyze
