"""The library that all ops are defined in."""

from __future__ import annotations

from typing import Any

import torch

library = torch.library.Library("spectral_kernels", "DEF")


def define(schema: str) -> Any:
    """Defines the op of ``schema`` and returns it."""
    name = schema[: schema.index("(")]
    library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    return getattr(torch.ops.spectral_kernels, name).default
