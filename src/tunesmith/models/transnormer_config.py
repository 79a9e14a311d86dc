"""The configuration of TransNormerLLM, read as it was published."""

from __future__ import annotations

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

SIZES = ("vocab_size", "decoder_embed_dim", "hidden_dim", "decoder_layers", "decoder_attention_heads", "glu_dim")


@strict
class TransnormerConfig(PreTrainedConfig):
    """The published fields and defaults; `glu_dim` -1 is as wide as the model.

    An empty `linear_use_lrpe_list` (the default, which the published code cannot run) means the first layer alone, as
    in every released model.
    """

    model_type = "transnormer"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "decoder_embed_dim",
        "num_hidden_layers": "decoder_layers",
        "num_attention_heads": "decoder_attention_heads",
        "intermediate_size": "glu_dim",
        "initializer_range": "init_std",
    }

    vocab_size: int = 64000
    decoder_embed_dim: int = 1024
    hidden_dim: int = 1024
    decoder_layers: int = 24
    decoder_attention_heads: int = 8
    glu_dim: int = 2816
    linear_act_fun: str = "silu"
    linear_use_lrpe_list: list[int] | tuple[int, ...] = ()
    norm_type: str = "simplermsnorm"
    no_scale_embedding: bool = False
    bias: bool = False
    add_bos_token: bool = False
    init_std: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what follows from other fields; unknown fields (`kwargs`) are kept as they are.

        Raises:
            ValueError: sizes that make no sense, or another model under the same class name.
        """
        if "gate_dim" in kwargs:
            raise ValueError(
                "it has a gate_dim: this is TransNormerLLM3 (15B), another network under the same class name (gated by "
                "a sigmoid, values activated too). TransNormerLLM 385M, 1B and 7B can be used."
            )
        super().__post_init__(**kwargs)  # first: sizes may be given by transformers' names
        if self.glu_dim == -1:
            self.glu_dim = self.decoder_embed_dim
        for name in SIZES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(f"{name} must be a whole number greater than 0, not {value!r}.")
        if self.hidden_dim % self.decoder_attention_heads:
            raise ValueError(
                f"hidden_dim {self.hidden_dim} must be a multiple of decoder_attention_heads "
                f"{self.decoder_attention_heads}."
            )
        given = list(self.linear_use_lrpe_list)
        self.linear_use_lrpe_list = given or [1] + [0] * (self.decoder_layers - 1)
        if len(self.linear_use_lrpe_list) != self.decoder_layers:
            raise ValueError(
                f"linear_use_lrpe_list has {len(self.linear_use_lrpe_list)} entries for {self.decoder_layers} layers."
            )
        if any(self.linear_use_lrpe_list) and self.hidden_dim != self.decoder_embed_dim:
            raise ValueError("hidden_dim must equal decoder_embed_dim where a layer uses LRPE.")

    @property
    def head_dim(self) -> int:
        """The size of a head's queries, keys and values."""
        return self.hidden_dim // self.decoder_attention_heads
