"""One analysis: a model reads a text while its recurrences are captured, in one process or several, and from where an interrupted one was."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from spectral_kernels.api.analysis import models, texts
from spectral_kernels.api.capture import Run, capture
from spectral_kernels.api.report import Study
from spectral_kernels.api.report.page import write
from spectral_kernels.api.report.summary import large
from spectral_kernels.api.report.table import write_table

_PARTIAL = "partial"  # the folder of what an interrupted analysis has
_BUCKETS = 8
_SHORTEST_BUCKET = 8


class Step(Protocol):
    """Is told what begins, how many batches are done and how many there are."""

    def __call__(self, step: str, done: int | None = None, total: int | None = None) -> None: ...


def _silent(step: str, done: int | None = None, total: int | None = None) -> None: ...


@dataclass(frozen=True)
class Settings:
    """What decides the result of an analysis.

    Args:
        model: a folder, or a name on the hub.
        text: a file; or
        dataset: a JSON Lines file or a dataset, see `texts.dataset`, whose documents have their text in `field`.
        length: tokens of a sequence.
        batch_size: sequences at a time.
        max_tokens: of the text.
        dtype: of the model: "auto" as it was saved.
        device: "auto" for a GPU where there is one.
        device_map: for `from_pretrained`, such as "auto", which needs accelerate.
        tokenizer: "" for the model's own, a name, or "bytes".
        buckets: positions at which position buckets begin; None: eight or less that double in length.
        init_baseline: whether the model is run with new weights too.
        seed: of these weights.
    """

    model: str
    text: str | None = None
    dataset: str | None = None
    field: str = "text"
    length: int = 1024
    batch_size: int = 1
    max_tokens: int = 1 << 15
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    tokenizer: str = ""
    buckets: tuple[int, ...] | None = None
    init_baseline: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.text is None) == (self.dataset is None):
            raise ValueError(f"analyze: expected a text or a dataset, got text = {self.text!r} and dataset = {self.dataset!r}")
        for name, least in (("length", 2), ("batch_size", 1), ("max_tokens", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"analyze: expected {name} >= {least}, got {getattr(self, name)}")

    @property
    def pieces(self) -> Iterator[str]:
        return texts.text_file(Path(self.text)) if self.text is not None else texts.dataset(str(self.dataset), self.field)

    @property
    def reads(self) -> str:
        return Path(self.text or str(self.dataset)).name

    @property
    def starts(self) -> tuple[int, ...]:
        return doubling(self.length) if self.buckets is None else self.buckets


def doubling(length: int) -> tuple[int, ...]:
    """
    >>> doubling(1024), doubling(40)
    ((0, 8, 16, 32, 64, 128, 256, 512), (0, 10, 20))
    """
    starts = (length >> k for k in range(_BUCKETS - 1, 0, -1))
    return (0, *(start for start in starts if start >= _SHORTEST_BUCKET))


@dataclass(frozen=True)
class _Processes:
    """Which of how many this one is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def _processes() -> Iterator[_Processes]:
    """Under torchrun the process group, NCCL where every process has a GPU."""
    import torch.distributed as dist

    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield _Processes()
        return
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield _Processes(dist.get_rank(), dist.get_world_size())
    finally:
        if started:
            dist.destroy_process_group()


