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
    many = ["minicpm-2b-full-4cards", "minicpm-2b-full-zero2-offload"]
    names = [
        "minicpm-2b-dpo",
        *many,
        "minicpm-2b-full",
        "minicpm-2b-lora",
        "minicpm-2b-qlora",
        "minicpmv-2-lora",
        "nano-full",
        "nano-lora",
    ]
    assert [file.stem for file in FILES] == [*names, "transnormer-1b-official", "transnormer-7b-lora"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_is_valid(file: Path) -> None:
    settings = config.read(TrainConfig, file)
    assert settings.output == f"runs/{file.stem}"
    assert settings.tuning.method == {"official": "full", "4cards": "full", "offload": "full", "dpo": "full"}.get(
        named := file.stem.rsplit("-", 1)[-1], named
    )
    assert all((ROOT / path).is_file() for path in settings.data.train + settings.data.validation)
    assert settings.model in BUNDLED or settings.model.startswith(("openbmb/", "OpenNLPLab/"))


def test_nano_lora_is_the_demo() -> None:
    shown = config.read(TrainConfig, ROOT / "configs" / "nano-lora.yaml", ["output=x"])
    assert shown == config.read(TrainConfig, CONFIG, ["output=x"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_says_how_it_is_run(file: Path) -> None:
    text = file.read_text("utf-8")
    assert f"tunesmith train configs/{file.name}\n" in text
    assert f"tunesmith chat runs/{file.stem}\n" in text


SMALL = {
    "minicpm-2b-dpo": ["model=nano-minicpm", "data.max_length=128"],
    "minicpm-2b-full-4cards": ["model=nano-minicpm", "distributed.processes=1", "training.device=cpu"],
    "minicpm-2b-full-zero2-offload": ["model=nano-minicpm", "distributed.processes=1", "training.device=cpu"],
    "minicpm-2b-qlora": ["model=nano-minicpm"],
    "nano-full": [],
    "nano-lora": [],
    "transnormer-1b-official": ["model=nano-transnormer", "data.max_length=256"],
    "transnormer-7b-lora": ["model=nano-transnormer", "data.max_length=256"],
}
"""What makes a configuration small enough to be run here."""


@pytest.mark.parametrize("name", SMALL)
def test_runs_two_steps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the paths in the file are relative to the project
    changes = [*SMALL[name], f"output={tmp_path / 'run'}", "training.steps=2", "training.verify=false"]
    result = train(ROOT / "configs" / f"{name}.yaml", changes)
    assert (result.state, result.step) == ("finished", 2)
