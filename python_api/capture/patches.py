"""Things put in place of others for a while, and put back."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

_MISSING: Any = object()


class Patches:
    """What was replaced, to be restored last in, first out; also where one of the replacements fails."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def item(self, mapping: MutableMapping[str, Any], key: str, value: Any) -> None:
        """``mapping[key] = value``; restored only where nobody else has put something there since."""
        original = mapping.get(key, _MISSING)
        mapping[key] = value
        self._undo.append(lambda: _put(mapping, key, value, original))

    def attribute(self, owner: Any, name: str, value: Any) -> None:
        """``owner.name = value`` for an attribute that owner itself has (a class, a module of Python)."""
        original = vars(owner)[name]
        setattr(owner, name, value)

        def undo() -> None:
            if vars(owner).get(name) is value:
                setattr(owner, name, original)

        self._undo.append(undo)

    def call(self, undo: Callable[[], Any]) -> None:
        """To be called at the end."""
        self._undo.append(undo)

    def restore(self) -> None:
        """Undoes all, even where one of them raises."""
        failed: BaseException | None = None
        while self._undo:
            try:
                self._undo.pop()()
            except BaseException as error:
                failed = failed or error
        if failed is not None:
            raise failed


def _put(mapping: MutableMapping[str, Any], key: str, value: Any, original: Any) -> None:
    if mapping.get(key, _MISSING) is not value:
        return
    if original is _MISSING:
        del mapping[key]
    else:
        mapping[key] = original
