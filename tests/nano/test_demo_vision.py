"""The vision demo, shortened to a few pictures and two steps: its report, its sheet, its commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from transformers.utils import logging

from tunesmith import cli, config
from tunesmith.errors import DataError
from tunesmith.nano import demo, demo_vision, stage
from tunesmith.training.settings import TrainConfig


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Let the command quieten transformers for one test only."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)
    logging.enable_progress_bar()


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_vision, "PICTURES", 10)
    monkeypatch.setattr(demo_vision, "ASKED", 6)


@pytest.mark.usefixtures("_few")
def test_the_demo_trains_asks_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "demo"
    assert cli.main(["demo", "--vision", "--output", str(output), "--steps", "2"]) == 0
    report = json.loads((output / stage.REPORT).read_text(encoding="utf-8"))
    shown = capsys.readouterr().out
    assert (report["kind"], report["state"]) == (demo_vision.KIND, "finished")
    assert report["loss_first"] > 0 < report["loss_last"]
    assert 0 <= report["match_before"] <= 1 >= report["match_after"] >= 0
    assert len(report["rows"]) == report["questions"] == 6
    assert set(report["rows"][0]) == {"question", "expected", "before", "after", "image"}
    assert all(Path(row["image"]).is_file() and "<" not in row["question"] for row in report["rows"])
    assert all(Path(file).is_file() for file in [report["sheet"], report["card"], *report["curves"]])
    assert "data:image/png;base64," in Path(report["card"]).read_text(encoding="utf-8")
    with Image.open(report["sheet"]) as page:
        assert page.width == 1200
    assert {"data", "sheet.png", "report.json", "loss.png"} <= set(report["files"])
    for commands in report["commands"].values():
        for command in commands:
            assert command in shown
    program, verb, *overrides = shlex.split(report["commands"]["minicpm-v-2"][1])
    assert (program, verb) == ("tunesmith", "train")
    assert Path(config.read(TrainConfig, None, overrides).data.validation[0]).is_file()

    stage.make_way(output, demo_vision.KIND)  # the same command again begins anew
    assert not (output / "sheet.png").exists()


def test_the_text_demo_keeps_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(demo_vision, "demo_vision", lambda *arguments: asked.append(arguments))
    demo.demo(vision=True)
    demo.demo(tmp_path, 3, vision=True)
    assert asked == [(Path("runs/demo-vision"), None, True), (tmp_path, 3, True)]


@pytest.mark.usefixtures("_few")
def test_the_sample_holds_no_picture_that_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = demo_vision.draw_sample(tmp_path / "one")
    assert sample.train + sample.validation == 10 and len(sample.questions) == len(sample.expected) == 6
    assert all(conversation.messages[-1].role == "user" for conversation in sample.questions)
    again = demo_vision.draw_sample(tmp_path / "two")
    assert again.expected == sample.expected
    monkeypatch.setattr(demo_vision, "OTHER_SEED", demo_vision.SEED)
    with pytest.raises(DataError, match="this held-out picture is also learned from"):
        demo_vision.draw_sample(tmp_path / "three")


def test_the_shipped_configuration_is_valid() -> None:
    settings = config.read(TrainConfig, demo_vision.CONFIG)
    assert Path(settings.data.train_paths[0]) == Path(settings.output) / "data" / "train.json"
    assert settings.model == "nano-minicpmv"
