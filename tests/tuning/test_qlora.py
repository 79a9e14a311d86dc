"""QLoRA: it learns, the base does not change, and the adapter is a plain one that says how its base was held."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.errors import AdapterError, ConfigError
from tunesmith.models.load import load
from tunesmith.models.quantise import is_quantised
from tunesmith.training import verify
from tunesmith.training.run import train
from tunesmith.tuning import qlora

WORDS = ("red", "two", "你好", "dry")
IDS = torch.arange(3, 35).view(2, 16)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Eight rows for nano-minicpm, without `output` and without the round trip."""
    file = tmp_path_factory.mktemp("rows") / "train.json"
    turns = [({"role": "user", "content": f"say {w}"}, {"role": "assistant", "content": f"{w} ok"}) for w in WORDS * 2]
    file.write_text(json.dumps([{"messages": turn} for turn in turns], ensure_ascii=False), encoding="utf-8")
    training = {"steps": 24, "save_steps": 6, "keep_checkpoints": 9, "batch_size": 4, "learning_rate": 1e-3}
    return {
        "model": "nano-minicpm",
        "data": {"train": str(file), "max_length": 64},
        "tuning": {"method": "qlora", "rank": 4, "dropout": 0.1},
        "training": {**training, "report_to": [], "verify": False, "device": "cpu"},
    }


