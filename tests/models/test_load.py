"""load(): model folders, adapters and runs, whole and broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

import tunesmith
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import AdapterError, ConfigError, MachineError, ModelError
from tunesmith.models.load import default_dtype, load, load_model, text_tokenizer

IDS = torch.tensor([[1, 5, 9, 33, 7, 12, 80, 3]])
WEIGHTS = "adapter_model.safetensors"
MakeAdapter = Callable[..., Any]
TEXTS = ("<用户>你好<AI>", "a <s>b</s> c", "  two  spaces\n", "天气 is 好", "")


def make_run(folder: Path, state: str, **status: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("model: nano\n")
    (folder / "status.json").write_text(json.dumps({"state": state, **status}))
    return folder


@torch.no_grad()
def logits(model: Any) -> Tensor:
    assert not model.training
    found: Tensor = model(input_ids=IDS).logits
    return found


def test_model_folder(base: Path) -> None:
    loaded = tunesmith.load(base)
    model, tokenizer, family = loaded
    assert (model, tokenizer, family) == (loaded.model, loaded.tokenizer, loaded.family)
    assert family.model_type == "minicpm" and not model.training
    assert torch.equal(logits(model), logits(AutoModelForCausalLM.from_pretrained(base)))
    assert torch.equal(logits(tunesmith.load_model(base)), logits(model))


def test_tokenizer_gives_the_ids_of_training(base: Path) -> None:
    tokenizer, mine = load(base).tokenizer, TextTokenizer.load(base)
    for text in TEXTS:
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == mine.encode(text)
        assert tokenizer(text)["input_ids"] == [mine.bos_id, *mine.encode(text)]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (mine.bos_id, mine.eos_id)
    assert tokenizer.pad_token is None and len(tokenizer) == mine.backend.get_vocab_size()
    again = text_tokenizer(tokenizer)
    assert again.fingerprint == mine.fingerprint and text_tokenizer(again) is again
    turns = [{"role": "user", "content": "你好"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<用户>你好<AI>"


def test_a_chosen_template_holds_for_data_and_transformers_alike(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = load(base, chat_template="human-assistant").tokenizer
    assert "has a chat template of its own; 'human-assistant' is used instead" in caplog.text
    text = tokenizer.apply_chat_template([{"role": "user", "content": "你好"}], tokenize=False)
    assert text == "Human:\n你好\nAssistant:\n"
    assert text_tokenizer(tokenizer).chat_template == tokenizer.chat_template
    with pytest.raises(ConfigError, match="no template 'humans'"):
        load(base, chat_template="humans")


def test_a_model_type_with_a_usual_template_has_it_in_transformers_too(base: Path) -> None:
    settings = json.loads((base / "tokenizer_config.json").read_text())
    settings.pop("chat_template")
    (base / "tokenizer_config.json").write_text(json.dumps(settings))
    turns = [{"role": "user", "content": "你好"}]
    assert load(base).tokenizer.apply_chat_template(turns, tokenize=False) == "<用户>你好<AI>"


def test_no_tokenizer(base: Path) -> None:
    (base / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        load(base)
    assert load_model(base) is not None


def test_dtypes_and_devices(base: Path) -> None:
    assert load_model(base).dtype == torch.float32
    for name, dtype in (("bf16", torch.bfloat16), ("torch.float64", torch.float64), (torch.float16, torch.float16)):
        model = load_model(base, dtype=name, device="cpu")  # type: ignore[arg-type]
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    with pytest.raises(ConfigError, match="Unknown dtype 'int4'"):
        load_model(base, dtype="int4")
    with pytest.raises(MachineError, match="device 'nonsense'"):
        load_model(base, device="nonsense")
    if not torch.cuda.is_available():
        with pytest.raises(MachineError, match="'cuda'"):
            load_model(base, device="cuda")


def test_default_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for name, units in (("get_capabilities", {}), ("get_capabilities", {"avx512_bf16": True})):
        monkeypatch.setattr(torch.cpu, name, lambda units=units: units, raising=False)
        assert default_dtype(cpu, torch.bfloat16) == (torch.bfloat16 if units else torch.float32)
        assert default_dtype(cpu, torch.float16) == torch.float32
        assert default_dtype(cpu, torch.float32) == torch.float32
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert default_dtype(gpu, torch.bfloat16) == (torch.bfloat16 if has else torch.float32)
        assert default_dtype(gpu, torch.float16) == torch.float16


@pytest.mark.parametrize("identity", [True, False])
def test_adapter_folder_knows_its_base(base: Path, make_adapter: MakeAdapter, tmp_path: Path, identity: bool) -> None:
    expected = logits(make_adapter(tmp_path / "adapter", base, identity))
    loaded = load(tmp_path / "adapter")
    assert torch.equal(logits(loaded.model), expected)
    assert torch.equal(logits(load(base, adapter=tmp_path / "adapter").model), expected)
    stored = load_file(tmp_path / "adapter" / WEIGHTS)
    held = dict(loaded.model.named_parameters())
    assert stored and all(torch.equal(held[_held(name)], tensor) for name, tensor in stored.items())
    with pytest.raises(ModelError, match="holds an adapter"):
        load_model(tmp_path / "adapter")


def _held(name: str) -> str:
    return name.replace(".weight", ".default.weight") if "lora_" in name else name


def test_adapter_with_its_own_tokenizer(base: Path, adapter: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, adapter / name)
    (base / "tokenizer.json").unlink()
    assert load(adapter).tokenizer.name_or_path == str(adapter)


def test_run_folders(base: Path, make_adapter: MakeAdapter, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path / "runs" / "one", "interrupted")
    with pytest.raises(ModelError, match=r"no result yet; its state is 'interrupted'\. Run the same training command"):
        load(run)
    expected = logits(make_adapter(run / "adapter", base))
    assert torch.equal(logits(load(run).model), expected)  # the result is there: it was written whole
    assert torch.equal(logits(load(base, adapter=run).model), expected)
    assert not caplog.records
    (run / "status.json").write_text(json.dumps({"state": "failed", "reason": "the logits of row 0 differ"}))
    load(run)
    assert "the logits of row 0 differ" in caplog.text
    full = make_run(tmp_path / "runs" / "two", "finished")
    shutil.copytree(base, full / "model")
    assert torch.equal(logits(load(full).model), logits(load(base).model))
    assert torch.equal(logits(load_model(full)), logits(load_model(base)))


def test_wrong_places_for_an_adapter(base: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="is itself an adapter"):
        load(adapter, adapter=adapter)
    with pytest.raises(AdapterError, match="holds a whole model"):
        load(base, adapter=base)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="neither a model"):
        load(tmp_path / "empty")
    with pytest.raises(ModelError, match="There is no folder"):
        load(tmp_path / "nowhere")


def test_damaged_status(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "running")
    (run / "status.json").write_text("{")
    with pytest.raises(ModelError, match="'unknown'"):
        load(run)
