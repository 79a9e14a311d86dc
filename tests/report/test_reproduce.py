"""The first steps once more: equal bit for bit, with the schedule of the whole run; what differs is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith import cli
from tunesmith.errors import ConfigError, DataError
from tunesmith.report.reproduce import reproduce
from tunesmith.runs import ENVIRONMENT, METRICS, read_json, write_json
from tunesmith.training.run import train


def test_the_first_steps_are_equal_bit_for_bit(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    found = reproduce(run, 3)
    assert found.equal and not found.other and not found.around
    assert [then["step"] for then, _ in found.pairs] == [0, 1, 2, 3]  # the validation before the first step, too
    rates = [now["learning_rate"] for _, now in found.pairs[1:]]
    assert 0 < rates[2] < rates[1]  # the cosine of four steps, not of three, which would end at 0
    assert all("grad_norm" in now for _, now in found.pairs[1:])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert cli.main(["reproduce", str(run)]) == 0
    assert "Equal, bit for bit: 4 steps" in capsys.readouterr().out


def test_one_changed_bit_is_found(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    line = next(line for line in lines if line["step"] == 2)
    line["grad_norm"] *= 1 + 2**-40
    (run / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = read_json(run / ENVIRONMENT)
    environment["versions"]["torch"] = "1.0"
    environment["threads"], environment["device"] = 2, "NVIDIA of old"
    write_json(run / ENVIRONMENT, environment)
    threads = torch.get_num_threads()
    assert cli.main(["reproduce", str(run), "--steps", "2"]) == 1
    shown = capsys.readouterr().out
    assert "Not equal: from step 2 on" in shown
    assert "torch was 1.0, now" in shown and "the device: NVIDIA of old then, cpu now" in shown
    assert "threads" not in shown  # they are set as in the run
    assert torch.get_num_threads() == threads


def test_lines_are_logged_every_few_steps(settings: Callable[..., dict[str, Any]]) -> None:
    found = reproduce(train(settings(logging_steps=3)).folder, 1)
    assert found.equal and [then["step"] for then, _ in found.pairs if "loss" in then] == [3]


def test_other_data_and_another_model_are_named(
    settings: Callable[..., dict[str, Any]], rows: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(settings(steps=1)).folder
    environment = read_json(run / ENVIRONMENT)
    write_json(run / ENVIRONMENT, {**environment, "model": "0" * 64})
    file = rows("rows.json", *((f"Who? {number}", "Somebody else.") for number in range(9)))
    assert cli.main(["reproduce", str(run)]) == 1
    shown = capsys.readouterr().out
    assert "the base model: its fingerprint was 000000000000, now it is" in shown
    assert f"'{file}' has other content (20 records then, 9 now)" in shown and "Nothing was computed" in shown
    file.unlink()
    with pytest.raises(DataError, match=r"rows\.json"):
        reproduce(run)


def test_what_cannot_be_computed_again_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        reproduce(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"no config\.yaml and no status\.json"):
        reproduce(tmp_path)
    write_json(run / ENVIRONMENT, {**read_json(run / ENVIRONMENT), "ranks": 2})
    with pytest.raises(ConfigError, match="by 2 processes"):
        reproduce(run)
    (run / METRICS).unlink()
    with pytest.raises(ConfigError, match="has logged no step"):
        reproduce(run)
