"""Tiny random models of transformers, one per class that has a recurrence of its own kind."""

from __future__ import annotations

import sys

import torch

VOCABULARY = 64
_SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_ATTENTION = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    **_SPECIAL,
}
_ALL_HEADS = _ATTENTION | {"num_key_value_heads": 4}
_EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
_DELTA = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "head_dim": 8}
_SSD = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 2, "mamba_chunk_size": 16}
_LATENT = {"head_dim": 8, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
_KINDS = {"layer_types": ["linear_attention", "full_attention"]}

# By the stem of the class's names: the arguments of its configuration, and how many recurrences it has, by family.
MODELS: dict[str, tuple[dict, dict[str, int]]] = {
    "GPT2": ({"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, **_SPECIAL}, {"softmax_attention": 2}),
    "Llama": (_ATTENTION, {"softmax_attention": 2}),
    "Qwen3": (_ATTENTION | {"head_dim": 8}, {"softmax_attention": 2}),
    "Gemma2": (_ATTENTION | {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 5.0}, {"softmax_attention": 2}),
    "Gemma3": (_ATTENTION | {"head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}, {"softmax_attention": 2}),
    "GptOss": (_ATTENTION | {"head_dim": 8, "sliding_window": 16, "num_local_experts": 2, "num_experts_per_tok": 1}, {"softmax_attention": 2}),
    "Mistral": (_ATTENTION | {"sliding_window": 16}, {"softmax_attention": 2}),
    "Olmo3": (_ATTENTION | {"sliding_window": 16}, {"softmax_attention": 2}),
    "GPTNeoX": (_ATTENTION, {"softmax_attention": 2}),
    "Bloom": ({"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, **_SPECIAL}, {"softmax_attention": 2}),
    "GPTJ": ({"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "rotary_dim": 8, **_SPECIAL}, {"softmax_attention": 2}),
    "CodeGen": ({"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "rotary_dim": 8, **_SPECIAL}, {"softmax_attention": 2}),
    "GPTNeo": (
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 16, **_SPECIAL},
        {"softmax_attention": 2},
    ),
    "Falcon": ({"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True, **_SPECIAL}, {"softmax_attention": 2}),
    "Mpt": ({"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128, **_SPECIAL}, {"softmax_attention": 2}),
    "DeepseekV3": (
        _ALL_HEADS
        | {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8, "head_dim": 8, "first_k_dense_replace": 2}
        | {"n_routed_experts": 2, "num_experts_per_tok": 1, "n_group": 1, "topk_group": 1},
        {"softmax_attention": 2},
    ),
    "Mamba": ({"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, **_SPECIAL}, {"mamba": 2}),
    "FalconMamba": ({"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, **_SPECIAL}, {"mamba": 2}),
    "Mamba2": (
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 2, "chunk_size": 16, **_SPECIAL},
        {"mamba2": 2},
    ),
    "Jamba": (
        _ATTENTION
        | {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 2, "mamba_d_state": 8, "use_mamba_kernels": False},
        {"mamba": 1, "softmax_attention": 1},
    ),
    "Zamba": (
        _ALL_HEADS | {"num_hidden_layers": 4, "attention_head_dim": 16, "n_mamba_heads": 2, "mamba_d_state": 8, "use_mamba_kernels": False}
        | {"layer_types": ["mamba", "hybrid", "mamba", "hybrid"]},
        {"mamba": 4, "softmax_attention": 2},
    ),
    "Zamba2": (
        _ALL_HEADS | {"num_hidden_layers": 4, "mamba_d_state": 8, "n_mamba_heads": 4, "mamba_headdim": 16, "mamba_ngroups": 1, "chunk_size": 16, "num_mem_blocks": 1}
        | {"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"]},
        {"mamba2": 4, "softmax_attention": 2},
    ),
    "Bamba": (_ATTENTION | _SSD | {"attn_layer_indices": [1]}, {"mamba2": 1, "softmax_attention": 1}),
    "GraniteMoeHybrid": (
        _ATTENTION | _SSD | {"layer_types": ["mamba", "attention"], "num_local_experts": 2, "num_experts_per_tok": 1, "shared_intermediate_size": 16},
        {"mamba2": 1, "softmax_attention": 1},
    ),
    "NemotronH": (
        _ATTENTION | {"layers_block_type": ["mamba", "attention"], "head_dim": 8, "mamba_num_heads": 4, "mamba_head_dim": 16, "ssm_state_size": 8, "n_groups": 2, "chunk_size": 16},
        {"mamba2": 1, "softmax_attention": 1},
    ),
    "FalconH1": (_ATTENTION | _SSD | {"mamba_d_ssm": 64, "head_dim": 8}, {"mamba2": 2, "softmax_attention": 2}),
    "RecurrentGemma": (
        _ATTENTION | {"lru_width": 32, "block_types": ["recurrent", "attention"], "attention_window_size": 16, "head_dim": 8},
        {"rg_lru": 1, "softmax_attention": 1},
    ),
    "MiniMax": (
        _ATTENTION | {"head_dim": 8, "block_size": 16, "num_local_experts": 2, "num_experts_per_tok": 1} | _KINDS,
        {"minimax_lightning_attention": 1, "softmax_attention": 1},
    ),
    "Qwen3Next": (_ATTENTION | _DELTA | _EXPERTS | _KINDS | {"shared_expert_intermediate_size": 16}, {"gated_deltanet": 1, "softmax_attention": 1}),
    "Qwen3_5": (_ATTENTION | _DELTA | _KINDS, {"gated_deltanet": 1, "softmax_attention": 1}),
    "OlmoHybrid": (_ATTENTION | _DELTA | _KINDS | {"linear_num_key_heads": 4}, {"gated_deltanet": 1, "softmax_attention": 1}),
    "KimiLinear": (
        _ALL_HEADS | _KINDS | _EXPERTS | _LATENT | {"linear_head_dim": 8, "linear_num_heads": 4},
        {"kda": 1, "softmax_attention": 1},
    ),
    "BailingHybrid": (
        _ALL_HEADS | _KINDS | _EXPERTS | _LATENT | {"q_lora_rank": 16},
        {"kda": 1, "softmax_attention": 1},
    ),
    "xLSTM": ({"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4, "qk_dim_factor": 1.0, "chunk_size": 16, **_SPECIAL}, {"mlstm": 2}),
    "Rwkv": ({"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 128, **_SPECIAL}, {"rwkv4": 2}),
    "Lfm2": (_ATTENTION | {"layer_types": ["conv", "full_attention"]}, {"short_conv": 1, "softmax_attention": 1}),
    "Lfm3": (_ATTENTION | {"layer_types": ["conv", "full_attention"]}, {"short_conv": 1, "softmax_attention": 1}),
}
_DELTA_RULES = ("torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule", "chunk_kimi_delta_attention", "recurrent_kimi_delta_attention")


def build(stem: str, seed: int = 0, **changes) -> torch.nn.Module:
    """The model in eval mode; of its delta rules the torch functions, where flash-linear-attention would put kernels that need a GPU."""
    import transformers

    transformers.logging.set_verbosity_error()
    name = {"Qwen3_5": "Qwen3_5Text", "Gemma3": "Gemma3Text"}.get(stem, stem)
    config = getattr(transformers, f"{name}Config")(**MODELS[stem][0] | changes)
    torch.manual_seed(seed)
    head = "LMHeadModel" if stem == "GPT2" else "ForCausalLM"
    model = getattr(transformers, f"{stem}{head}")(config).eval()
    module = sys.modules[type(model).__module__]
    for kernel in _DELTA_RULES:
        function = getattr(module, kernel, None)
        if hasattr(function, "__wrapped__"):
            setattr(module, kernel, function.__wrapped__)
    return model


def tokens(batch: int = 2, length: int = 40, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))
