"""Published command lines, run to the end on the nano models; only numbers and paths are others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith import config
from tunesmith.compat.finetune import FILE, finetune
from tunesmith.errors import ConfigError, DataError
from tunesmith.models.load import load
from tunesmith.runs import CONFIG
from tunesmith.training.settings import TrainConfig

Command = Callable[..., list[str]]
PICTURES = Path(__file__).parents[1] / "golden" / "minicpmv2" / "pictures"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "RANK"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


@pytest.fixture
def minicpm_lora(command: Command, talks: Path, tmp_path: Path) -> list[str]:
    """The published LoRA command for MiniCPM with two steps, without DeepSpeed."""
    return command(
        "minicpm lora",
        model_name_or_path="nano-minicpm",
        output_dir=tmp_path / "run",
        train_data_path=talks / "train.json",
        eval_data_path=talks / "dev.json",
        max_steps="2",
        deepspeed=None,
    )


def test_minicpm_lora(minicpm_lora: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = finetune(minicpm_lora)
    assert (result.state, result.step, result.result) == ("finished", 2, tmp_path / "run" / "adapter")
    adapter = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert (adapter["r"], adapter["lora_alpha"], sorted(adapter["target_modules"])) == (64, 32, ["q_proj", "v_proj"])
    assert load(tmp_path / "run").family.model_type == "minicpm"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    text = (tmp_path / "run" / FILE).read_text("utf-8")
    assert text in capfd.readouterr().err
    written, resolved = (config.read(TrainConfig, tmp_path / "run" / name) for name in (FILE, CONFIG))
    assert written == resolved
    with pytest.raises(ConfigError, match=r"is already finished.*Here that is --overwrite_output_dir\."):
        finetune([*minicpm_lora, "--seed", "7"])
    assert (tmp_path / "run" / FILE).read_text("utf-8") == text


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("minicpmv lora", {"adapter/trained_parts.safetensors", "adapter/adapter_model.safetensors"}),
        ("minicpmv full", {"model/model.safetensors"}),
    ],
)
def test_minicpmv(name: str, parts: set[str], command: Command, tmp_path: Path) -> None:
    words = command(
        name,
        model_name_or_path="nano-minicpmv",
        data_path=PICTURES / "conversations.json",
        eval_data_path=PICTURES / "conversations.json",
        output_dir=tmp_path / "run",
        nproc_per_node="1",
        max_slice_nums="4",
        max_steps="1",
        deepspeed=None,
    )
    result = finetune(words)
    assert (result.state, result.step) == ("finished", 1)
    files = {str(file.relative_to(tmp_path / "run")) for file in (tmp_path / "run").glob("*/*")}
    assert parts <= files
    settings = config.read(TrainConfig, tmp_path / "run" / CONFIG)
    assert settings.training.precision == ("auto" if name == "minicpmv lora" else "bf16")  # float16 needs a GPU


def test_the_module_takes_the_place_of_the_script(minicpm_lora: list[str], tmp_path: Path) -> None:
    flags = minicpm_lora[minicpm_lora.index("finetune.py") + 1 :]
    begin = [sys.executable, "-m", "tunesmith.compat.finetune", "--local_rank=0"]
    done = subprocess.run([*begin, *flags, "--print-config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "my.yaml").write_text(done.stdout, "utf-8")
    assert config.read(TrainConfig, tmp_path / "my.yaml").training.steps == 2
    assert "# --local_rank: no effect" in done.stdout


def test_only_the_first_process_of_a_launcher_speaks(
    minicpm_lora: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[TrainConfig] = []
    monkeypatch.setattr("tunesmith.training.run.train", seen.append)
    monkeypatch.setenv("RANK", "1")
    finetune(minicpm_lora)
    assert seen[0].training.steps == 2
    assert "finetune.py" not in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there(minicpm_lora: list[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.json"):
        finetune([*minicpm_lora, "--train_data_path", str(tmp_path / "nowhere.json")])