def analyze(settings: Settings, out: str | Path, *, file_format: str = "npz", save_every: float = 60.0, step: Step = _silent) -> Study:
    """Runs a model over a text, and writes ``spectrum.npz`` (a `Run`), ``spectrum.csv`` (and ``.parquet`` where pandas and pyarrow are installed) and ``report.html`` into a
    folder; with a baseline ``initial.npz`` too.

    Every `save_every` seconds what there is so far is saved, and the same call goes on from there; of a finished analysis it writes the report anew.  Under torchrun
    the batches are shared among the processes.

    Args:
        out: the folder, made where it is not there.
        file_format: "npz" or "safetensors".
        step: is told of every step before it begins.

    Returns:
        The study that the report shows.

    Raises:
        ValueError: for a folder that holds an analysis with other settings, a model none of whose recurrences is known, or fewer batches than processes.
        ImportError, OSError: where the model, the text or a library is not there.
    """
    out = Path(out)
    with _processes() as processes:
        _prepare(out, settings, processes)
        config = models.configuration(settings.model)
        tokenize, between = models.tokenizer(settings.tokenizer, settings.model, config)
        batches = texts.batches(
            settings.pieces, tokenize, length=settings.length, batch_size=settings.batch_size, max_tokens=settings.max_tokens, between=between
        )
        if len(batches) < processes.count:
            raise ValueError(f"analyze: expected at least as many batches as processes, got {len(batches)} of {settings.batch_size} sequences and {processes.count}")
        device = _device(settings.device)
        jobs: dict[str, Callable[[], nn.Module]] = {"spectrum": lambda: models.trained(settings.model, config, settings.dtype, device, settings.device_map)}
        if settings.init_baseline:
            jobs["initial"] = lambda: models.initial(config, settings.dtype, device, settings.seed)
        runs = {
            name: _run(name, load, batches[processes.rank :: processes.count], out, settings, processes, f".{file_format}", save_every, step) for name, load in jobs.items()
        }
        length, tokens = batches[0].shape[1], sum(b.numel() for b in batches)
        subtitle = f"{large(tokens)} tokens of {settings.reads}, in sequences of {length}"
        study = Study.of(runs["spectrum"], initial=runs.get("initial"), length=length, subtitle=subtitle)
        if processes.first:
            _write(out, study, runs, f".{file_format}")
    return study


def _prepare(out: Path, settings: Settings, processes: _Processes) -> None:
    """Makes the folder, or checks that it holds the same analysis."""
    path, wanted = out / "settings.json", json.loads(json.dumps(asdict(settings)))
    if path.exists():
        found = json.loads(path.read_text())
        if other := [name for name in wanted if found.get(name) != wanted[name]]:
            differ = ", ".join(f"{name} = {found.get(name)!r} there and {wanted[name]!r} here" for name in other)
            raise ValueError(f"analyze: expected a folder that is empty or holds the same analysis, got {out} with {differ}")
    (out / _PARTIAL).mkdir(parents=True, exist_ok=True)
    if processes.first:
        path.write_text(json.dumps(wanted, indent=1) + "\n")


def _device(name: str) -> torch.device:
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _run(
    name: str,
    load: Callable[[], nn.Module],
    batches: Sequence[Tensor],
    out: Path,
    settings: Settings,
    processes: _Processes,
    suffix: str,
    save_every: float,
    step: Step,
) -> Run:
    """The run of one model over this process's batches, then over those of all."""
    if (finished := out / f"{name}{suffix}").exists():
        return Run.load(finished)
    path = out / _PARTIAL / f"{name}-{processes.rank}-of-{processes.count}{suffix}"
    title, what = models.title(settings.model), {"spectrum": "reading", "initial": "reading, with new weights"}[name]
    run = Run.load(path) if path.exists() else Run(title, buckets=settings.starts)
    if run.batches < len(batches):
        step(f"{title}: {what}", run.batches, len(batches))
        model = load()
        device = models.input_device(model)
        saved = time.monotonic()
        with torch.inference_mode(), capture(model, buckets=settings.starts, into=run):
            for done in range(run.batches, len(batches)):
                step(f"{title}: {what}", done, len(batches))
                model(input_ids=batches[done].to(device))
                if run.batches == done:  # a batch counts where a recurrence ran
                    break
                if time.monotonic() - saved >= save_every and run.batches < len(batches):
                    _save(run, path)
                    saved = time.monotonic()
        del model
    if run.batches < len(batches):
        raise ValueError(f"analyze: {title} has no recurrence that is known ({'; '.join(f'{n}: {why}' for n, why in run.skipped.items()) or 'no kernel was called'})")
    _save(run, path)
    return run.all_reduce() if processes.count > 1 else run


def _save(run: Run, path: Path) -> None:
    """Whole or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    run.save(unfinished)
    unfinished.replace(path)


def _write(out: Path, study: Study, runs: dict[str, Run], suffix: str) -> None:
    for name, run in runs.items():
        _save(run, out / f"{name}{suffix}")
    write_table(out / "spectrum.csv", [study])
    with suppress(ImportError):  # the table is there as .csv
        write_table(out / "spectrum.parquet", [study])
    write(out / "report.html", study)
    shutil.rmtree(out / _PARTIAL, ignore_errors=True)
