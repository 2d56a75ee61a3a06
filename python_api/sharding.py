"""DTensor's sharding rule of the ops: batch dimensions may be sharded, matrices are replicated."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from spectral_kernels import ops


def _batch_shardings(matrices: int, outputs: int, core: int = 2) -> Any:
    """The rule of an op with so many tensors first, whose last ``core`` dimensions are no batch, and so many outputs that lead with the batch."""
    from torch.distributed.tensor import Replicate, Shard

    def rule(A: Any, *args: Any) -> list[Any]:
        # a matrix argument is DTensor's spec; an output that is not wanted has shape (0,) on every rank
        others: list[Any] = [None] * (len(args) + 1 - matrices)
        wanted, flags = [True] * outputs, args[matrices - 1 :]
        if flags and outputs == 4:
            wanted[1:3] = [flags[1], flags[0]]
        elif flags and outputs == 3:
            wanted[1] = flags[0]
        acceptable: list[Any] = [([Replicate()] * outputs, [Replicate()] * matrices + others)]
        for d in range(A.ndim - core):
            acceptable.append(([Shard(d) if w else Replicate() for w in wanted], [Shard(d)] * matrices + others))
        return acceptable

    return rule


@lru_cache(maxsize=1)
def _register() -> None:
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor._op_schema import RuntimeSchemaInfo
    from torch.distributed.tensor.experimental import register_sharding

    register_sharding([ops.eig, ops.eig_batched])(_batch_shardings(1, 4))
    register_sharding(ops.eigh)(_batch_shardings(1, 3))
    register_sharding(ops.inverse_from_left)(_batch_shardings(2, 1))
    register_sharding([ops.secular, ops.secular_complex])(_batch_shardings(2, 3, core=1))
    register_sharding(ops.secular_eig)(_batch_shardings(3, 4, core=1))
    # DTensor caches results by tensors and ints; which vectors are wanted are bools, and change the shapes of the results
    for op in (ops.eig, ops.eig_batched, ops.eigh):
        DTensor._op_dispatcher.sharding_propagator.op_to_schema_info[op] = RuntimeSchemaInfo(static_argnum=1)
    DTensor._op_dispatcher.sharding_propagator.op_to_schema_info[ops.secular_eig] = RuntimeSchemaInfo(static_argnum=3)


def register_where_used() -> None:
    """Importing DTensor takes a second: only for programs that have done so."""
    if "torch.distributed.tensor" in sys.modules:
        _register()
