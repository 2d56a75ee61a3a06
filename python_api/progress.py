"""What a command shows while it works."""

from __future__ import annotations

import sys
import time
from typing import Any

_SECONDS = 5.0  # between two lines of steps that are counted by their caller


def _tqdm() -> Any:
    try:
        import tqdm  # type: ignore[import-untyped]
    except ImportError:
        return None
    return tqdm


class Progress:
    """One step after another on stderr: a bar in a terminal that has tqdm, else lines.

    Args:
        total: of the steps; None: the caller says how many are done, and of how many.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total, self.done, self._printed = total, 0, -_SECONDS
        self.bar: Any = None
        self._tqdm: Any = _tqdm() if sys.stderr.isatty() else None
        self._format = "{n_fmt}/{total_fmt} {bar:24} {desc}" if total is not None else "{n_fmt}/{total_fmt} {bar:24} {desc}, {remaining} left"

    def __call__(self, step: str, done: int | None = None, total: int | None = None) -> None:
        """The step begins; `done` is what is done before it, one more than at the last step if not given."""
        begins = self.bar is None
        if done is not None:
            begins, self.done, self.total = total != self.total or done < self.done - 1, done, total
        if self._tqdm is not None:
            self._show(step, begins)
        elif done is None or begins or time.monotonic() - self._printed >= _SECONDS:
            print(f"[{self.done + 1:{len(str(self.total))}}/{self.total}] {step}", file=sys.stderr, flush=True)
            self._printed = time.monotonic()
        self.done += 1

    def _show(self, step: str, begins: bool) -> None:
        if begins:
            self.close()
            self.bar = self._tqdm.tqdm(total=self.total, initial=self.done, leave=False, bar_format=self._format)
        self.bar.n = self.done  # what is done is the steps before this one
        self.bar.set_description_str(step)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
