"""Whole runs on the sample preferences: they learn, resume to the same weights, evaluate, and pass the round trip."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tunesmith.errors import ConfigError, DataError
from tunesmith.nano import DATA
from tunesmith.training.run import train

ROWS = DATA / "preference.json"


def settings(output: Path, objective: Any, **training: Any) -> dict[str, Any]:
    return {
        "model": "nano-minicpm", "output": str(output), "objective": objective,
        "data": {"train": str(ROWS), "validation_share": 0.2, "max_length": 128},
        "tuning": {"method": "lora", "rank": 8},
        "training": {
            "steps": 20, "batch_size": 8, "learning_rate": 2e-3, "report_to": [], "verify": False, "eval_steps": 10,
            "result": "last", **training,
        },
    }  # fmt: skip


def metrics(run: Path, key: str) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[key] for line in lines if key in line]


def test_dpo_raises_margin_and_accuracy_and_passes_the_round_trip(tmp_path: Path, capfd: Any) -> None:
    result = train(settings(tmp_path / "run", {"method": "dpo", "beta": 0.1}, verify=True))
    assert result.state == "finished" and json.loads((tmp_path / "run" / "status.json").read_text())["verified"]
    loss, margin = metrics(result.folder, "eval_loss"), metrics(result.folder, "eval_reward_margin")
    assert loss[0] == pytest.approx(0.6931, abs=1e-3) and loss[-1] < 0.6
    assert margin[0] == pytest.approx(0, abs=1e-4) and margin[-1] > 0.5
    assert metrics(result.folder, "eval_reward_accuracy")[-1] >= 0.7
    assert sum(metrics(result.folder, "reward_accuracy")[-5:]) / 5 > 0.85
    for name in ("chosen", "rejected"):
        assert len(metrics(result.folder, f"reward_{name}")) == 20
    said = capfd.readouterr().err
    assert "answers to compare" in said and "margin " in said and "% " in said.replace("\n", " ")


@pytest.mark.parametrize("objective", ["kto", "orpo", {"method": "dpo", "loss": "ipo"}], ids=["kto", "orpo", "ipo"])
def test_others_lower_their_loss(objective: Any, tmp_path: Path) -> None:
    result = train(settings(tmp_path / "run", objective))
    loss, margin = metrics(result.folder, "eval_loss"), metrics(result.folder, "eval_reward_margin")
    assert loss[-1] < 0.9 * loss[0] and margin[-1] > margin[0]
    assert (result.folder / "reference.safetensors").is_file() == (objective != "orpo")


@pytest.fixture
def tiny(tiny_config: dict, tmp_path: Path) -> dict[str, Any]:
    records = [{"prompt": f"say {n}", "chosen": f"good {n}", "rejected": "bad " * (1 + n % 3)} for n in range(16)]
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    return {**tiny_config, "data": {"train": str(tmp_path / "pairs.json"), "max_length": 64}}


def with_training(tiny: dict, output: Path, objective: str, **training: Any) -> dict[str, Any]:
    config = {**tiny, "output": str(output), "objective": objective}
    return {**config, "training": {**tiny["training"], **training}}


@pytest.mark.parametrize(
    ("objective", "tuning"), [("dpo", {"method": "lora", "dropout": 0.1}), ("kto", "full"), ("orpo", "lora")]
)
def test_resumes_to_the_same_weights(objective: str, tuning: Any, tiny: dict, tmp_path: Path) -> None:
    tiny = {**tiny, "tuning": tuning}
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(with_training(tiny, whole, objective))
    shutil.copytree(whole, part)
    folder = "model" if tuning == "full" else "adapter"
    shutil.rmtree(part / folder)
    shutil.rmtree(part / "checkpoints" / "checkpoint-8")
    (part / "status.json").write_text(json.dumps({"state": "running", "step": 1}))
    train(with_training(tiny, part, objective))
    (file,) = (path.name for path in (whole / folder).glob("*.safetensors"))
    expected, found = load_file(whole / folder / file), load_file(part / folder / file)
    assert expected.keys() == found.keys() and all(tensor.equal(found[name]) for name, tensor in expected.items())
    assert metrics(part, "loss") == metrics(whole, "loss")


@pytest.mark.parametrize("packing", [False, True])
def test_accumulation_changes_nothing(packing: bool, tiny: dict, tmp_path: Path) -> None:
    tiny = {**tiny, "data": {**tiny["data"], "packing": packing}}
    found = []
    for accumulation in (1, 2):
        size = (1 if packing else 4) * 2 // accumulation
        config = with_training(
            tiny, tmp_path / str(accumulation), "dpo", steps=4, batch_size=size,
            gradient_accumulation_steps=accumulation, learning_rate=1e-2,
        )  # fmt: skip
        found.append(metrics(train(config).folder, "reward_margin"))
        assert len(found[-1]) == 4
    assert found[0] == pytest.approx(found[1], abs=1e-4) and found[0][-1] > 0


def test_weights_of_sources_and_streams(tiny: dict, tmp_path: Path) -> None:
    data = {**tiny["data"], "streaming": True, "shuffle_window": 16}
    result = train(with_training({**tiny, "data": data}, tmp_path / "stream", "orpo"))
    assert result.state == "finished" and metrics(result.folder, "loss")[-1] < metrics(result.folder, "loss")[0]
    data = {"train": [{"path": tiny["data"]["train"], "weight": 2, "loss_weight": 0.5}], "max_length": 64}
    result = train(with_training({**tiny, "data": data}, tmp_path / "weighed", "dpo"))
    assert metrics(result.folder, "loss")[0] == pytest.approx(0.5 * 0.6931, abs=1e-3)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("data", {"loss_on": "all"}, "data.loss_on cannot be all"),
        ("data", {"streaming": True}, "which a stream cannot give"),
        ("data", {"packing": True, "pack_length": 100}, "at least twice data.max_length"),
        ("training", {"batch_size": 1}, "over a batch"),
    ],
)
def test_what_does_not_go_together(section: str, changes: dict, message: str, tiny: dict, tmp_path: Path) -> None:
    config = with_training(tiny, tmp_path / "run", "kto")
    with pytest.raises(ConfigError, match=message):
        train({**config, section: {**config[section], **changes}})


def test_records_without_two_answers_are_named(tiny: dict, tiny_rows: Path, tmp_path: Path) -> None:
    tiny = {**tiny, "data": {"train": str(tiny_rows), "max_length": 64}}
    with pytest.raises(DataError, match="record 0.*'rejected'.*does not compare two answers.*objective: sft"):
        train(with_training(tiny, tmp_path / "run", "dpo"))
    with pytest.raises(ConfigError, match="dpx.*did you mean 'dpo'"):
        train(with_training(tiny, tmp_path / "run", "dpx"))


def test_sft_on_preferences_says_what_it_leaves(tiny: dict, tmp_path: Path, capfd: Any) -> None:
    train(with_training(tiny, tmp_path / "run", "sft", steps=1))
    assert "only good answers are learned; objective dpo, orpo or kto" in capfd.readouterr().err
