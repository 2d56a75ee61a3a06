"""Models of transformers and flash-linear-attention, from the hub or a folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spectral_kernels.api.analysis.texts import Tokenize

BYTES = "bytes"  # the tokenizer that needs no file


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError("spectral-kernels analyze needs transformers: pip install transformers") from error
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def configuration(name: str) -> Any:
    """The configuration of a model; those of flash-linear-attention are known where it is installed.

    Of kinds that both know (Mamba, Mamba-2) it is that of transformers, whichever was imported last: the layers of the other need a GPU.

    Raises:
        OSError, ValueError: of transformers, where there is no such model, or of no known kind.
    """
    transformers = _transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(name)
    except ValueError:
        try:
            importlib.import_module("fla.models")
        except ImportError:
            pass
        else:
            return transformers.AutoConfig.from_pretrained(name)
        raise
    own = getattr(transformers, type(config).__name__, None)
    return config if own is None or isinstance(config, own) else own.from_pretrained(name)


def trained(name: str, config: Any, dtype: str, device: torch.device, device_map: str | None) -> nn.Module:
    """The model without its head, in eval mode.

    On a CPU, with ``dtype="auto"``, its weights stay where they are, memory-mapped: a model larger than memory is read from its files as its layers run.

    Raises:
        ImportError: for a device map, without accelerate.
    """
    transformers = _transformers()
    options: dict[str, Any] = {"config": config, "dtype": _dtype(dtype)}
    if device_map is not None:
        try:
            importlib.import_module("accelerate")
        except ImportError as error:
            raise ImportError("a device map needs accelerate: pip install accelerate") from error
        options["device_map"] = device_map
    model = transformers.AutoModel.from_pretrained(name, **options)
    return _ready(model if device_map is not None else model.to(device))


def initial(config: Any, dtype: str, device: torch.device, seed: int) -> nn.Module:
    """The same model with the weights that training begins with."""
    transformers = _transformers()
    torch.manual_seed(seed)
    known = _dtype(dtype)
    model = transformers.AutoModel.from_config(config, **({} if known == "auto" else {"dtype": known}))
    return _ready(model.to(device))


def _dtype(name: str) -> Any:
    found = name if name == "auto" else getattr(torch, name, None)
    if found != "auto" and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ValueError(f"expected a dtype such as auto, float32 or bfloat16, got {name!r}")
    return found


def _ready(model: nn.Module) -> nn.Module:
    config: Any = getattr(model, "config", None)
    if hasattr(config, "use_cache"):
        config.use_cache = False  # states of past tokens that nothing asks for
    if input_device(model).type == "cpu":
        _use_torch_kernels(model)
    return model.eval()


def input_device(model: nn.Module) -> torch.device:
    """Where a model takes its input: where its first weights are that a device map has not left on disk."""
    return next((p.device for p in model.parameters() if p.device.type != "meta"), torch.device("cpu"))


def _use_torch_kernels(model: nn.Module) -> None:
    """On a CPU, the torch functions of transformers' layers in place of kernels of flash-linear-attention, which need a GPU: it binds these as soon as the
    library is installed."""
    for module in {sys.modules[cls.__module__] for m in model.modules() for cls in type(m).__mro__ if cls.__module__.startswith("transformers.models.")}:
        for name, function in list(vars(module).items()):
            if (plain := _replaced(function)) is not None:
                setattr(module, name, plain)


def _replaced(function: Any) -> Callable[..., Any] | None:
    """The torch function that a kernel's wrapper replaces; None for any other object."""
    plain = getattr(function, "__wrapped__", None)
    bound = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if callable(cell.cell_contents)]
    foreign = any(getattr(f, "__module__", "").partition(".")[0] == "fla" for f in bound)
    return plain if callable(plain) and foreign else None


def tokenizer(name: str, model: str, config: Any) -> tuple[Tokenize, list[int]]:
    """What makes tokens of a text, and the tokens that stand between two documents.

    Args:
        name: of the tokenizer; "" for that of the model; "bytes" for the bytes of the text themselves.

    Raises:
        ValueError: where a model cannot read bytes, or has no tokenizer.
    """
    if name == BYTES:
        size = getattr(config.get_text_config(), "vocab_size", 0)
        if size < 256:
            raise ValueError(f"expected a model of 256 tokens or more for bytes, got vocab_size = {size}")
        return lambda text: list(text.encode()), []
    try:
        found = _transformers().AutoTokenizer.from_pretrained(name or model)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name or model} has no tokenizer: name one, or {BYTES!r} ({error})") from error
    end = found.eos_token_id
    return lambda text: list(found(text, add_special_tokens=False)["input_ids"]), [] if end is None else [end]


def title(name: str) -> str:
    """
    >>> title("state-spaces/mamba-130m-hf"), title("runs/last/")
    ('mamba-130m-hf', 'last')
    """
    return Path(name).name
