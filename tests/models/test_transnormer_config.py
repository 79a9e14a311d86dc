"""What a TransNormerLLM config may say, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.models.transnormer_config import TransnormerConfig


def test_transformers_names() -> None:
    config = TransnormerConfig(decoder_embed_dim=32, hidden_dim=32, decoder_layers=3, decoder_attention_heads=4)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 3, 4)
    assert config.head_dim == 8 and config.tie_word_embeddings


def test_width_of_the_channel_mixer() -> None:
    assert TransnormerConfig(decoder_embed_dim=32, hidden_dim=32, glu_dim=-1).glu_dim == 32


def test_missing_lrpe_list_is_that_of_the_released_models() -> None:
    assert TransnormerConfig(decoder_layers=3).linear_use_lrpe_list == [1, 0, 0]
    assert TransnormerConfig(decoder_layers=3, linear_use_lrpe_list=[]).linear_use_lrpe_list == [1, 0, 0]
    assert TransnormerConfig(decoder_layers=2, linear_use_lrpe_list=[0, 0]).linear_use_lrpe_list == [0, 0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gate_dim": 16}, "TransNormerLLM3"),
        ({"decoder_layers": 0}, "decoder_layers must be"),
        ({"vocab_size": True}, "vocab_size must be"),
        ({"decoder_attention_heads": 3}, "multiple of decoder_attention_heads"),
        ({"linear_use_lrpe_list": [1, 0]}, "2 entries for 24 layers"),
        ({"hidden_dim": 512}, "hidden_dim must equal"),
    ],
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        TransnormerConfig(**options)
