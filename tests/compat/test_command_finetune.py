"""tunesmith finetune: the settings printed, mistakes as one message, the exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith import cli, config
from tunesmith.compat import command as verb
from tunesmith.training.settings import TrainConfig

Command = Callable[..., list[str]]


@pytest.mark.parametrize("option", ["--print-config", "--dry-run"])
def test_the_settings_are_printed(
    option: str, command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command("minicpm lora", output_dir=tmp_path / "run", deepspeed=None)
    assert cli.main(["finetune", *words, option]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith("# A command for MiniCPM's finetune.py, in the words of `tunesmith train`.\n")
    (tmp_path / "my.yaml").write_text(shown.out, "utf-8")
    assert config.read(TrainConfig, tmp_path / "my.yaml").training.warmup_steps == 100
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--learning_rat", "1"], "error: There is no flag '--learning_rat'; did you mean '--learning_rate'?"),
        (["--learning_rate"], "error: --learning_rate: the value is missing"),
        ([], "error: The training data are missing"),
        (["--script", "minicpm4", "--seed", "1"], "error: --script is 'minicpm4', but must be"),
        (["deepspeed", "--include", "localhost:0", "finetune.py"], "a comment or an empty line between lines"),
    ],
)
def test_a_mistake_is_one_message(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["finetune", *words]) == 2
    shown = capsys.readouterr()
    assert complaint in shown.err
    assert shown.out == ""


def test_the_exit_status_says_how_it_ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []

    def run(words: list[str], script: str | None) -> SimpleNamespace:
        seen.append((words, script))
        return SimpleNamespace(state="interrupted" if "--stop" in words else "finished", step=3, signal=15)

    monkeypatch.setattr(verb, "run", run)
    assert cli.main(["finetune", "--script", "minicpmv", "--max_steps", "-1", "--bf16"]) == 0
    assert cli.main(["finetune", "--stop"]) == 143
    assert seen == [(["--max_steps", "-1", "--bf16"], "minicpmv"), (["--stop"], None)]
    assert "Stopped at step 3. The same command goes on from there." in capsys.readouterr().err