@pytest.fixture(scope="module")
def run(config: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, verified by a clean process."""
    folder = tmp_path_factory.mktemp("run") / "run"
    train({**config, "training": {**config["training"], "verify": True}, "output": str(folder)})
    return folder


def losses(run: Path) -> list[float]:
    """The logged losses."""
    return [line["loss"] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())]


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The tensors of the adapter."""
    return load_file(run / "adapter" / "adapter_model.safetensors")


def logits(model: Any) -> torch.Tensor:
    """What the model computes for a few tokens."""
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_it_learns_and_is_verified(run: Path) -> None:
    seen = losses(run)
    assert len(seen) == 24 and sum(seen[-4:]) < 0.5 * sum(seen[:4])
    status = json.loads((run / "status.json").read_text())
    assert status["verified"] is True and status["max_logit_difference"] == 0  # the same quantisation, the same bits


def test_checkpoints_hold_only_what_learns(run: Path) -> None:
    kept = load_file(run / "checkpoints" / "checkpoint-24" / "weights.safetensors")
    assert kept and all(".lora_" in name and tensor.dtype == torch.float32 for name, tensor in kept.items())


def test_loaded_as_trained_and_on_the_stored_base(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        trained = load(run, dtype=torch.float32, device="cpu").model
    assert "held in nf4 with double quantisation, as the adapter was trained" in caplog.text
    stored = load(run, dtype=torch.float32, device="cpu", base="stored").model
    assert any(map(is_quantised, trained.modules())) and not any(map(is_quantised, stored.modules()))
    drift = (logits(stored) - logits(trained)).abs().mean() / logits(trained).abs().mean()
    assert 0 < drift < 0.3
    assert verify.unquantised_difference(run) > 0
    names = [name for name, _ in stored.named_parameters() if ".lora_" in name]
    assert names and all(stored.get_parameter(name).equal(trained.get_parameter(name)) for name in names)


def test_merged_into_the_rounded_base(run: Path) -> None:
    """Merging keeps full precision: what is merged computes what was trained."""
    trained = load(run, dtype=torch.float32, device="cpu").model
    merged = load(run, dtype=torch.float32, device="cpu", base="rounded").model.merge_and_unload()
    assert not any(map(is_quantised, merged.modules()))
    assert {parameter.dtype for parameter in merged.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(merged), logits(trained), atol=1e-3, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT 0.21 on transformers 5.23
def test_plain_peft_loads_the_adapter(run: Path) -> None:
    from peft import PeftModel

    ours = load(run, dtype=torch.float32, device="cpu", base="stored").model
    base = load("nano-minicpm", dtype=torch.float32, device="cpu").model
    theirs = PeftModel.from_pretrained(base, str(run / "adapter")).eval()
    assert logits(theirs).equal(logits(ours))


@pytest.mark.parametrize("other", [{"gradient_checkpointing": True}, {}], ids=["checkpointing", "plainly"])
def test_another_run_is_the_same(other: dict, run: Path, config: dict, tmp_path: Path) -> None:
    train({**config, "training": {**config["training"], **other}, "output": str(tmp_path / "run")})
    one, two = weights(run), weights(tmp_path / "run")
    assert all(one[name].equal(tensor) for name, tensor in two.items()) and one.keys() == two.keys()


def test_resumed_run_ends_with_the_same_bits(run: Path, config: dict, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "adapter")
    for step in (18, 24):
        shutil.rmtree(copy / "checkpoints" / f"checkpoint-{step}")
    (copy / "status.json").write_text(json.dumps({"state": "running", "step": 13}))
    assert train({**config, "output": str(copy)}).state == "finished"
    assert losses(copy) == losses(run)
    assert all(weights(copy)[name].equal(tensor) for name, tensor in weights(run).items())


def adapted(folder: str | Path, **options: object) -> tuple[Any, Any]:
    """A model on a base held as `options` say, with adapters, and its family."""
    settings = qlora.Config.model_validate(options)
    loaded = load(folder, dtype=torch.float32, device="cpu", base=qlora.quantisation(settings))
    return qlora.apply(loaded.model, loaded.family, settings), loaded.family


@pytest.mark.parametrize("quant", ["nf4", "fp4", "int8"])
def test_the_base_does_not_change(quant: str, tiny_model_folder: Path) -> None:
    model, _ = adapted(tiny_model_folder, quant=quant, rank=4)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    assert {p.dtype for p in learning} == {torch.float32}
    optimizer = torch.optim.AdamW(learning, lr=1e-2)
    seen = []
    for _ in range(8):
        loss = model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(loss.item())
    assert seen[-1] < 0.9 * seen[0]
    after = dict(model.named_parameters())
    packed = {tensor.dtype for tensor in frozen.values()}
    assert packed == {torch.float32, torch.int8 if quant == "int8" else torch.uint8}
    assert all(after[name].equal(before) for name, before in frozen.items())


def test_of_a_model_that_sees(seeing_folder: Path, golden_batch: Any) -> None:
    """The language model is quantised and adapted; the resampler learns in full, whole."""
    model, family = adapted(seeing_folder, resampler="full", rank=2)
    parts = {
        name.removeprefix("base_model.model.").partition(".")[0]
        for name, module in model.named_modules()
        if is_quantised(module)
    }
    assert parts == {"llm"} and family.parts["language"] == "llm"
    model.train()
    inner = model.get_base_model()
    inner(**golden_batch.inputs).logits.float().pow(2).mean().backward()
    learning = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert any("resampler" in name for name in learning) and any(".lora_A." in name for name in learning)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in learning.values())


def test_pissa_needs_the_full_weights(tiny_model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"tuning: .*PiSSA"):
        adapted(tiny_model_folder, init="pissa")


def test_the_language_model_cannot_learn_in_full() -> None:
    with pytest.raises(ValueError, match="language"):
        qlora.Config.model_validate({"language": "full"})


def test_which_parts_are_quantised() -> None:
    assert qlora.quantisation(qlora.Config()).parts == ("language",)
    assert qlora.quantisation(qlora.Config(vision="lora", quant="fp4")).parts == ("language", "vision")


def test_a_damaged_account_of_the_base(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(run / "adapter", copy)
    account = json.loads((copy / "tunesmith.json").read_text())
    (copy / "tunesmith.json").write_text(json.dumps({**account, "quantisation": {"kind": "nf3"}}))
    with pytest.raises(AdapterError, match=r"tunesmith\.json: quantisation: .*Correct the file"):
        load(copy, device="cpu")
