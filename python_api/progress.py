"""What a command shows while it works."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import Any

_SECONDS = 5.0  # between two lines of steps that are counted by their caller


def _tqdm() -> ModuleType | None:
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
        tqdm = _tqdm() if sys.stderr.isatty() else None
        left = "" if total is not None else " {remaining}"
        self.bar: Any = tqdm.tqdm(total=total, leave=False, bar_format=f"{{n_fmt}}/{{total_fmt}} {{bar:24}}{left} {{desc}}") if tqdm else None

    def __call__(self, step: str, done: int | None = None, total: int | None = None) -> None:
        """The step begins; `done` is what is done before it, one more than at the last step if not given."""
        if done is not None:
            new, self.done, self.total = total != self.total or done < self.done - 1, done, total
            if self.bar is None and not new and time.monotonic() - self._printed < _SECONDS:
                return
            if self.bar is not None and new:
                self.bar.reset(total)
        if self.bar is None:
            print(f"[{self.done + 1:{len(str(self.total))}}/{self.total}] {step}", file=sys.stderr, flush=True)
            self._printed = time.monotonic()
        else:
            self.bar.n = self.done
            self.bar.set_description_str(step)
        self.done += 1

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
