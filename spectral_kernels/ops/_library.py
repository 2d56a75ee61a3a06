"""The library that all ops are defined in, and what their implementations share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad

from spectral_kernels import autograd, dispatch, triton
from spectral_kernels._load import load_cpu, load_cuda

CPU_ISA = load_cpu()
CUDA_BUILT = load_cuda()
library = torch.library.Library("spectral_kernels", "DEF")


def define(schema: str) -> Any:
    """Defines the op of ``schema`` and returns it."""
    name = schema[: schema.index("(")]
    library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    return getattr(torch.ops.spectral_kernels, name).default


def below(op: Any, keyset: Any) -> Callable[..., Any]:
    """``op`` below the autograd keys, where a transposed result is no view whose tangent would have to share its layout.

    A Function's forward runs without grad mode; the outer levels of torch.func, which stand below this one, want it back.
    """

    def solve(*args: Any) -> Any:
        with torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True), torch._C._AutoDispatchBelowADInplaceOrView():
            return op.redispatch(keyset & torch._C._after_ADInplaceOrView_keyset, *args)

    return solve


def differentiated(*tensors: Tensor) -> bool:
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return True
    return any(forward_ad.unpack_dual(t).tangent is not None for t in tensors) if forward_ad._current_level >= 0 else False


def serve(op: Any, definition: Callable[..., Any]) -> None:
    """``definition`` serves every device without a kernel for ``op``; CUDA tensors take the kernel of the extension where it has one, else the Triton
    kernel where there is one, Triton is there, and it serves their size.
    """
    name = op.name().partition("::")[2]
    library.impl(name, definition, "CompositeExplicitAutograd")

    def on_cuda(*args: Any) -> Any:
        result = triton.launcher(name)(*args) if triton.available() else NotImplemented
        return definition(*args) if result is NotImplemented else result

    if name in triton.LAUNCHERS and not dispatch.has_kernel(name, "cuda"):
        library.impl(name, on_cuda, "CUDA")


def implement(op: Any, definition: Callable[..., Any], pull_back: autograd.PullBack | None = None, unordered: bool = False) -> None:
    """`serve`, and the derivatives of ``definition`` are those of the op's first output; ``unordered``: eigenvalues, in an order that rounding decides."""
    name = op.name().partition("::")[2]
    serve(op, definition)

    def differentiable(keyset: Any, *args: Any) -> Any:
        solve = below(op, keyset)
        tensors = [i for i, value in enumerate(args) if isinstance(value, Tensor)]
        if not differentiated(*(args[i] for i in tensors)):
            return solve(*args)

        def on_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Tensor) -> Any:
                every = list(args)
                for i, value in zip(tensors, given, strict=True):
                    every[i] = value
                return function(*every)

            return call

        with enable_single_level_autograd_function():
            return autograd.ByDefinition.apply(on_tensors(solve), on_tensors(definition), pull_back, unordered, *(args[i] for i in tensors))

    library.impl(name, differentiable, "Autograd", with_keyset=True)


def front(x: Tensor, dim: int | None, size: int) -> Tensor:
    """x with the axis of a vmap first, of length ``size``."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def stacked_batch(in_dims: tuple[int | None, ...], core: tuple[int, ...], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of an op whose batch axes broadcast, with the axis of a vmap first among them.

    ``core``: how many axes of each argument stand behind its batch; the arguments that have no tensor there come back as they are.
    """
    depth = max(value.dim() - (dim is not None) - c for value, dim, c in zip(args, in_dims, core, strict=False) if isinstance(value, Tensor))
    aligned = list(args)
    for i, (dim, c) in enumerate(zip(in_dims, core, strict=False)):
        if dim is not None:
            value = args[i].movedim(dim, 0)
            aligned[i] = value.reshape(value.shape[0], *(1,) * (depth - (value.dim() - 1 - c)), *value.shape[1:])
    return tuple(aligned)
