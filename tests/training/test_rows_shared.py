"""Runs whose rows share tokens: the same losses and weights, what is said, resuming, and when it is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from tunesmith.errors import ConfigError
from tunesmith.training.run import train

SYSTEM = "answer in one word and say nothing else at all, whatever is asked of you. "


@pytest.fixture(scope="module")
def config(tiny_config: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Twelve records: one instruction, four texts behind it, three questions to each."""
    records = [
        [
            {"role": "user", "content": f"{SYSTEM}{text} {asked}?"},
            {"role": "assistant", "content": answer},
        ]
        for text in ("the box is red and dry.", "two say that it rains.", "天气很好，你好。", "nobody was there today.")
        for asked, answer in (("what is red", "ok"), ("who says it", "dry two"), ("is it dry", "red"))
    ]
    file = tmp_path_factory.mktemp("shared") / "rows.json"
    file.write_text(json.dumps([{"messages": one} for one in records]), encoding="utf-8")
    return {**tiny_config, "data": {"train": str(file), "max_length": 160}}


def run_of(config: dict[str, Any], output: Path, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    tuning = {**config["tuning"], **more.pop("tuning", {})}
    training = {**config["training"], **more.pop("training", {})}
    return {**config, **more, "output": str(output), "tuning": tuning, "training": training,
            "data": {**config["data"], **data}}  # fmt: skip


def losses(run: Path, name: str = "loss") -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


def weights(run: Path) -> dict[str, Any]:
    return load_file(run / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("packing", [False, True])
def test_one_step_of_all_rows_is_the_same(config: dict, packing: bool, tmp_path: Path, capfd: Any) -> None:
    """All rows in each step, so that their order does not matter: the same losses, evaluation and weights."""
    data = {"packing": True, "pack_length": 480} if packing else {}
    step = {"steps": 3, "learning_rate": 1e-3, "eval_steps": 3, "batch_size": 4 if packing else 12, "save_steps": 9}
    for name, share in (("plain", False), ("shared", "auto")):
        more = {"share_prefixes": share, "validation": config["data"]["train"], **data}
        train(run_of(config, tmp_path / name, more, training=step))
    said = capfd.readouterr().err
    assert said.count("Shared prefixes: rows that begin alike meet") == 1 and "of the tokens are not computed" in said
    for name in ("loss", "eval_loss"):
        assert losses(tmp_path / "shared", name) == pytest.approx(losses(tmp_path / "plain", name), rel=1e-5)
    one, two = weights(tmp_path / "plain"), weights(tmp_path / "shared")
    assert all(np.allclose(one[name], two[name], atol=1e-5) for name in one)


@pytest.mark.parametrize(
    ("tuning", "data"), [({"dropout": 0.2}, {"share_prefixes": True}), ({}, {"packing": True, "pack_length": 320})]
)
def test_a_stopped_run_ends_with_the_same_bits(
    config: dict, tuning: dict, data: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    from tunesmith.training import trainer

    step = {"steps": 6, "save_steps": 2, "batch_size": 2, "gradient_accumulation_steps": 2}
    train(run_of(config, tmp_path / "whole", data, tuning=tuning, training=step))
    real, calls = trainer.save_file, []

    def fail(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_file", fail)
        with pytest.raises(Exception, match="No space left"):
            train(run_of(config, tmp_path / "stopped", data, tuning=tuning, training=step))
    train(run_of(config, tmp_path / "stopped", data, tuning=tuning, training=step))
    said = capfd.readouterr().err
    assert "Resuming from step 2." in said and said.count("Shared prefixes: rows that begin alike meet") == 3
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"tuning": {"dropout": 0.1}}, "that is left, as with dropout they would share what is drawn"),
        ({"training": {"batch_size": 1}}, None),
        ({"training": {"attention": "eager"}}, "not with this model (its attention (eager) cannot be replaced)"),
        ({"data": {"train": "sample"}}, "that is left, as it begins to pay at 20%"),
    ],
    ids=["dropout", "alone", "eager", "little"],
)
def test_when_it_is_left(config: dict, more: dict, wanted: str | None, tmp_path: Path, capfd: Any) -> None:
    data = {}
    if "data" in more:  # one pair of rows that begin alike among others
        records = json.loads(Path(config["data"]["train"]).read_text(encoding="utf-8"))[:5]
        for number, record in enumerate(records[2:]):
            record["messages"][0]["content"] = f"{number} " + "red two dry ok 你好 "[number:] * 12
        file = tmp_path / "rows.json"
        file.write_text(json.dumps(records), encoding="utf-8")
        data = {"train": str(file)}
    rest = {name: value for name, value in more.items() if name != "data"}
    step = {"steps": 1, "save_steps": 9, **rest.pop("training", {})}
    train(run_of(config, tmp_path / "run", data, training=step, **rest))
    said = capfd.readouterr().err
    assert "meet" not in said and "Batches: " in said
    assert wanted in said if wanted else "Shared prefixes" not in said


