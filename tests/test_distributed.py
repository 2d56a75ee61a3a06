"""DTensor on two gloo processes: batch dimensions stay sharded, sharded matrix dimensions are gathered first; gradients too."""

from __future__ import annotations

import torch
import torch.multiprocessing as mp

import spectral_kernels as sk


def worker(rank, store):
    import torch.distributed as dist
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor, init_device_mesh

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    A = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    whole = sk.linalg.eig_ex(A, left=True)
    for given, expected in [(Shard(0), Shard(0)), (Shard(1), Shard(1)), (Shard(2), Replicate()), (Shard(3), Replicate()), (Replicate(), Replicate())]:
        D = distribute_tensor(A, mesh, [given])
        for got, reference in zip(sk.linalg.eig_ex(D, left=True), whole, strict=True):
            assert isinstance(got, DTensor) and got.placements == (expected,), (given, got.placements)
            assert torch.equal(got.full_tensor(), reference)
        w = sk.linalg.eigvals(D)
        assert w.placements == (expected,) and torch.equal(w.full_tensor(), whole.eigenvalues)
        w, V = sk.linalg.eigh(D)
        assert w.placements == (expected,) and V.placements == (expected,)
        torch.testing.assert_close(w.full_tensor(), sk.linalg.eigvalsh(A))

    def gradient(x):
        x = x.detach().requires_grad_()
        sk.linalg.eig(x)[0].abs().sum().backward()
        return x.grad

    D = distribute_tensor(A, mesh, [Shard(0)])
    torch.testing.assert_close(gradient(D).full_tensor(), gradient(A))

    factors = torch.rand(4, 6, dtype=torch.float64), -torch.rand(4, 6, dtype=torch.float64), torch.rand(4, 6, dtype=torch.float64)
    for sign in (-1, None):
        t = sk.transitions.DiagonalPlusRankOne(*factors, sign=sign)
        for given, expected in [(Shard(0), Shard(0)), (Shard(1), Replicate())]:
            sharded = sk.transitions.DiagonalPlusRankOne(*(distribute_tensor(x, mesh, [given]) for x in factors), sign=sign)
            w = sharded.distinct().values
            assert w.placements == (expected,) and torch.equal(w.full_tensor(), t.distinct().values)
    sharded = sk.transitions.DiagonalPlusRankOne(*(distribute_tensor(x, mesh, [Shard(0)]) for x in factors), sign=-1).eig()
    assert torch.equal(sharded.eigenvectors.full_tensor(), sk.transitions.DiagonalPlusRankOne(*factors, sign=-1).eig().eigenvectors)
    dist.destroy_process_group()


def test_two_processes(tmp_path):
    mp.spawn(worker, args=(tmp_path / "store",), nprocs=2)
