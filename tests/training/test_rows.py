"""From data settings to batches: what is said, packed, streamed and weighed, and that none of it changes what is learned."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from tunesmith.data.order import EpochOrder
from tunesmith.errors import ConfigError, DataError
from tunesmith.training.rows import padding_share
from tunesmith.training.run import train


def run_of(config: dict[str, Any], output: Path, data: dict[str, Any], **training: Any) -> dict[str, Any]:
    """The tiny configuration with other data settings."""
    return {
        **config,
        "output": str(output),
        "data": {**config["data"], **data},
        "training": {**config["training"], **training},
    }


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_what_is_left_out_and_cut_is_said(tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(Path(tiny_config["data"]["train"]).read_text(encoding="utf-8"))
    rows[3]["messages"][1]["content"] = ""
    rows[5]["messages"][1]["content"] = "on and on " * 40
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    data = {**tiny_config["data"], "train": str(file)}
    config = {**tiny_config, "data": data, "output": str(tmp_path / "run")}
    with pytest.raises(Exception, match=r"rows.json, record 3.*messages\[1\].content"):
        train(config)
    train({**config, "data": {**data, "on_bad": "skip"}, "output": str(tmp_path / "other")})
    said = capfd.readouterr().err
    assert "15 records" in said and "left out (data.on_bad=skip)" in said and "record 3" in said
    assert "1 rows are longer than data.max_length" in said
    noted = json.loads((tmp_path / "other" / "data.json").read_text())
    assert noted["files"][0]["bad"][0]["field"] == "messages[1].content" and noted["cut_rows"] == 1


def test_packed_rows_give_the_loss_of_the_same_rows_unpacked(
    tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """All rows in one step, packed or not: the same sum over the same labels, so the same weights."""
    whole = run_of(tiny_config, tmp_path / "whole", {}, batch_size=16, steps=3, learning_rate=1e-2)
    packed = run_of(
        tiny_config,
        tmp_path / "packed",
        {"packing": True, "pack_length": 128},
        batch_size=4,
        steps=3,
        learning_rate=1e-2,
    )
    train(whole)
    train(packed)
    said = capfd.readouterr().err
    assert "Packing: 16 rows in 3 packs of at most 128 tokens; padding" in said
    assert losses(tmp_path / "packed") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)
    one, two = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "packed"))
    assert all(np.allclose(one[name], two[name], atol=2e-4) for name in one)


def test_streamed_rows_and_resuming_in_the_middle(
    tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.training import trainer

    data = {"streaming": True, "shuffle_window": 6, "packing": True}
    train(run_of(tiny_config, tmp_path / "whole", data))
    assert "Streaming: 6 rows are held" in capfd.readouterr().err
    assert json.loads((tmp_path / "whole" / "data.json").read_text())["files"][0]["kept"] == 16
    real, calls = trainer.save_file, []

    def fail(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    config = run_of(tiny_config, tmp_path / "stopped", data)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_file", fail)
        with pytest.raises(Exception, match="No space left"):
            train(config)
    train(config)
    assert "Resuming from step 4." in capfd.readouterr().err
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_batches_of_tokens_and_resuming_in_the_middle(
    tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.training import trainer

    training = {"batch_tokens": 64, "steps": None, "epochs": 2.0, "gradient_accumulation_steps": 2}
    train(run_of(tiny_config, tmp_path / "whole", {}, **training))
    said = capfd.readouterr().err
    found = re.search(r"Batches: 16 rows in (\d+) batches of at most 64 tokens, rows of similar length", said)
    assert found is not None
    steps = -(-int(found[1]) // 2)
    assert steps > 3 and len(losses(tmp_path / "whole")) == 2 * steps
    real, calls = trainer.save_file, []

    def fail(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) > steps // 2 + 1:  # in the second epoch
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    config = run_of(tiny_config, tmp_path / "stopped", {}, **training)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_file", fail)
        with pytest.raises(Exception, match="No space left"):
            train(config)
    train(config)
    assert "Resuming from step" in capfd.readouterr().err
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_batches_of_tokens_of_rows_that_begin_alike(
    tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Shared or not, the rows of an epoch give the same loss."""
    asked = "Here is a long question that all of the records have in common. "
    rows = [
        {"messages": [{"role": "user", "content": f"{asked}{n}"}, {"role": "assistant", "content": f"{n} it is"}]}
        for n in range(8)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    data = {"train": str(tmp_path / "rows.json"), "max_length": 128}
    for shared in (True, False):
        training = {"batch_tokens": 1024, "gradient_accumulation_steps": 8, "steps": 2}
        train(run_of(tiny_config, tmp_path / str(shared), {**data, "share_prefixes": shared}, **training))
    said = capfd.readouterr().err
    assert "in batches of at most 1,024 tokens, shared ones and padding counted for each row," in said
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=1e-5)


