"""MiniCPM-1B/2B (sft, dpo, 128k), MiniCPM4 0.5B/8B and MiniCPM-MoE-8x2B, native.

A Llama decoder with three scalars: embeddings times `scale_emb`, both residual branches of each layer times
`scale_depth / sqrt(L)`, and the final hidden states divided by `hidden_size / dim_model_base` before the head.
transformers' Granite is the same function with other field names, so its layers are used and MiniCPM's differences
are written out here. Source: technical report arXiv 2404.06395 and the published modelling code.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.granite import modeling_granite as granite
from transformers.utils.generic import can_return_tuple

from ..data.chats import chat_for
from ..ops.rope import angles, inverse_frequencies, rotate
from .family import Family, Head
from .weights import load_pretrained

SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
MULTIPLIERS = ("scale_emb", "dim_model_base", "scale_depth")


@strict
class MiniCPMConfig(PreTrainedConfig):
    """The published fields and defaults (note: tied embeddings by default, unlike Llama).

    The four multipliers below are what Granite's layers read; they follow from the published fields.
    """

    model_type = "minicpm"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    base_model_tp_plan = granite.GraniteConfig.base_model_tp_plan
    base_model_pp_plan = granite.GraniteConfig.base_model_pp_plan

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True
    rope_parameters: Any = None
    attention_bias: bool = False
    attention_dropout: float | int = 0.0
    scale_emb: float | int = 1
    dim_model_base: float | int = 1
    scale_depth: float | int = 1
    num_experts: int = 0
    num_experts_per_tok: int = 2

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what follows from other fields; unknown fields (`kwargs`) are kept as they are.

        Raises:
            ValueError: a size or a multiplier that is not a number greater than 0, or sizes that do not divide.
        """
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        for name in (*SIZES, *MULTIPLIERS):
            value, kinds = getattr(self, name), int if name in SIZES else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not value > 0:
                kind = "a whole number" if name in SIZES else "a number"
                raise ValueError(f"{name} must be {kind} greater than 0, not {value!r}.")
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}, "
                f"and that of num_key_value_heads {self.num_key_value_heads}."
            )
        super().__post_init__(**kwargs)
        rope = self.rope_parameters or {}
        if rope.get("rope_type") == "longrope" and rope.get("factor") is None:
            # Says the same as the published two lengths; without it transformers warns.
            rope["factor"] = self.max_position_embeddings / rope["original_max_position_embeddings"]

    @property
    def width(self) -> float:
        """What the final hidden states are divided by: hidden_size / dim_model_base, not always an integer."""
        return self.hidden_size / self.dim_model_base

    @property
    def residual_multiplier(self) -> float:
        """scale_depth / sqrt(L), L being the number of layers."""
        return self.scale_depth / math.sqrt(self.num_hidden_layers)

    @property
    def embedding_multiplier(self) -> float:
        """1: `MiniCPMModel.forward` scales looked-up embeddings itself and leaves `inputs_embeds` as they are."""
        return 1.0

    @property
    def attention_multiplier(self) -> float:
        """1 / sqrt(head size)."""
        return (self.hidden_size // self.num_attention_heads) ** -0.5

    @property
    def mlp_bias(self) -> bool:
        """No MiniCPM has biases in its MLP."""
        return False


class MiniCPMRotaryEmbedding(nn.Module):
    """Rotary tables in float32, made from the config in every call.

    There are no buffers: nothing is left uninitialised when a model is built on the meta device, nothing is rounded
    by `model.to(torch.bfloat16)`, and what a long input does to the frequencies (dynamic, longrope) ends with it, so
    that a result does not depend on what the process computed before.
    """

    def __init__(self, config: MiniCPMConfig) -> None:
        super().__init__()
        self.config, self.kind = config, config.rope_parameters["rope_type"]
        if self.kind != "default" and self.kind not in ROPE_INIT_FUNCTIONS:
            raise ValueError(f"The rope type '{self.kind}' is unknown.")

    @torch.no_grad()
    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return cos and sin, each (B, T, K) float32; position_ids is (B, T) int64."""
        frequencies, scale = self._frequencies(position_ids, x.device)
        return angles(frequencies, position_ids.to(x.device), scale)

    def _frequencies(self, position_ids: Tensor, device: torch.device) -> tuple[Tensor, float]:
        """Return the K/2 frequencies for these positions, and what cos and sin are multiplied by."""
        if self.kind == "default":
            size = self.config.hidden_size // self.config.num_attention_heads
            return inverse_frequencies(self.config.rope_parameters["rope_theta"], size, device), 1.0
        make = ROPE_INIT_FUNCTIONS[self.kind]
        length = position_ids.max() + 1  # stays a tensor: no wait for the GPU, and meta tensors work
        if self.kind != "longrope":
            return make(self.config, device, seq_len=length)
        limit = self.config.rope_parameters["original_max_position_embeddings"]
        short, scale = make(self.config, device, seq_len=limit)
        long, _ = make(self.config, device, seq_len=limit + 1)
        # The published code chooses by the size of its table, which has max_position_embeddings rows at least.
        return torch.where(length.clamp(min=self.config.max_position_embeddings) > limit, long, short), scale


class MiniCPMAttention(granite.GraniteAttention):
    """Grouped-query attention; the rotation is done in float32 and rounded once."""

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attention's output (B, T, D) and, from the eager backend only, its weights."""
        shape = hidden_states.shape[:-1]
        query, key, value = (
            projection(hidden_states).view(*shape, -1, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = rotate(query, *position_embeddings), rotate(key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, granite.eager_attention_forward
        )
        dropout = self.attention_dropout if self.training else 0.0
        output, weights = attend(
            self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        return self.o_proj(output.reshape(*shape, -1).contiguous()), weights


class MiniCPMExpert(nn.Module):
    """One SwiGLU expert under the published names: w1 gate, w3 up, w2 down."""

    def __init__(self, config: MiniCPMConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, x_ND: Tensor) -> Tensor:
        """Return w2(act(w1 x) * w3 x), (N, D)."""
        return self.w2(self.act_fn(self.w1(x_ND)) * self.w3(x_ND))


class MiniCPMMoE(nn.Module):
    """Top-k of E experts: softmax over all experts in float32, the k largest weights renormalised to sum 1.

    Without the load-balancing loss that the paper adds in pre-training: its exact form is not published.
    """

    def __init__(self, config: MiniCPMConfig) -> None:
        super().__init__()
        self.top_k = config.num_experts_per_tok
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = nn.ModuleList([MiniCPMExpert(config) for _ in range(config.num_experts)])

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the weighted sum of the chosen experts' outputs, (B, T, D)."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1])
        weights_NE = self.gate(x_ND).float().softmax(dim=-1)
        weights_NK, chosen_NK = weights_NE.topk(self.top_k, dim=-1)
        weights_NK = (weights_NK / weights_NK.sum(dim=-1, keepdim=True)).to(x_ND.dtype)
        output_ND = torch.zeros_like(x_ND)
        for number, expert in enumerate(self.experts):
            rows, slots = torch.where(chosen_NK == number)
            contribution = expert(x_ND[rows]) * weights_NK[rows, slots].unsqueeze(-1)
            output_ND = output_ND.index_add(0, rows, contribution.to(output_ND.dtype))
        return output_ND.view_as(x_BTD)


class MiniCPMDecoderLayer(granite.GraniteDecoderLayer):
    """Granite's layer (pre-norm, scaled residual branches) with MiniCPM's attention and, if asked for, experts."""

    def __init__(self, config: MiniCPMConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        self.self_attn = MiniCPMAttention(config, layer_idx)
        if config.num_experts:
            self.mlp = MiniCPMMoE(config)


class MiniCPMPreTrainedModel(granite.GranitePreTrainedModel):
    """What all MiniCPM classes share: config class, attention backends, gradient checkpointing."""

    config: MiniCPMConfig
    config_class = MiniCPMConfig
    _no_split_modules: ClassVar[list[str]] = ["MiniCPMDecoderLayer"]
    _can_record_outputs: ClassVar[dict[str, Any]] = {
        "hidden_states": MiniCPMDecoderLayer,
        "attentions": MiniCPMAttention,
    }


class MiniCPMModel(MiniCPMPreTrainedModel, granite.GraniteModel):
    """The decoder without head."""

    def __init__(self, config: MiniCPMConfig) -> None:
        super(granite.GraniteModel, self).__init__(config)  # its own __init__ would build Granite's layers
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        # No padding_idx: it would freeze that row's gradient, and no published file has one.
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([MiniCPMDecoderLayer(config, i) for i in range(config.num_hidden_layers)])
        self.norm = granite.GraniteRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = MiniCPMRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.embedding_multiplier = config.embedding_multiplier
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the final norm's output, (B, T, D). `inputs_embeds` (B, T, D) are used unscaled, as published."""
        if inputs_embeds is None and input_ids is not None:
            inputs_embeds, input_ids = self.embed_tokens(input_ids) * self.config.scale_emb, None
        return super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )


class MiniCPMForCausalLM(MiniCPMPreTrainedModel, granite.GraniteForCausalLM):
    """The decoder with its head; generation, caches and attention backends are transformers' own."""

    def __init__(self, config: MiniCPMConfig) -> None:
        super(granite.GraniteForCausalLM, self).__init__(config)
        self.model = MiniCPMModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(  # transformers reads these names from the signature: it must spell them out
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits (B, T, V) float32 and, with `labels` (B, T; shifted inside, -100 ignored), the mean loss.

        `num_items_in_batch` in `kwargs`: the loss is the sum over the labels divided by it instead. `logits_to_keep`:
        only the last n positions (int, 0 = all) or the given positions (1-D tensor).
        """
        loss_arguments = {key: kwargs.pop(key) for key in ("num_items_in_batch", "shift_labels") if key in kwargs}
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            return_dict=True,
            **kwargs,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = minicpm_head(self)(outputs.last_hidden_state[:, keep, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.vocab_size, **loss_arguments)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def minicpm_head(model: MiniCPMForCausalLM) -> Head:
    """Return the head: hidden states divided by the width, then the output matrix."""
    return Head(model.lm_head, divisor=model.config.width)


def load_minicpm(
    folder: str | Path, config: dict[str, Any], dtype: torch.dtype | None
) -> tuple[MiniCPMForCausalLM, list[str]]:
    """Return the model of a folder and the notices that a user should see; `config` is its config.json.

    Raises:
        ModelError: as `load_pretrained`.
    """
    model, notices = load_pretrained(MiniCPMForCausalLM, MiniCPMConfig, folder, config, dtype)
    if config.get("sparse_config"):
        notices.append(
            f"{folder}: sparse_config is ignored; attention is dense. It makes long inputs faster on GPUs with extra "
            "kernels and does not change what the model computes on short ones."
        )
    return model, notices


FAMILY = Family(
    model_type="minicpm",
    recognises=lambda config: config.get("model_type") == "minicpm",
    load=load_minicpm,
    chat=partial(chat_for, "minicpm"),
    head=minicpm_head,
)

AutoConfig.register("minicpm", MiniCPMConfig, exist_ok=True)
AutoModel.register(MiniCPMConfig, MiniCPMModel, exist_ok=True)
AutoModelForCausalLM.register(MiniCPMConfig, MiniCPMForCausalLM, exist_ok=True)