def test_what_it_does_not_go_with(config: dict, tmp_path: Path, capfd: Any) -> None:
    asked = {"share_prefixes": True}
    with pytest.raises(ConfigError, match="sorts all rows, which a stream cannot"):
        train(run_of(config, tmp_path / "stream", {**asked, "streaming": True}))
    records = [{"prompt": "red or two?", "completion": answer, "label": answer == "two"} for answer in ("red", "two")]
    file = tmp_path / "judged.json"
    file.write_text(json.dumps(records * 2), encoding="utf-8")
    data = {**asked, "train": str(file), "format": "preference"}
    train(run_of(config, tmp_path / "kto", data, objective="kto", training={"steps": 1, "save_steps": 9}))
    assert "Shared prefixes: not in this run (kto computes the second answer" in capfd.readouterr().err


def test_pairs_share_their_prompt(config: dict, tmp_path: Path, capfd: Any) -> None:
    records = [
        {"prompt": f"{SYSTEM}{number}", "chosen": f"{number} ok", "rejected": f"{number} 你好"} for number in range(8)
    ]
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps(records), encoding="utf-8")
    step = {"steps": 2, "save_steps": 9, "batch_size": 8}
    for name, share in (("plain", False), ("shared", "auto")):
        data = {"train": str(file), "share_prefixes": share}
        train(run_of(config, tmp_path / name, data, objective="dpo", training=step))
    assert capfd.readouterr().err.count("Shared prefixes: rows that begin alike meet") == 1
    assert losses(tmp_path / "shared") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)


def test_questions_about_one_picture(config: dict, tmp_path: Path, capfd: Any) -> None:
    """Also one record that shows a picture twice: the recorded rows are loaded again by a clean process."""
    for name in ("a", "b"):
        Image.effect_noise((60, 40), 90).convert("RGB").save(tmp_path / f"{name}.png")
    records = [
        {"image": f"{name}.png", "conversations": [{"role": "user", "content": f"<image>\nWhat is {asked}?"},
                                                   {"role": "assistant", "content": asked[::-1]}]}
        for name in ("a", "b") for asked in ("here", "there", "on the left")
    ]  # fmt: skip
    twice = [{"role": "user", "content": "<image_00> <image_01>?"}, {"role": "assistant", "content": "same"}]
    records.insert(0, {"image": {"<image_00>": "a.png", "<image_01>": "a.png"}, "conversations": twice})
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(records), encoding="utf-8")
    step = {"steps": 2, "save_steps": 9, "batch_size": 7, "verify": True}
    for name, share in (("plain", False), ("shared", "auto")):
        data = {"train": str(file), "share_prefixes": share, "max_length": 512}
        train(run_of(config, tmp_path / name, data, model="nano-minicpmv", training=step))
    said = capfd.readouterr().err
    assert said.count("Shared prefixes: rows that begin alike meet") == 1 and said.count("Round trip: ") == 2
    assert losses(tmp_path / "shared") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)
