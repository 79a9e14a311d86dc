"""tunesmith train: what the command line accepts, and --check."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tunesmith import cli

GOOD = "model: nano\noutput: runs/x\ndata: {train: a.json}\n"


@pytest.fixture
def good(tmp_path: Path) -> str:
    """A configuration file without faults."""
    (tmp_path / "good.yaml").write_text(GOOD)
    return str(tmp_path / "good.yaml")


def test_check_prints_all_settings_and_trains_nothing(
    good: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", good, "training.learning_rate=1e-4", "tuning.rank=4", "--check"]) == 0
    shown = capsys.readouterr()
    settings = yaml.safe_load(shown.out)
    assert settings["training"]["learning_rate"] == 1e-4
    assert settings["tuning"]["rank"] == 4
    assert settings["data"]["train"] == ["a.json"]
    assert shown.err == "The settings are valid.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["good.yaml"]
    (tmp_path / "again.yaml").write_text(shown.out)
    assert cli.main(["train", "again.yaml", "--check"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == settings


def test_settings_are_enough_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--check", "model=nano", "output=x", "data.train=a=b.json"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["train"] == ["a=b.json"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], "Nothing to train: give a configuration file"),
        (["--learning-rate", "3"], "Settings are given without dashes: training.learning_rate=..."),
        (["--per_device_train_batch_size=3"], "given without dashes: training.per_device_train_batch_size=..."),
        (["--chekc"], "There is no option '--chekc'; did you mean '--check'?"),
        (["--zzz"], "Settings are given as key=value"),
        (["a.yaml", "b.yaml"], "Give one configuration file, not 2 (a.yaml, b.yaml)."),
        (["model=x"], "2 faults in the configuration:\noutput is missing"),
        (["nowhere.yaml"], "There is no configuration file 'nowhere.yaml'"),
    ],
)
def test_mistakes_are_told(arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *arguments]) == 2
    shown = capsys.readouterr()
    assert wanted in shown.err
    assert shown.out == ""


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lr=1.yaml").write_text(GOOD)
    assert cli.main(["train", str(tmp_path / "lr=1.yaml"), "--check"]) == 0


def test_the_rank_that_deepspeed_adds_is_no_mistake(
    good: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["--local_rank=1", "train", good, "--check"]) == 2
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert cli.main(["--local_rank=1", "train", good, "--check"]) == 0
