"""Every shipped YAML is valid, names files that exist, and those for the nano model run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith import config
from tunesmith.locate import BUNDLED
from tunesmith.nano.demo import CONFIG
from tunesmith.training.run import train
from tunesmith.training.settings import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "configs").glob("*.yaml"))


def test_there_are_configs() -> None:
    names = ["minicpm-2b-full", "minicpm-2b-lora", "minicpmv-2-lora", "nano-full", "nano-lora"]
    assert [file.stem for file in FILES] == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_is_valid(file: Path) -> None:
    settings = config.read(TrainConfig, file)
    assert settings.output == f"runs/{file.stem}"
    assert settings.tuning.method == file.stem.rsplit("-", 1)[-1]
    assert all((ROOT / path).is_file() for path in settings.data.train + settings.data.validation)
    assert settings.model in BUNDLED or settings.model.startswith("openbmb/")


def test_nano_lora_is_the_demo() -> None:
    shown = config.read(TrainConfig, ROOT / "configs" / "nano-lora.yaml", ["output=x"])
    assert shown == config.read(TrainConfig, CONFIG, ["output=x"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_says_how_it_is_run(file: Path) -> None:
    text = file.read_text("utf-8")
    assert f"tunesmith train configs/{file.name}\n" in text
    assert f"tunesmith chat runs/{file.stem}\n" in text


@pytest.mark.parametrize("file", [file for file in FILES if file.stem.startswith("nano")], ids=lambda file: file.stem)
def test_runs_two_steps(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the paths in the file are relative to the project
    result = train(file, [f"output={tmp_path / 'run'}", "training.steps=2", "training.verify=false"])
    assert (result.state, result.step) == ("finished", 2)
