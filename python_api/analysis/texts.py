"""What a model reads: documents of a file or a dataset, as batches of token sequences of one length."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PIECE = 1 << 16  # characters of a text file that are tokenized at a time
_JSON_LINES = (".jsonl", ".ndjson")

Tokenize = Callable[[str], list[int]]


def text_file(path: Path) -> Iterator[str]:
    """Pieces of a text file that end where a line does."""
    with path.open(encoding="utf-8", errors="replace") as file:
        while lines := file.readlines(_PIECE):
            yield "".join(lines)


def dataset(name: str, field: str) -> Iterator[str]:
    """The documents of a JSON Lines file (``.jsonl``, ``.ndjson``), or of a dataset of the `datasets` library: ``NAME``, ``NAME:SPLIT`` or ``NAME:CONFIG:SPLIT``, split
    "train" by default, read as a stream.

    Raises:
        ImportError: without datasets, for what is no file.
        ValueError: where a document has no such field.
    """
    if Path(name).suffix in _JSON_LINES:
        with Path(name).open(encoding="utf-8") as file:
            yield from (_field(json.loads(line), field, name) for line in file if line.strip())
        return
    try:
        import datasets  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(f"the dataset {name!r} needs the datasets library (pip install datasets); a file of JSON Lines ({', '.join(_JSON_LINES)}) does not") from error
    parts = name.split(":")
    split = parts[-1] if len(parts) > 1 else "train"
    yield from (_field(row, field, name) for row in datasets.load_dataset(parts[0], *parts[1:-1], split=split, streaming=True))


def _field(row: dict[str, Any], field: str, name: str) -> str:
    if not isinstance(row.get(field), str):
        raise ValueError(f"{name}: expected documents with a text in the field {field!r}, got the fields {', '.join(row)}")
    return str(row[field])


def batches(pieces: Iterable[str], tokenize: Tokenize, *, length: int, batch_size: int, max_tokens: int, between: list[int]) -> list[Tensor]:
    """``(batch_size or less, length)`` int64: the tokens of all pieces one after another, cut into sequences; what is left behind the last one is dropped, unless it is all
    there is.

    Args:
        between: tokens that stand between two pieces.

    Raises:
        ValueError: for fewer than two tokens.

    >>> [b.tolist() for b in batches(["abc", "defgh"], lambda s: list(s.encode()), length=3, batch_size=2, max_tokens=99, between=[])]
    [[[97, 98, 99], [100, 101, 102]]]
    """
    tokens: list[int] = []
    for ids in chain.from_iterable((between, tokenize(piece)) if i else (tokenize(piece),) for i, piece in enumerate(pieces)):
        tokens += ids
        if len(tokens) >= max_tokens:
            del tokens[max_tokens:]
            break
    if len(tokens) < 2:
        raise ValueError(f"expected a text of two tokens or more, got {len(tokens)}")
    length = min(length, len(tokens))
    count = len(tokens) // length
    return list(torch.tensor(tokens[: count * length]).view(count, length).split(batch_size))
