"""A dense MiniCPM in the forms that other programs know: Granite (the same function) and Llama (folded weights).

Granite has MiniCPM's multipliers under other names. In the Llama form they are multiplied into the weights; the head
is then a matrix of its own. Source of the folding: the published llama-format folders of MiniCPM-2B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..models.weights import EMBEDDING, HEAD
from .source import Source

_COPIED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "hidden_act",
    "initializer_range",
    "rms_norm_eps",
    "attention_bias",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
_RESIDUAL = (".self_attn.o_proj.weight", ".self_attn.o_proj.bias", ".mlp.down_proj.weight")
"""What writes into the residual stream: the ends of a layer's two branches."""


@dataclass(frozen=True)
class Form:
    """A model in another form: its config.json, its tensors, and what some of them are multiplied by."""

    config: dict[str, Any]
    tensors: Mapping[str, Tensor]
    factors: dict[str, float] = field(default_factory=dict)


def refusal(source: Source, form: str) -> str:
    """Return why a model cannot have the form "granite" or "llama", or an empty string."""
    kind = source.model_type
    if kind == form:
        return ""
    if kind == "minicpmv":
        return (
            "it sees, and this form has no place for the vision tower and the resampler; the language model alone "
            "would not be what was trained"
        )
    if kind != "minicpm":
        return f"only a dense MiniCPM (and a {form.capitalize()} itself) computes what this form computes"
    if source.config.get("num_experts"):
        return "it is a mixture of experts, which this form has not"
    rope = source.config.get("rope_scaling") or source.config.get("rope_parameters") or {}
    if rope.get("rope_type", rope.get("type")) == "longrope":
        return "its positions are stretched by longrope, whose tables MiniCPM and transformers choose at other lengths"
    return ""


def granite(model: Any, tensors: Mapping[str, Tensor]) -> Form:
    """Return a dense MiniCPM as GraniteForCausalLM: the same tensors, the multipliers under other names."""
    config = model.config
    multipliers = {
        "embedding_multiplier": float(config.scale_emb),
        "residual_multiplier": config.residual_multiplier,
        "attention_multiplier": config.attention_multiplier,
        "logits_scaling": config.width,
    }
    head = {"tie_word_embeddings": bool(config.tie_word_embeddings)}
    return Form({**_shared(config, "granite", "GraniteForCausalLM"), **multipliers, **head}, tensors)


def llama(model: Any, tensors: Mapping[str, Tensor]) -> Form:
    """Return a dense MiniCPM as LlamaForCausalLM: embedding, head and the ends of all branches are scaled."""
    config = model.config
    untied = {**tensors, HEAD: tensors.get(HEAD, tensors[EMBEDDING])}
    factors = {name: config.residual_multiplier for name in untied if name.endswith(_RESIDUAL)}
    factors |= {EMBEDDING: float(config.scale_emb), HEAD: 1 / config.width}
    return Form({**_shared(config, "llama", "LlamaForCausalLM"), "tie_word_embeddings": False}, untied, factors)


def _shared(config: Any, model_type: str, architecture: str) -> dict[str, Any]:
    """Return what both forms say; the rotary settings in the older words, which new readers know too."""
    rope = dict(config.rope_parameters)
    theta = rope.pop("rope_theta")
    return {
        "architectures": [architecture],
        "model_type": model_type,
        **{name: getattr(config, name) for name in _COPIED},
        "mlp_bias": False,
        "use_cache": True,
        "rope_theta": theta,
        "rope_scaling": None if rope.get("rope_type", "default") == "default" else rope,
    }
