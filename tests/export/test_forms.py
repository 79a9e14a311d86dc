"""The Granite and the Llama form compute what MiniCPM computes; what has no such form is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from tunesmith.export import forms
from tunesmith.export.merge import published_tensors
from tunesmith.export.source import Source
from tunesmith.models.load import Place
from tunesmith.models.minicpm import MiniCPMConfig, MiniCPMForCausalLM

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 12,  # the width is no whole number
    "initializer_range": 0.1,
}
CLASSES = {"granite": (GraniteConfig, GraniteForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rope", [None, {"rope_type": "linear", "factor": 2.0}], ids=["plain", "linear"])
def test_forms_compute_the_same(name: str, tied: bool, rope: dict[str, Any] | None) -> None:
    config = MiniCPMConfig(**SIZES, tie_word_embeddings=tied, attention_bias=True, rope_scaling=rope)
    model = MiniCPMForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    form = getattr(forms, name)(model, published_tensors(model))
    kind, architecture = CLASSES[name]
    other = architecture(kind.from_dict(form.config)).eval()
    state = {key: tensor * form.factors.get(key, 1) for key, tensor in form.tensors.items()}
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    other.tie_weights()
    ids = torch.randint(50, (2, 9))
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, other(ids).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "form", "wanted"),
    [
        ({"model_type": "minicpm"}, "granite", ""),
        ({"model_type": "minicpm", "rope_scaling": None}, "llama", ""),
        ({"model_type": "llama"}, "llama", ""),
        ({"model_type": "llama"}, "granite", "only a dense MiniCPM"),
        ({"model_type": "minicpm", "num_experts": 8}, "llama", "mixture of experts"),
        ({"model_type": "minicpm", "rope_scaling": {"type": "longrope"}}, "granite", "longrope"),
        ({"model_type": "minicpmv"}, "llama", "it sees"),
        ({"architectures": ["TransnormerForCausalLM"]}, "granite", "only a dense MiniCPM"),
    ],
)
def test_what_has_no_form_is_refused(config: dict[str, Any], form: str, wanted: str) -> None:
    found = forms.refusal(Source("x", Place(Path("x")), None, config), form)
    assert wanted in found and bool(found) == bool(wanted)
