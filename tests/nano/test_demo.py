"""The demo, shortened to two steps: its report, its commands, and folders that it must not touch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.utils import logging

from tunesmith import cli, config
from tunesmith.nano import DATA, demo, demo_vision, stage
from tunesmith.nano.before_after import SHOWN
from tunesmith.training.settings import TrainConfig


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Let the command quieten transformers for one test only."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)
    logging.enable_progress_bar()


def test_the_demo_trains_asks_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "demo"
    assert cli.main(["demo", "--output", str(output), "--steps", "2"]) == 0
    report = json.loads((output / stage.REPORT).read_text(encoding="utf-8"))
    shown = capsys.readouterr().out
    assert report["state"] == "finished"
    assert report["loss_first"] > 0 < report["loss_last"]
    assert 0 <= report["match_before"] <= 1 >= report["match_after"] >= 0
    assert len(report["rows"]) == report["questions"] == len(demo.read_sample().questions)
    assert set(report["rows"][0]) == {"question", "expected", "before", "after"}
    assert all(Path(curve).is_file() for curve in report["curves"])
    assert report["card"] == str(output / "report.html") and f": {report['card']}\n" in shown
    assert "24 short general questions" in (output / "report.html").read_text(encoding="utf-8")
    assert report["commands"]["chat"] == [f"tunesmith chat {output}"]
    for commands in report["commands"].values():
        for command in commands:
            assert command in shown
    check_train_command(report["commands"]["large"][1])

    assert cli.main(["reproduce", str(output)]) == 0
    assert "Equal, bit for bit: 2 steps" in capsys.readouterr().out
    (output / "mine.txt").write_text("notes")  # the user's own file in the demo's folder
    assert cli.main(["demo", "--output", str(output), "--steps", "2"]) == 2
    assert "holds an earlier demo and something else (mine.txt)" in capsys.readouterr().err
    assert (output / "mine.txt").is_file()


def test_the_transnormer_has_a_demo_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "demo"
    assert cli.main(["demo", "--family", "transnormer", "--no-report", "--output", str(output), "--steps", "2"]) == 0
    report = json.loads((output / stage.REPORT).read_text(encoding="utf-8"))
    assert report["card"] is None and not (output / "report.html").exists()
    assert (report["kind"], report["state"]) == ("tunesmith demo --family transnormer", "finished")
    assert config.read(TrainConfig, output / "config.yaml").model == "nano-transnormer"
    assert report["commands"]["large"][0] in capsys.readouterr().out
    assert "OpenNLPLab/TransNormerLLM-1B" in report["commands"]["large"][0]
    check_train_command(report["commands"]["large"][1])
    assert cli.main(["demo", "--output", str(output), "--steps", "2"]) == 2  # another demo's folder
    assert "is not an earlier demo" in capsys.readouterr().err


def test_families_are_told_apart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[object] = []
    monkeypatch.setattr(demo_vision, "demo_vision", lambda *arguments: asked.append(arguments))
    assert cli.main(["demo", "--family", "minicpmv", "--steps", "1"]) == 0
    assert cli.main(["demo", "--family", "minicpmv", "--vision"]) == 0
    assert asked == [(Path("runs/demo-vision"), 1, True), (Path("runs/demo-vision"), None, True)]
    assert cli.main(["demo", "--vision", "--family", "transnormer"]) == 2
    assert "--vision means --family minicpmv" in capsys.readouterr().err
    assert cli.main(["demo", "--family", "llama"]) == 2
    assert len({play.kind for play in demo.PLAYS.values()}) == len({play.output for play in demo.PLAYS.values()}) == 2


def check_train_command(command: str) -> None:
    """Check the settings of a printed `tunesmith train` command."""
    program, verb, *overrides = shlex.split(command)
    assert (program, verb) == ("tunesmith", "train")
    assert config.read(TrainConfig, None, overrides).data.train[0].endswith("train.json")


@pytest.mark.parametrize("family", demo.PLAYS)
def test_the_shipped_configuration_is_valid_where_it_lies(family: demo.Family) -> None:
    play = demo.PLAYS[family]
    settings = config.read(TrainConfig, play.config)
    assert (settings.model, Path(settings.output)) == (f"nano-{family.value}", play.output)
    root = DATA.parents[3]
    assert all((root / file).is_file() for file in [*settings.data.train, *settings.data.validation])


def test_the_sample_holds_no_question_that_is_learned_from() -> None:
    sample = demo.read_sample()
    assert len(sample.questions) == len(sample.expected) >= SHOWN
    assert all(conversation.messages[-1].role == "user" for conversation in sample.questions)
