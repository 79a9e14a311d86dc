"""TransNormerLLM 385M, 1B and 7B, native: linear attention with a fixed decay, trained and read at linear cost.

Pre-norm decoder without dropout, softmax, activation in the channel mixer, or learned norms. Padding on either side and
between tokens, packed rows, prompts in several chunks and beams give what the tokens alone give. Source: arXiv
2307.14995 and the published modelling code, whose faults (a position counter that survives a generation, an untied
head, checkpointing without effect) are not repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from ..data.chats import chat_for, model_type_of
from ..ops.lightning import Attend, Decay, Layout, block_attention, decay_rates, recurrent_attention
from ..ops.tree import Run, tree_linear_attention
from .family import Family, Head
from .state import StateCache
from .transnormer_config import TransnormerConfig
from .weights import load_pretrained

Stands = Layout | list[Run]
"""Where tokens stand: in padded or packed rows, or in a forest."""


def _exp(x: Tensor) -> Tensor:
    return torch.exp(x - x.detach().amax(dim=-1, keepdim=True))


FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": nn.functional.silu,
    "swish": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "relu": nn.functional.relu,
    "elu": nn.functional.elu,
    "1+elu": lambda x: 1 + nn.functional.elu(x),
    "2+elu": lambda x: 2 + nn.functional.elu(x),
    "sigmoid": torch.sigmoid,
    "leak": nn.functional.leaky_relu,
    "sine": torch.sin,
    "exp": _exp,
}
"""What `linear_act_fun` makes of queries and keys; as published, any other name leaves them as they are."""


class SimpleRMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-6) over the last dimension, computed in float32; nothing is learned."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised x, in its own dtype."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + 1e-6)).to(x.dtype)


def _norm(config: TransnormerConfig, size: int) -> nn.Module:
    """Return the norm that the config names; as published, any other name is LayerNorm with weight and bias."""
    return SimpleRMSNorm() if config.norm_type == "simplermsnorm" else nn.LayerNorm(size)


class Lrpe(nn.Module):
    """Linearised relative positions: q and k become [x cos(theta p), x sin(theta p)]. Source: arXiv 2307.09270."""

    def __init__(self, config: TransnormerConfig) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.empty(config.decoder_attention_heads, 1, config.head_dim))

    def reset(self) -> None:
        """Set the frequencies that training begins with: from 1 down to 1e-8 over all channels of all heads."""
        size = self.theta.numel()
        exponent = torch.arange(size, dtype=torch.float32, device=self.theta.device) * (-2.0 / size)
        with torch.no_grad():
            self.theta.copy_((10000.0**exponent).view_as(self.theta))

    def forward(self, x_BHTK: Tensor, position_ids_BT: Tensor) -> Tensor:
        """Return (B, H, T, 2K); angles are float32 whatever the model's dtype is."""
        wide = torch.promote_types(self.theta.dtype, torch.float32)
        angles = self.theta.to(wide) * position_ids_BT[:, None, :, None].to(wide)
        return torch.cat((x_BHTK * angles.cos(), x_BHTK * angles.sin()), dim=-1)


class TransnormerTokenMixer(nn.Module):
    """Gated linear attention: u * N(attention(phi(q), phi(k), v)), all heads normed together."""

    def __init__(self, config: TransnormerConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        self.attend: Attend = block_attention
        self.act: Callable[[Tensor], Tensor] = FEATURE_MAPS.get(config.linear_act_fun, lambda x: x)
        self.qkvu_proj = nn.Linear(config.decoder_embed_dim, 4 * config.hidden_dim, bias=config.bias)
        self.out_proj = nn.Linear(config.hidden_dim, config.decoder_embed_dim, bias=config.bias)
        self.norm = _norm(config, config.hidden_dim)
        self.lrpe = Lrpe(config) if config.linear_use_lrpe_list[layer] else None

    # Loops over blocks and segments, with a backward pass of its own: not for torch.compile.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self, x_BTD: Tensor, position_ids_BT: Tensor, layout: Stands | None = None, cache: StateCache | None = None
    ) -> Tensor:
        """Return the mixed tokens, (B, T, D); `cache` holds what came before them, and is brought up to date."""
        config = self.config
        *qkv, gate = self.qkvu_proj(x_BTD).chunk(4, dim=-1)
        heads = (*x_BTD.shape[:2], config.decoder_attention_heads, -1)
        query, key, value = (x.view(heads).transpose(1, 2) for x in qkv)
        query, key = self.act(query), self.act(key)
        if self.lrpe is not None:
            query, key = self.lrpe(query, position_ids_BT), self.lrpe(key, position_ids_BT)
        rate_H = decay_rates(config.decoder_attention_heads, self.layer, config.decoder_layers, x_BTD.device)
        state = None if cache is None else cache.states[self.layer]
        if isinstance(layout, list):
            output = tree_linear_attention(query, key, value, Decay(rate_H), layout, self.attend)
        elif state is not None and x_BTD.shape[1] == 1 and not torch.is_grad_enabled():
            real_B = None if layout is None else layout.real_BT[:, 0]
            output, state = recurrent_attention(
                query.squeeze(2), key.squeeze(2), value.squeeze(2), rate_H, state, real_B
            )
            output = output[:, :, None]
        else:
            output, state = self.attend(query, key, value, Decay(rate_H, layout), state)
        if cache is not None:
            cache.states[self.layer] = state
        output_BTD = output.transpose(1, 2).flatten(2)
        if not isinstance(self.norm, SimpleRMSNorm):  # its weights have the model's dtype
            output_BTD = output_BTD.to(x_BTD.dtype)
        return self.out_proj(gate * self.norm(output_BTD).to(x_BTD.dtype))


