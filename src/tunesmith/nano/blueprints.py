"""What each bundled text model is made from: its sizes, its tokenizer's layout, how its weights begin and learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from . import MODEL, TRANSNORMER_MODEL, sentencepiece_file, vocabulary

VOCABULARY = 5000
_ENDS = {"bos_token_id": 1, "eos_token_id": 2}
GENERATION = {**_ENDS, "do_sample": True, "temperature": 0.3, "top_p": 0.8}


@dataclass(frozen=True)
class Blueprint:
    """A bundled model as `pretrain.py` makes it.

    `name`: what it is called, and calls itself. `folder`: where it is shipped. `config`: the content of its
    config.json, in the published layout. `files`: its tokenizer's files, which `write_tokenizer` writes; `layout`: that
    tokenizer's fixed part. Matrices begin with `std` divided by the root of `width`, and learn with `learning_rate`
    divided by it; everything else learns without the division. `width` is 1 where a family has no such rule.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    files: tuple[str, ...]
    write_tokenizer: Callable[[Tokenizer, Path], None]
    layout: vocabulary.Layout
    std: float
    learning_rate: float
    width: float = 1.0


MINICPM = Blueprint(
    "nano-minicpm",
    MODEL,
    {
        "architectures": ["MiniCPMForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        **_ENDS,
        "dim_model_base": 64,
        "hidden_act": "silu",
        "hidden_size": 192,
        "initializer_range": 0.1,
        "intermediate_size": 512,
        "max_position_embeddings": 2048,
        "model_type": "minicpm",
        "num_attention_heads": 6,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "scale_depth": 1.4,
        "scale_emb": 12,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    },
    vocabulary.FILES,
    vocabulary.write,
    vocabulary.TEXT,
    std=0.1,
    learning_rate=0.01,
    width=3.0,  # hidden_size / dim_model_base: the rule of the MiniCPM report
)
TRANSNORMER = Blueprint(
    "nano-transnormer",
    TRANSNORMER_MODEL,
    {
        "add_bos_token": False,
        "architectures": ["TransnormerForCausalLM"],  # and no model_type, as published
        "bias": False,
        **_ENDS,
        "decoder_attention_heads": 6,
        "decoder_embed_dim": 192,
        "decoder_layers": 5,
        "glu_dim": 384,
        "hidden_dim": 192,
        "init_std": 0.1,
        "linear_act_fun": "swish",
        "linear_use_lrpe_list": [1, 0, 0, 0, 0],
        "no_scale_embedding": False,
        "norm_type": "simplermsnorm",
        "pad_token_id": 0,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    },
    sentencepiece_file.FILES,
    sentencepiece_file.write,
    vocabulary.Layout(chat_template=None),
    std=0.1,
    learning_rate=0.005,
)
BLUEPRINTS = {"minicpm": MINICPM, "transnormer": TRANSNORMER}
"""By the name of the model's family."""
