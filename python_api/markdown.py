"""Markdown that is generated: tables, and the blocks of a page that hold them."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def rows(header: Sequence[str], lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """A table; the columns in `right` are aligned right.

    >>> print(rows(["name", "n"], [["eig", "8"]], right={1}))
    | name | n |
    | --- | ---: |
    | eig | 8 |
    """
    rule = ["---:" if i in right else "---" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *lines])


def replace_block(page: str, block: str, marks: tuple[str, str]) -> str:
    """``page`` with ``block`` between its two marks, each on a line of its own.

    >>> replace_block("a <!-- b --> old <!-- c --> d", "new", ("<!-- b -->", "<!-- c -->"))
    'a <!-- b -->\\nnew\\n<!-- c --> d'
    """
    start, end = page.index(marks[0]) + len(marks[0]), page.index(marks[1])
    return f"{page[:start]}\n{block}\n{page[end:]}"