class TransnormerChannelMixer(nn.Module):
    """l3(l1(x) * l2(x)): a plain product without activation."""

    def __init__(self, config: TransnormerConfig) -> None:
        super().__init__()
        self.l1 = nn.Linear(config.decoder_embed_dim, config.glu_dim, bias=config.bias)
        self.l2 = nn.Linear(config.decoder_embed_dim, config.glu_dim, bias=config.bias)
        self.l3 = nn.Linear(config.glu_dim, config.decoder_embed_dim, bias=config.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the mixed channels, (B, T, D)."""
        return self.l3(self.l1(x_BTD) * self.l2(x_BTD))


class TransnormerDecoderLayer(GradientCheckpointingLayer):
    """Token mixer and channel mixer, each on the normed input and added to it."""

    def __init__(self, config: TransnormerConfig, layer: int) -> None:
        super().__init__()
        self.token_norm = _norm(config, config.decoder_embed_dim)
        self.channel_norm = _norm(config, config.decoder_embed_dim)
        self.token_mixer = TransnormerTokenMixer(config, layer)
        self.channel_mixer = TransnormerChannelMixer(config)

    def forward(
        self, x_BTD: Tensor, position_ids: Tensor, layout: Stands | None = None, past_key_values: Any = None
    ) -> Tensor:
        """Return the layer's output, (B, T, D)."""
        x_BTD = x_BTD + self.token_mixer(self.token_norm(x_BTD), position_ids, layout, past_key_values)
        return x_BTD + self.channel_mixer(self.channel_norm(x_BTD))


class TransnormerPreTrainedModel(PreTrainedModel):
    """What both classes share: config class, initialisation, gradient checkpointing, the cache of generation."""

    config: TransnormerConfig
    config_class = TransnormerConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    takes_segments = True
    _supports_sdpa = True  # there is no softmax attention to choose a backend for
    _is_stateful = True  # a state cannot be rolled back, which assisted generation would need
    _no_split_modules: ClassVar[list[str]] = ["TransnormerDecoderLayer"]
    _skip_keys_device_placement = "past_key_values"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # linear and embedding: normal, by config.initializer_range
        if isinstance(module, Lrpe):
            module.reset()


class TransnormerModel(TransnormerPreTrainedModel):
    """The decoder without head."""

    def __init__(self, config: TransnormerConfig) -> None:
        super().__init__(config)
        # padding_idx as published: looking this id up gives no gradient, even where it stands for a real token.
        self.embed_tokens = nn.Embedding(config.vocab_size, config.decoder_embed_dim, config.pad_token_id)
        self.layers = nn.ModuleList([TransnormerDecoderLayer(config, i) for i in range(config.decoder_layers)])
        self.final_norm = _norm(config, config.decoder_embed_dim)
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the final norm's output, (B, T, D). `inputs_embeds` (B, T, D) are used unscaled, as published.

        attention_mask (B, T) or, with a cache, (B, all tokens so far): 0 is padding, other numbers are segments. Or the
        runs of a forest, (1, 1, R, 3), with their positions and without a cache.

        Raises:
            ValueError: neither or both of `input_ids` and `inputs_embeds`; or a mask of another form.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds.")
        if inputs_embeds is None:
            scale = 1.0 if self.config.no_scale_embedding else self.config.decoder_embed_dim**0.5
            inputs_embeds = self.embed_tokens(input_ids) * scale
        rows, tokens, _ = inputs_embeds.shape
        checkpointing = self.gradient_checkpointing and self.training
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        use_cache = use_cache and not checkpointing
        cache = past_key_values
        if use_cache and cache is None:
            cache = StateCache(self.config.decoder_layers)
        layout = _layout(attention_mask, tokens)
        if position_ids is None:
            position_ids = _positions(None if isinstance(layout, list) else layout, cache, tokens, inputs_embeds.device)
        hidden, collected = inputs_embeds, []
        for layer in self.layers:
            collected.append(hidden)
            hidden = layer(hidden, position_ids=position_ids, layout=layout, past_key_values=cache)
        hidden = self.final_norm(hidden)
        if cache is not None:
            cache.passed(tokens, (position_ids[:, -1] + 1).expand(rows))
        wanted = kwargs.get("output_hidden_states")
        wanted = self.config.output_hidden_states if wanted is None else wanted
        return BaseModelOutputWithPast(
            last_hidden_state=hidden,
            past_key_values=cache if use_cache else None,
            hidden_states=(*collected, hidden) if wanted else None,
        )


def _layout(attention_mask: Tensor | None, tokens: int) -> Stands | None:
    if attention_mask is None:
        return None
    if attention_mask.dim() == 4:
        return [(parent, length, count) for parent, length, count in attention_mask[0, 0].tolist()]
    if attention_mask.dim() != 2 or attention_mask.shape[1] < tokens:
        raise ValueError(
            f"attention_mask must be (rows, tokens) with {tokens} tokens at least, not {tuple(attention_mask.shape)}."
        )
    return Layout.of(attention_mask[:, -tokens:])


def _positions(layout: Layout | None, cache: StateCache | None, tokens: int, device: torch.device) -> Tensor:
    """Return position_ids_BT: the column at the first call, from the row's first token on without its padding.

    Only differences matter, so columns and counts of tokens serve alike; columns are what the published code takes.
    """
    next_B1 = None if cache is None or cache.next_B is None else cache.next_B[:, None]
    if layout is None:
        positions = torch.arange(tokens, device=device)[None]
        return positions if next_B1 is None else next_B1 + positions
    first_B1 = layout.real_BT.to(torch.int8).argmax(dim=1, keepdim=True) if next_B1 is None else next_B1
    return (first_B1 + layout.counts_BT - 1).clamp(min=0)


class TransnormerForCausalLM(TransnormerPreTrainedModel, GenerationMixin):
    """The decoder with its head, which is the embedding matrix in every released model."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: TransnormerConfig) -> None:
        super().__init__(config)
        self.model = TransnormerModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.decoder_embed_dim, config.vocab_size, bias=False)
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
        only the last n positions (int, 0 = all; padding behind a row's last token does not count) or the given
        positions (1-D tensor).
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
        logits = Head(self.lm_head)(_kept(outputs.last_hidden_state, logits_to_keep, attention_mask))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.vocab_size, **loss_arguments)
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=outputs.past_key_values, hidden_states=outputs.hidden_states
        )

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, inputs_embeds: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Leave positions to the model: they follow from the mask and the cache."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(input_ids, inputs_embeds=inputs_embeds, **kwargs)
        inputs.pop("position_ids", None)
        return inputs

    def _prepare_cache_for_generation(
        self, generation_config: Any, model_kwargs: dict[str, Any], *rest: Any, **others: Any
    ) -> None:
        """Give generation a cache of constant size, whatever implementation was asked for: there is one kind."""
        if model_kwargs.get("past_key_values") is None and generation_config.use_cache is not False:
            model_kwargs["past_key_values"] = StateCache(self.config.decoder_layers)


def _kept(hidden_BTD: Tensor, keep: int | Tensor, attention_mask: Tensor | None) -> Tensor:
    """Return the hidden states that logits are wanted of."""
    if not isinstance(keep, int):
        return hidden_BTD[:, keep]
    tokens = hidden_BTD.shape[1]
    if attention_mask is None or not 0 < keep < tokens:
        return hidden_BTD[:, -keep:]
    index_T = torch.arange(tokens, device=hidden_BTD.device)
    last_B = torch.where(attention_mask[:, -tokens:] != 0, index_T, -1).amax(dim=1)
    places_BK = (last_B[:, None] - torch.arange(keep - 1, -1, -1, device=hidden_BTD.device)).clamp(min=0)
    return hidden_BTD.gather(1, places_BK[..., None].expand(-1, -1, hidden_BTD.shape[2]))


def load_transnormer(
    folder: str | Path, config: dict[str, Any], dtype: torch.dtype | None
) -> tuple[TransnormerForCausalLM, list[str]]:
    """Return the model of a folder and the notices that a user should see; `config` is its config.json.

    Raises:
        ModelError: as `load_pretrained`; or it is TransNormerLLM3.
    """
    return load_pretrained(TransnormerForCausalLM, TransnormerConfig, folder, config, dtype)


FAMILY = Family(
    model_type="transnormer",
    recognises=lambda config: model_type_of(config) == "transnormer",  # the published files do not name it
    load=load_transnormer,
    chat=partial(chat_for, "transnormer"),
    head=lambda model: Head(model.lm_head),
    lora_targets=("qkvu_proj", "out_proj", "l1", "l2", "l3"),
)

AutoConfig.register("transnormer", TransnormerConfig, exist_ok=True)
AutoModel.register(TransnormerConfig, TransnormerModel, exist_ok=True)
AutoModelForCausalLM.register(TransnormerConfig, TransnormerForCausalLM, exist_ok=True)
