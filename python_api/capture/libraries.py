"""The observers of all model libraries; none of these libraries is imported for it."""

from __future__ import annotations


def load() -> None:
    """Enters all observers into the registry."""
    from spectral_kernels.api.capture import attention, delta_rules, fla, state_space, time_invariant, torch_nn, transformers  # noqa: F401