def test_a_bad_record_stops_a_stream_or_is_named(tiny_config: dict, tiny_rows: Path, tmp_path: Path) -> None:
    rows = json.loads(tiny_rows.read_text(encoding="utf-8"))
    rows[9]["messages"][1]["content"] = " "
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    data = {"train": str(file), "streaming": True}
    with pytest.raises(DataError, match=r"record 9.*messages\[1\].content"):
        train(run_of(tiny_config, tmp_path / "stop", data))
    train(run_of(tiny_config, tmp_path / "skip", {**data, "on_bad": "skip"}))
    assert json.loads((tmp_path / "skip" / "data.json").read_text())["files"][0]["bad"][0]["index"] == 9


@pytest.mark.parametrize(
    ("data", "training", "wanted"),
    [
        ({"streaming": True}, {"steps": None}, "a stream has no end"),
        ({"streaming": True, "validation_share": 0.5}, {}, "cannot set a share apart"),
        ({"streaming": True, "train": [{"path": "a", "weight": 2}]}, {}, "leave out weight"),
        ({"pack_length": 128}, {}, "needs data.packing=true"),
        ({"packing": True, "pack_length": 32}, {}, "a row would not fit"),
        ({"train": [{"path": "a", "wieght": 2}]}, {}, "weight"),
        ({}, {"batch_tokens": 63}, "a row would not fit"),
        ({"packing": True}, {"batch_tokens": 64}, "does not go with data.packing, which fills packs"),
        ({"streaming": True}, {"batch_tokens": 64}, "does not go with data.streaming"),
        ({"group_by_length": False}, {"batch_tokens": 64}, "does not go with data.group_by_length=false"),
    ],
)
def test_settings_that_do_not_go_together(
    tiny_config: dict, tmp_path: Path, data: dict, training: dict, wanted: str
) -> None:
    with pytest.raises(ConfigError, match=wanted):
        train(run_of(tiny_config, tmp_path / "run", data, **training))


def test_weights_of_sources(
    tiny_config: dict, tiny_rows: Path, other_rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rows whose loss counts nothing change nothing but the count that the sum is divided by."""
    sources = [{"path": str(tiny_rows)}, {"path": str(other_rows), "loss_weight": 0.0}]
    once = {"batch_size": 32, "steps": 2, "learning_rate": 1e-2, "max_grad_norm": 0.0}
    train(run_of(tiny_config, tmp_path / "none", {"train": sources}, **once))
    assert "With the weights" in capfd.readouterr().err
    train(run_of(tiny_config, tmp_path / "twice", {"train": [{"path": str(tiny_rows), "weight": 2}]}, **once))
    assert "With the weights of the sources: 32 rows an epoch." in capfd.readouterr().err
    one, two = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("none", "twice"))
    assert all(np.allclose(one[name], two[name], atol=1e-3) for name in one)  # AdamW does not see the size of a loss


def test_padding_share() -> None:
    lengths = np.array([4, 4, 2, 2, 8], dtype=np.int64)
    order = EpochOrder(lengths, 2, 0, group_by_length=True)
    taken = lengths[order.indexes()]
    padded = sum(max(taken[i : i + 2]) * len(taken[i : i + 2]) for i in range(0, 5, 2))
    assert padding_share(order) == pytest.approx(1 - 20 / padded)


def test_a_model_that_would_mix_the_rows_of_a_pack_gets_batches_of_similar_length(
    tiny_config: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from tunesmith.models.segments import Packing
    from tunesmith.training import rows

    config = run_of(tiny_config, tmp_path / "run", {"packing": True, "group_by_length": False}, steps=1)
    reasons = {
        "it carries a state": "it carries a state",
        Packing("sdpa"): "a full mask costs more",
        Packing("segments", longest=16): "more than 16 tokens",
    }
    for number, (found, wanted) in enumerate(reasons.items()):
        monkeypatch.setattr(rows, "packing_of", lambda model, found=found: found)
        train({**config, "output": str(tmp_path / str(number))})
        said = capfd.readouterr().err
        assert "Packing: not with this model" in said and wanted in said
        assert "Batches: 4 rows of similar length; padding" in said
