"""tunesmith chat: one answer, JSON, and conversations through a pipe."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers.utils import logging

from tunesmith import cli
from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import Loaded, load

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


def test_a_chosen_template_is_said_on_stderr_alone(
    tiny_model_folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    chosen = Session(load(tiny_model_folder, device="cpu", chat_template="chatml"), sampling=GREEDY)
    caplog.clear()
    assert cli.main(["chat", str(tiny_model_folder), "--prompt", "你好", "--chat-template", "chatml", *OPTIONS]) == 0
    assert capsys.readouterr().out == chosen.ask("你好") + "\n"
    assert [message.partition(" has ")[2] for message in caplog.messages] == [
        "a chat template of its own; 'chatml' is used instead."
    ]


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
        (["nowhere", "--image", "a cat.png"], "the picture 'a cat.png' does not exist. Mend the path."),
    ],
)
def test_a_mistake_is_one_message(arguments: list[str], wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chat", *arguments]) == 2
    shown = capsys.readouterr()
    assert wanted in shown.err
    assert shown.out == ""


def test_pictures_go_with_the_first_question(
    golden_runs: dict[str, dict[str, Any]],
    vision_loaded: Callable[[str], Loaded],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = vision_loaded("chat_sliced")
    wide, grid = (str(golden_runs[name]["picture"]) for name in ("wide203x88", "grid3x2"))
    command = ["chat", loaded.tokenizer.name_or_path, "--image", wide, *OPTIONS, "--dtype", "float32"]
    session = Session(loaded, sampling=GREEDY)
    first, second = session.ask("What is it?", [wide]), session.ask("And this?", [grid])
    assert cli.main([*command, "--prompt", "What is it?"]) == 0
    assert capsys.readouterr().out == f"{first}\n"
    assert cli.main([*command, "--image", grid, "--prompt", "Which?", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    session.reset()
    assert (facts["images"], facts["answer"]) == ([wide, grid], session.ask("Which?", [wide, grid]))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"What is it?\n/image {grid}\nAnd this?"))
    assert cli.main(command) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{first}\n{second}\n"
    assert "img_203x88_3.png, 203 x 88 pixels" in shown.err
    assert "img_250x170_4.png, 250 x 170 pixels" in shown.err


def test_a_model_without_eyes_refuses_pictures(
    golden_runs: dict[str, dict[str, Any]], tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--prompt", "x"]):
        picture = str(golden_runs["square"]["picture"])
        assert cli.main(["chat", str(tiny_model_folder), "--image", picture, *more, *OPTIONS]) == 2
        assert "(minicpm) reads text only, but 1 image was given" in capsys.readouterr().err
