"""A program: layers of flash-linear-attention under capture, their Triton kernels in the interpreter; prints what was found as JSON.

Run with TRITON_INTERPRET=1: the kernels look for a GPU's driver at their first launch, and one that does nothing does.
"""

from __future__ import annotations

import json
import sys
import warnings

import torch

warnings.simplefilter("ignore")


class Driver:
    """What the interpreter asks of a GPU's driver."""

    def get_current_device(self):
        return 0

    def set_current_device(self, device):
        pass

    def get_current_stream(self, device=None):
        return 0

    def get_device_interface(self):
        return torch.cpu

    def get_active_torch_device(self):
        return torch.device("cpu")

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_benchmarker(self):
        return lambda kernel_call, quantiles: [0.0, 0.0, 0.0]  # no kernel is run to be timed: all configurations are alike here

    def __getattr__(self, name):
        return lambda *args, **kwargs: None


SMALL = {"hidden_size": 64, "num_heads": 2, "layer_idx": 0}
LAYERS = {
    "GatedLinearAttention": SMALL | {"mode": "fused_recurrent"},
    "GatedDeltaNet": SMALL | {"head_dim": 16, "expand_v": 1, "num_v_heads": 4, "allow_neg_eigval": True},
    "KimiDeltaAttention": SMALL | {"head_dim": 32},
    "RWKV7Attention": {"hidden_size": 64, "head_dim": 32, "layer_idx": 0, "num_hidden_layers": 2, "mode": "fused_recurrent"},
    "DeltaNet": SMALL,
    "HGRN2Attention": {"hidden_size": 64, "expand_ratio": 32, "layer_idx": 0},
    "MultiScaleRetention": SMALL | {"mode": "fused_recurrent"},
    "GatedDeltaProduct": SMALL | {"head_dim": 32, "num_householder": 2, "allow_neg_eigval": True},
    "Comba": SMALL | {"head_dim": 32},
    "PaTHAttention": SMALL | {"use_forget_gate": True},
    "HGRNAttention": {"hidden_size": 64, "layer_idx": 0, "mode": "fused_recurrent"},
    "RWKV6Attention": SMALL | {"mode": "fused_recurrent", "proj_low_rank_dim": 8, "gate_low_rank_dim": 16},
    "GatedSlotAttention": SMALL | {"num_slots": 16, "mode": "fused_recurrent"},
    "GatedDeltaNet2": SMALL | {"head_dim": 32},
    "PrecondGatedDeltaNet": SMALL | {"head_dim": 32},
    "PrecondKDA": SMALL | {"head_dim": 32},
    "MomentumDeltaNet": SMALL | {"head_dim": 32},
    "Raven": SMALL | {"num_slots": 16, "topk": 4},
    "LinearAttention": SMALL | {"mode": "fused_recurrent"},
    "ForgettingAttention": SMALL,
    "ReBasedLinearAttention": {"hidden_size": 64, "num_heads": 2, "num_key_value_heads": 2},
    "ABCAttention": SMALL | {"num_slots": 16},
    "MesaNet": SMALL | {"head_dim": 32},
}


def stand_in(layer):
    """Kernels that the interpreter cannot run, as the library's own naive functions."""
    consumer = vars(sys.modules[type(layer).__module__])
    if type(layer).__name__ == "ABCAttention":
        from fla.ops.gsa.naive import naive_recurrent_gsa

        consumer["chunk_abc"] = lambda q, k, v, s, initial_state=None, output_final_state=False: naive_recurrent_gsa(q, k, v, s)
    if type(layer).__name__ == "MesaNet":
        from fla.ops.mesa_net.naive import naive_mesa_net_exact

        def chunk_mesa_net(q, k, v, g, beta, lamb, h_kk_init=None, h_kv_init=None, use_qk_l2norm_in_kernel=False, **others):
            q, k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
            return naive_mesa_net_exact(q, k, v, g, lamb, beta)

        consumer["chunk_mesa_net"] = chunk_mesa_net


def main(names):
    import fla.layers
    import triton

    triton.runtime.driver.set_active(Driver())
    import spectral_kernels as sk

    found = {}
    for name in names or LAYERS:
        torch.manual_seed(0)
        layer = getattr(fla.layers, name)(**LAYERS[name]).eval()
        for p in layer.parameters():
            if p.dim() == 0 or not torch.isfinite(p).all():
                torch.nn.init.normal_(p, std=0.1)
        stand_in(layer)
        x = torch.randn(1, 4, 64)
        arguments = {"v_first": None} if name == "RWKV7Attention" else {}
        consumer = vars(sys.modules[type(layer).__module__])
        before = dict(consumer)
        with torch.no_grad():
            expected = layer(x, **arguments)[0]
            with sk.capture(layer, title=name) as run:
                y = layer(x, **arguments)[0]
        found[name] = {
            "same": torch.equal(y, expected),
            "restored": all(consumer[key] is value for key, value in before.items()),
            "skipped": run.skipped,
            "records": {n: {"family": r.family, "error": r.error, "library": r.library, "kernel": r.kernel, "n": r.n, "heads": r.heads} for n, r in run.records.items()},
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
