"""A conversation at the terminal: keys, commands, errors, and answers that must not steer it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from rich.console import Console

from tunesmith.errors import UserError
from tunesmith.generate.session import Answer
from tunesmith.generate.terminal import Terminal


class FakeSession:
    """Gives the pieces of a script, which may hold an exception, and keeps what it was asked."""

    def __init__(self, script: Sequence[str | BaseException], stopped: str = "stop") -> None:
        self.script, self.stopped = script, stopped
        self.asked: list[str] = []
        self.system: str | None = None
        self.last: Answer | None = None

    def stream(self, text: str) -> Iterator[str]:
        """Give the pieces."""
        self.asked.append(text)
        self.last = Answer("", 3, 0.1, self.stopped)
        for piece in self.script:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def reset(self) -> None:
        """Note that it happened."""
        self.asked.append("(reset)")


class Tty(io.StringIO):
    """A keyboard or a screen."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def typed(session: FakeSession, lines: list[str | type[BaseException]], monkeypatch: pytest.MonkeyPatch) -> str:
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
    Terminal(session, notes).talk("a model")  # type: ignore[arg-type]
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
