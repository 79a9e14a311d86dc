"""tunesmith chat: one answer, JSON, and conversations through a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.utils import logging

from tunesmith import cli
from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import Loaded

GREEDY = Sampling(greedy=True, max_new_tokens=8)
OPTIONS = ["--greedy", "--max-new-tokens", "8", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Let the command quieten transformers for one test only."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)
    logging.enable_progress_bar()


def test_one_answer_goes_to_stdout_alone(
    tiny_loaded: Loaded, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["chat", str(tiny_model_folder), "--prompt", "你好", "--system", "Be kind.", *OPTIONS]) == 0
    shown = capsys.readouterr()
    assert shown.out == Session(tiny_loaded, system="Be kind.", sampling=GREEDY).ask("你好") + "\n"
    assert shown.err == "(cut after 8 tokens)\n"


def test_json_describes_one_answer(
    tiny_loaded: Loaded, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who are you?\n"))
    assert cli.main(["chat", str(tiny_model_folder), "--prompt", "-", "--json", *OPTIONS]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("seconds") > 0
    assert facts == {
        "prompt": "Who are you?",
        "answer": Session(tiny_loaded, sampling=GREEDY).ask("Who are you?"),
        "tokens": 8,
        "model": str(tiny_model_folder),
        "stopped": "length",
    }


def test_a_piped_conversation_has_a_history_and_commands(
    tiny_loaded: Loaded, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["你好", "是吗？", "", "/reset", "你好", "/system 你是老师", "你好", "/rest", "/exit", "never"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert cli.main(["chat", str(tiny_model_folder), *OPTIONS]) == 0
    shown = capsys.readouterr()
    plain, teacher = Session(tiny_loaded, sampling=GREEDY), Session(tiny_loaded, system="你是老师", sampling=GREEDY)
    first, second = plain.ask("你好"), plain.ask("是吗？")
    assert shown.out == "".join(f"{answer}\n" for answer in (first, second, first, teacher.ask("你好")))
    assert "There is no command /rest; did you mean '/reset'?" in shown.err
    assert "begun anew with this system text" in shown.err


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["nowhere", "--json"], "--json needs --prompt"),
        (["nowhere", "--temperature", "-1"], "temperature is -1.0, but must be 0 or more."),
        (["nowhere", "--prompt", "x"], "There is no folder 'nowhere'"),
    ],
)
def test_a_mistake_is_one_message(arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chat", *arguments]) == 2
    shown = capsys.readouterr()
    assert wanted in shown.err
    assert shown.out == ""
