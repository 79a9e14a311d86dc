"""A conversation at the terminal: keys, commands, errors, and answers that must not steer it."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tunesmith.errors import UserError
from tunesmith.generate.pictures import Attached, attach
from tunesmith.generate.session import Answer
from tunesmith.generate.terminal import COMMANDS, HELP, Terminal, complete

CAT = Path(__file__).parents[1] / "golden" / "minicpmv2" / "pictures" / "img_61x57_1.png"


class FakeSession:
    """Gives the pieces of a script, which may hold an exception, and keeps what it was asked."""

    def __init__(self, script: Sequence[str | BaseException], stopped: str = "stop") -> None:
        self.script, self.stopped = script, stopped
        self.asked: list[str] = []
        self.shown: list[list[str]] = []
        self.system: str | None = None
        self.last: Answer | None = None

    def stream(self, text: str, images: Sequence[str] = ()) -> Iterator[str]:
        """Give the pieces."""
        self.asked.append(text)
        self.shown.append(list(images))
        self.last = Answer("", 3, 0.1, self.stopped)
        for piece in self.script:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def look(self, image: str) -> Attached:
        """Open a picture."""
        return attach(image)

    def reset(self) -> None:
        """Note that it happened."""
        self.asked.append("(reset)")


class Tty(io.StringIO):
    """A keyboard or a screen."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def typed(
    session: FakeSession,
    lines: list[str | type[BaseException]],
    monkeypatch: pytest.MonkeyPatch,
    images: Sequence[str] = (),
) -> str:
    """Type lines (or press keys) at a terminal; return what the screen shows."""
    screen, waiting = Tty(), iter([*lines, EOFError])

    def read(prompt: str = "") -> str:
        line: Any = next(waiting)
        if isinstance(line, str):
            screen.write(f"{prompt}{line}\n")
            return line
        raise line

    monkeypatch.setattr(sys, "stdin", Tty())
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr("builtins.input", read)
    notes = Console(file=screen, force_terminal=True, color_system=None, highlight=False, width=80)
    Terminal(session, notes, images).talk("a model")  # type: ignore[arg-type]
    return screen.getvalue()


def test_ctrl_c_stops_the_answer_and_not_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession(["很长", KeyboardInterrupt()], "interrupted")
    screen = typed(session, ["讲故事", KeyboardInterrupt, "再讲"], monkeypatch)
    assert session.asked == ["讲故事", "再讲"]
    assert screen.count("(stopped)") == 2
    assert "(Ctrl-D or /exit ends)" in screen


def test_errors_are_told_and_the_conversation_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession([UserError("too [long] for this model")])
    screen = typed(session, ["a", "/help", "/etc/hosts", "/exit", "never"], monkeypatch)
    assert session.asked == ["a", "/etc/hosts"]
    assert "error: too [long] for this model" in screen
    assert "/system TEXT" in screen


def test_an_answer_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = typed(FakeSession(["a\x1b[2Jb\tc\nd\x07"], "length"), ["x"], monkeypatch)
    assert "a\\x1b[2Jb\tc\nd\\x07" in screen
    assert "cut after 3 tokens" in screen


@pytest.fixture
def cat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A picture in the current folder, with spaces in its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return shutil.copyfile(CAT, tmp_path / "a big cat.png").name


def test_pictures_wait_for_the_next_question(cat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession(["ok"])
    lines = [f"/image {cat}", f"/image '{cat}'", "What is it?", "And now?", r"/image a\ big\ cat.png", "/image", "And?"]
    screen = typed(session, [*lines, f"/image ~/{cat}", "/reset", "Hm?"], monkeypatch)
    assert session.shown == [[cat, cat], [], [], []]
    assert session.asked == ["What is it?", "And now?", "And?", "(reset)", "Hm?"]
    assert screen.count("(a big cat.png, 61 x 57 pixels: goes with the next question)") == 3
    assert "(1 picture) > " in screen and "(2 pictures) > What is it?" in screen
    assert "(no picture goes with the next question)" in screen


def test_what_is_no_picture_is_told_and_the_others_stay(cat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("words.png").write_text("no picture")
    session = FakeSession(["ok"])
    screen = typed(session, ["/image words.png", "/image it's", "What is it?", "/image"], monkeypatch, [cat])
    assert session.shown == [[cat]]
    text = " ".join(screen.split())
    assert "error: the picture 'words.png' is not a picture, or of a kind that is not read." in text
    assert "error: the picture 'it's' does not exist. Mend the path." in text


@pytest.mark.parametrize("script", [[UserError("too long")], [KeyboardInterrupt()]])
def test_pictures_of_a_question_without_an_answer_stay(
    script: list[BaseException], cat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = FakeSession(script, "interrupted")
    typed(session, ["a", "b"], monkeypatch, [cat])
    assert session.shown == [[cat], [cat]]


def test_a_tab_completes_commands_and_paths(cat: str) -> None:
    os.mkdir("a [folder]")
    Path("a [folder]", "x.png").touch()
    assert complete("/s") == ["/system"]
    assert complete("/image a") == [f"/image a [folder]{os.sep}", f"/image {cat}"]
    assert complete("/image a big") == [f"/image {cat}"]
    assert complete("/image a [folder]/") == ["/image a [folder]/x.png"]
    assert complete("/image ~/a b") == [f"/image {os.getcwd()}/{cat}"]
    assert complete("") == complete("what") == complete("/system a") == []


def test_the_help_lists_every_command() -> None:
    assert all(command in HELP for command in COMMANDS)
