"""The demo, shortened to two steps: its report, its commands, and folders that it must not touch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.utils import logging

from tunesmith import cli, config
from tunesmith.nano import DATA, demo, stage
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
    assert report["commands"]["chat"] == [f"tunesmith chat {output}"]
    for commands in report["commands"].values():
        for command in commands:
            assert command in shown
    check_train_command(report["commands"]["minicpm-2b"][1])

    (output / "mine.txt").write_text("notes")  # the user's own file in the demo's folder
    assert cli.main(["demo", "--output", str(output), "--steps", "2"]) == 2
    assert "holds an earlier demo and something else (mine.txt)" in capsys.readouterr().err
    assert (output / "mine.txt").is_file()


def check_train_command(command: str) -> None:
    """Check the settings of a printed `tunesmith train` command."""
    program, verb, *overrides = shlex.split(command)
    assert (program, verb) == ("tunesmith", "train")
    assert config.read(TrainConfig, None, overrides).data.train[0].endswith("train.json")


def test_the_shipped_configuration_is_valid_where_it_lies() -> None:
    settings = config.read(TrainConfig, demo.CONFIG)
    root = DATA.parents[3]
    assert all((root / file).is_file() for file in [*settings.data.train, *settings.data.validation])


def test_the_sample_holds_no_question_that_is_learned_from() -> None:
    sample = demo.read_sample()
    assert len(sample.questions) == len(sample.expected) >= SHOWN
    assert all(conversation.messages[-1].role == "user" for conversation in sample.questions)
