"""What every family must show, given one step of its recurrence written out: used by the tests of the families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from spectral_kernels.api.testing.matching import matched_distance


@dataclass(frozen=True)
class Case:
    """A family with tensors to call it with.

    step(x, index, state): the recurrence at one index of the batch of the transition, on tensors x; written without the family's code.
    batched: the tensors with axes [B, T, ...] in front; the others are parameters.  local: whether position t depends on tensors at t alone.
    low, high: limits of the modulus of the eigenvalues, or, where real, of the eigenvalues.
    """

    name: str
    family: Callable[..., Any]
    x: dict[str, torch.Tensor]
    step: Callable[[dict[str, torch.Tensor], tuple[int, ...], torch.Tensor], torch.Tensor]
    batched: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    low: float = 0.0
    high: float = 1.0
    real: bool = True
    local: bool = True

    def make(self, x: dict[str, torch.Tensor] | None = None) -> Any:
        return self.family(**(self.x if x is None else x), **self.options)

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        return self.make({name: change(t) if name in self.batched else t for name, t in self.x.items()})


def randn(*shape: int, seed: int = 0, scale: float = 1.0, shift: float = 0.0) -> torch.Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 7919 * len(shape) + sum(shape))) + shift


def jacobian(function: Callable[[torch.Tensor], torch.Tensor], state: torch.Tensor) -> torch.Tensor:
    """By autograd; of a complex step, which is affine, column by column."""
    if not state.is_complex():
        return torch.autograd.functional.jacobian(function, state)
    return torch.stack([function(e) - function(torch.zeros_like(e)) for e in torch.eye(state.numel(), dtype=state.dtype)], -1)


def dense_is_the_jacobian_of_a_step(case: Case) -> None:
    t = case.make()
    A = t.dense()
    assert A.shape == t.shape
    for index in list(np.ndindex(*t.batch_shape))[-8:]:
        if t.size and (t.valid is None or bool(t.valid[index])):
            expected = jacobian(lambda h, index=index: case.step(case.x, index, h), torch.randn(t.size, dtype=A.dtype))
            assert float((A[index] - expected).abs().max()) <= 1e-12 * max(1.0, float(expected.abs().max()))


def eigvals_are_those_of_dense(case: Case) -> None:
    t = case.make()
    A, w = t.dense().reshape(-1, t.size, t.size), t.eigvals()
    assert w.dtype == torch.complex128 and w.shape == t.shape[:-1]
    for a, w_a in zip(A[-12:], w.reshape(A.shape[:-1])[-12:], strict=True):
        assert matched_distance(w_a, torch.from_numpy(np.linalg.eigvals(a.numpy()))) <= 1e-10 * max(1.0, float(torch.linalg.matrix_norm(a, 2)))


def eigenvalues_lie_in_the_range(case: Case) -> None:
    w = case.make().eigvals()
    size = w.real if case.real else w.abs()
    assert bool((size >= case.low - 1e-12).all() & (size <= case.high + 1e-12).all()), (float(size.min()), float(size.max()))
    assert not case.real or bool((w.imag == 0).all())


def eigvals_have_gradients(case: Case) -> None:
    names = [name for name, t in case.x.items() if t.is_floating_point() or t.is_complex()]
    small = {n: (t[:1, :2] if n in case.batched else t).detach().clone() for n, t in case.x.items()}

    def spectrum(*values: torch.Tensor) -> torch.Tensor:
        t = case.make(small | dict(zip(names, values, strict=True)))
        w = t.eigvals()
        w = w if t.valid is None else w[t.valid]
        return torch.stack([w.real.sum(), (w.real**2 - w.imag**2).sum(), (w.abs() ** 2).sum()])  # symmetric functions: no order of roots

    assert torch.autograd.gradcheck(spectrum, [small[n].requires_grad_() for n in names])


def empty_and_single(case: Case) -> None:
    full = case.make()
    assert case.changed(lambda t: t[:0]).eigvals().shape == (0, *full.shape[1:-1])
    assert case.changed(lambda t: t[:, :0]).eigvals().shape == (full.shape[0], 0, *full.shape[2:-1])
    one = case.changed(lambda t: t[:, :1])
    assert torch.allclose(one.eigvals(), full.eigvals()[:, :1], rtol=0, atol=1e-13) and one.time == full.time
    assert torch.allclose(case.changed(lambda t: t[0]).dense(), full.dense()[0], rtol=0, atol=1e-13)  # no leading axes
    assert torch.allclose(case.changed(lambda t: t[None]).dense(), full.dense()[None], rtol=0, atol=1e-13)  # two of them


def nan_harms_no_other_position(case: Case) -> None:
    clean, bad = case.make().eigvals(), {n: t.clone() for n, t in case.x.items()}
    name = next(n for n in case.batched if bad[n].is_floating_point())
    bad[name][0, 1].view(-1)[0] = torch.nan
    w, hit = case.make(bad).eigvals(), torch.zeros(clean.shape[:2], dtype=torch.bool)
    hit[0, 1:] = True
    if case.local:
        hit[0, 2:] = False
    assert bool(w[0, 1].isnan().any()) and torch.equal(w[~hit], clean[~hit])


def half_is_computed_in_float32(case: Case) -> None:
    def at(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        return {n: t.to(dtype) if t.is_floating_point() else (t.to(torch.complex64) if t.is_complex() else t) for n, t in case.x.items()}

    narrow = at(torch.bfloat16)
    wide = case.make({n: t.float() if t.is_floating_point() else t for n, t in narrow.items()})
    t = case.make(narrow)
    assert t.dtype.to_real() == torch.float32 and torch.equal(t.dense(), wide.dense())


ALWAYS = [dense_is_the_jacobian_of_a_step, eigvals_are_those_of_dense, eigenvalues_lie_in_the_range]
OF_TENSORS = [eigvals_have_gradients, half_is_computed_in_float32]
OF_POSITIONS = [empty_and_single, nan_harms_no_other_position]


def every(cases: list[Case]) -> pytest.MarkDecorator:
    """Parametrises a test by `case` and `check`: all that make sense for the case."""
    pairs = [(case, check) for case in cases for check in ALWAYS + (OF_TENSORS if case.x else []) + (OF_POSITIONS if case.batched else [])]
    return pytest.mark.parametrize("case, check", [pytest.param(*pair, id=f"{pair[0].name}-{pair[1].__name__}") for pair in pairs])
