"""The registry of families: what the README's table says of each, written beside the function that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

STRUCTURES = {  # id: the class of `transitions` that holds it, and the matrix
    "C0": ("Scalar", "alpha I"),
    "C1": ("Diagonal", "real diagonal"),
    "C2": ("Diagonal, Rotation", "complex diagonal, or scaled rotations"),
    "C3": ("RankOne", "alpha I - beta k p^T"),
    "C4": ("DiagonalPlusRankOne", "Diag(d) + b c^T, real spectrum"),
    "C5": ("DiagonalPlusRankOne", "Diag(d) + b c^T, complex spectrum"),
    "C6": ("HouseholderProduct", "alpha P_m ... P_1"),
    "C7": ("Momentum, KroneckerMomentum", "two states, one rank-one coupling"),
    "C8": ("Jacobian, Dense", "dense"),
    "C9": ("ShiftRegister, Companion", "shift register, companion matrix"),
    "C10": ("KroneckerRankOne", "I - eta k k^T (x) G"),
    "C11": ("BilinearLowRank", "bilinear transform of Lambda - P P*"),
    "C12": ("LevelMerge", "alpha (M_l (x) I)"),
}

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Family:
    """A row of the table.

    Args:
        name: of the model family, with its variants: "Mamba (FalconMamba, Jamba, Zamba)".
        function: that gives its transition.
        structure: keys of `STRUCTURES`; several where an argument decides.
        cost: of all eigenvalues of one position and head, where n is the size of the state, as "O(n)".
        range: where the eigenvalues lie: "(0, 1]", "|lambda| < 1".
        gauge: "raw", "normalised" or "rotated"; several where an argument decides.
        source: paper and reference implementation.
    """

    name: str
    function: Callable[..., Any]
    structure: tuple[str, ...]
    cost: str
    range: str
    gauge: tuple[str, ...]
    source: str


_FAMILIES: dict[str, Family] = {}


def family(name: str, structure: str, *, cost: str, range: str, source: str, gauge: str = "raw") -> Callable[[_Function], _Function]:
    """Decorator that enters a function into the registry and returns it as it is; the fields are those of `Family`, several ids or gauges
    separated by commas.

    >>> @family("an example", "C0, C2", cost="O(1)", range="(0, 1]", source="nobody (2026)")
    ... def example(): ...
    >>> families()["example"].structure
    ('C0', 'C2')
    >>> del _FAMILIES["example"]
    """

    def enter(function: _Function) -> _Function:
        key = function.__name__
        entry = Family(name, function, tuple(re.split(r",\s*", structure)), cost, range, tuple(re.split(r",\s*", gauge)), source)
        unknown = [s for s in entry.structure if s not in STRUCTURES] + [g for g in entry.gauge if g not in ("raw", "normalised", "rotated")]
        if unknown:
            raise ValueError(f"family {name!r}: expected structures of {', '.join(STRUCTURES)} and gauges raw, normalised or rotated, got {', '.join(unknown)}")
        if key in _FAMILIES:
            raise ValueError(f"family {name!r}: the function name {key} is taken by {_FAMILIES[key].name!r}")
        _FAMILIES[key] = entry
        return function

    return enter


def families() -> dict[str, Family]:
    """All families by the name of their function, in the order in which they were entered."""
    return dict(_FAMILIES)
