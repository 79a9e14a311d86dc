"""Other models of transformers: loaded with the same care, and a head only where it is proven."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from tunesmith.errors import ModelError
from tunesmith.models.auto import FAMILY, find_head, recognises
from tunesmith.models.family import families, family_of
from tunesmith.models.load import load_model

SIZES: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
KINDS: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "qwen2": {**SIZES, "tie_word_embeddings": True},
    "granite": {**SIZES, "logits_scaling": 6.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.4},
    "gemma2": {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 30.0},
    "cohere": {**SIZES, "logit_scale": 0.0625},
    "minicpm3": {
        **SIZES,
        "num_key_value_heads": 4,
        "dim_model_base": 16,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
    },
    "gpt2": {"vocab_size": 90, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": None,
             "bos_token_id": 1, "eos_token_id": 2},
    "gpt_neox": {key: value for key, value in SIZES.items() if key != "num_key_value_heads"},
    "mixtral": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip
IDS = torch.tensor([[1, 5, 9, 33, 7, 12], [1, 80, 3, 4, 44, 61]])


def make(kind: str, **changes: Any) -> Any:
    """A tiny random model."""
    if kind == "minicpm3":
        pytest.importorskip("transformers.models.minicpm3")
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**KINDS[kind], **changes})).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = make(kind)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert family_of(config, tmp_path) is FAMILY
    again = load_model(tmp_path, device="cpu")
    assert type(again) is type(model) and not again.training and not caplog.records
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_head_is_proven(kind: str, dtype: torch.dtype) -> None:
    model = make(kind).to(dtype).train()
    before = torch.random.get_rng_state()
    head = find_head(model)
    assert head is not None and head.module is model.get_output_embeddings()
    assert model.training and not head.module._forward_pre_hooks
    assert torch.equal(before, torch.random.get_rng_state())
    if kind == "granite":
        assert head.multiplier == pytest.approx(1 / 6)
    if kind == "gemma2":
        assert head.softcap == 30.0
    if kind == "cohere":
        assert head.multiplier == 0.0625
    model.eval()
    with torch.no_grad():
        logits = model(IDS).logits.float()
        mine = head(model.get_decoder()(IDS)[0])
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    assert (mine - logits).abs().max() <= tolerance * logits.abs().max()


def test_an_unknown_scale_or_cap_is_not_guessed() -> None:
    model = make("granite")
    model.config.logits_scaling = 1.0
    assert find_head(model) is not None
    model = make("cohere")
    model.logit_scale = 3.0  # the model uses it, its config says something else
    assert find_head(model) is None
    model = make("gemma2")
    model.config.final_logit_softcapping = None  # read by the model itself in every call
    head = find_head(model)
    assert head is not None and head.softcap is None


def test_a_cap_shows_itself_however_small_the_logits_are() -> None:
    model = make("gemma2")
    model.lm_head.weight.data.mul_(1e-4)
    head = find_head(model)
    assert head is not None and head.softcap == 30.0


def test_models_that_cannot_be_looked_into() -> None:
    class Headless(nn.Module):
        def get_output_embeddings(self) -> None:
            return None

    assert find_head(Headless()) is None  # type: ignore[arg-type]


def test_native_families_come_first() -> None:
    found = [family.model_type for family in families()]
    assert found[-1] == "auto" and "minicpm" in found[:-1]
    assert not recognises({"model_type": "minicpm"}) and not recognises({}) and not recognises({"model_type": ["x"]})
    assert recognises({"model_type": "llama"}) and not recognises({"model_type": "clip"})


def test_recognising_imports_no_model() -> None:
    rare = "transformers.models.biogpt.modeling_biogpt"
    assert rare not in sys.modules
    assert recognises({"model_type": "biogpt"})
    assert rare not in sys.modules


def test_code_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    make("llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert type(load_model(tmp_path, device="cpu")).__name__ == "LlamaForCausalLM"
    assert not (tmp_path / "ran").exists()


def broken(folder: Path, change: Any) -> str:
    make("llama").save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(folder, device="cpu")
    return str(caught.value)


def test_missing_and_misshapen_tensors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "Missing tensors (1): model.norm.weight" in broken(tmp_path, lambda t: t.pop("model.norm.weight"))
    message = broken(tmp_path, lambda t: t.update({"model.norm.weight": torch.zeros(31)}))
    assert "model.norm.weight is [31], config.json asks for [32]" in message and "\n" not in message
    assert "lm_head.weight" in broken(tmp_path, lambda t: t.pop("lm_head.weight"))
    assert "LOAD REPORT" not in capfd.readouterr().err


def test_tensors_without_a_place_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make("llama").save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, "extra.weight": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    load_model(tmp_path, device="cpu")
    assert "no place for 1 stored tensors: extra.weight" in caplog.text


def test_models_that_are_not_causal(tmp_path: Path) -> None:
    from transformers import BartConfig, BartForConditionalGeneration, BertConfig, BertLMHeadModel

    tiny: dict[str, Any] = {"vocab_size": 90, "num_hidden_layers": 1, "num_attention_heads": 4}
    BertLMHeadModel(BertConfig(**tiny, hidden_size=32, intermediate_size=48)).save_pretrained(tmp_path / "bert")
    bart = BartConfig(vocab_size=90, d_model=32, encoder_layers=1, decoder_layers=1)
    BartForConditionalGeneration(bart).save_pretrained(tmp_path / "bart")
    for kind, said in (("bert", "see what comes after"), ("bart", "encoder-decoder")):
        with pytest.raises(ModelError, match=said):
            load_model(tmp_path / kind, device="cpu")


def test_a_model_that_cannot_be_looked_into_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed(torch.nn.Module):
        training = False

        def get_output_embeddings(self) -> torch.nn.Module:
            return torch.nn.Linear(2, 2)

    def fail(*_: object) -> None:
        raise NotImplementedError("no decoder")

    monkeypatch.setattr("tunesmith.models.auto._hidden_and_logits", fail)
    assert FAMILY.head(Closed()) is None
    assert "Closed cannot be looked into (NotImplementedError: no decoder)" in caplog.text


@pytest.mark.parametrize("kind", ["clip", "minicpmv4_6", "t5"])
def test_a_model_of_another_kind_is_told_apart_from_an_unknown_one(kind: str, tmp_path: Path) -> None:
    if kind not in CONFIG_MAPPING_NAMES:
        pytest.skip(f"this transformers does not know {kind}")
    with pytest.raises(ModelError, match="not as a causal language model"):
        family_of({"model_type": kind}, tmp_path)
    with pytest.raises(ModelError, match="is not known here"):
        family_of({"model_type": f"{kind}x"}, tmp_path)
