"""Terminal: a conversation typed at the terminal, or read line by line from a pipe."""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from rich.console import Console

from ..errors import UserError
from ..lookup import nearest

if TYPE_CHECKING:
    from .session import Session

HELP = """\
/reset         begin anew (the system text stays)
/system TEXT   begin anew with this system text; without TEXT: with none
/image PATH    add a picture to the next question; without PATH: none
/help          this list
/exit          end; Ctrl-D does the same
Ctrl-C         stop the answer that is being written"""
COMMANDS = ["/reset", "/system", "/image", "/help", "/exit"]
_COMMAND = re.compile(r"/[a-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Terminal:
    """Reads questions from stdin, writes answers to stdout and everything else to `notes` (stderr).

    `images`: pictures for the first question. They wait in the field of this name until a question is answered.
    """

    def __init__(self, session: Session, notes: Console, images: Sequence[str] = ()) -> None:
        self.session, self.notes = session, notes
        self.images: list[str] = []
        self.first = images
        self.typed = sys.stdin.isatty()
        self.shown = sys.stdout.isatty()

    def talk(self, title: str) -> None:
        """Answer until the input ends or /exit comes."""
        if self.typed:
            _line_editing()
            self.notes.print(title, style="bold", markup=False)
            self.notes.print("/help lists the commands, Ctrl-D ends.\n", style="dim")
        for path in self.first:
            self._show(path)
        for line in self._lines():
            command, _, text = line.partition(" ")
            try:
                if not _COMMAND.fullmatch(command):
                    self._answer(line)
                elif command == "/exit":
                    return
                else:
                    self._obey(command, text.strip())
            except UserError as error:
                self._note(f"error: {error}", "red")

    def _lines(self) -> Iterator[str]:
        """Yield the lines that are not empty."""
        while True:
            try:
                line = self._read().strip()
            except EOFError:
                if self.typed:
                    self.notes.print()
                return
            except KeyboardInterrupt:
                if not self.typed:
                    raise
                self._note("\n(Ctrl-D or /exit ends)")
                continue
            if line:
                yield line

    def _read(self) -> str:
        if not self.typed:
            return input()
        many = len(self.images)
        prompt = f"({many} picture{'s' if many > 1 else ''}) > " if many else "> "
        if not self.shown:  # input() would write its prompt into the file or pipe
            self.notes.print(prompt, end="")
            return input()
        # \x01 and \x02 tell readline that what stands between them takes no room
        return input(f"\x01\x1b[1;32m\x02{prompt}\x01\x1b[0m\x02" if self.notes.color_system else prompt)

    def _answer(self, question: str) -> None:
        before = self.session.last
        try:
            with closing(self.session.stream(question, self.images)) as pieces:
                for piece in pieces:
                    sys.stdout.write(_CONTROL.sub(_visible, piece) if self.shown else piece)
                    sys.stdout.flush()
        except KeyboardInterrupt:
            if not self.typed:
                raise
        print(flush=True)
        answer = self.session.last
        if answer is not None and answer is not before and (answer.text or answer.stopped != "interrupted"):
            self.images = []  # now they belong to the conversation
        if answer is not None and answer.stopped == "interrupted":
            self._note("(stopped)")
        elif answer is not None and answer.stopped == "length":
            self._note(f"(cut after {answer.tokens} tokens; --max-new-tokens gives more room)")
        elif answer is not None and not answer.text:
            self._note("(an empty answer)")
        if self.typed and self.shown:
            print()

    def _obey(self, command: str, text: str) -> None:
        if command == "/help":
            self._note(HELP)
        elif command == "/reset":
            self.images = []
            self.session.reset()
            self._note("(begun anew)")
        elif command == "/image" and text:
            self._show(text)
        elif command == "/image":
            self.images = []
            self._note("(no picture goes with the next question)")
        elif command == "/system":
            self.images = []
            self.session.system = text or None
            self.session.reset()
            self._note(f"(begun anew with {'this' if text else 'no'} system text)")
        else:
            self._note(f"There is no command {command}{nearest(command, COMMANDS) or '.'} /help lists them.")

    def _show(self, typed: str) -> None:
        """Open a picture and let it wait for the next question."""
        path = _path(typed)
        width, height = self.session.look(path).size
        self.images.append(path)
        self._note(f"({path}, {width} x {height} pixels: goes with the next question)")

    def _note(self, text: str, style: str = "dim") -> None:
        self.notes.print(text, style=style, markup=False, soft_wrap=not self.notes.is_terminal)


def _path(typed: str) -> str:
    """Return the path that was meant: as it stands, or as a shell writes it, with quotes or backslashes."""
    path = os.path.expanduser(typed)
    if os.path.exists(path):
        return path
    try:
        words = shlex.split(typed)
    except ValueError:  # a quote without its other half
        return path
    return os.path.expanduser(words[0]) if len(words) == 1 else path


def complete(line: str) -> list[str]:
    """Return what a line that is being typed could become: a command, or `/image` with the path of a file or folder."""
    command, space, typed = line.partition(" ")
    if not space:
        return [known for known in COMMANDS if line and known.startswith(line)]
    if command != "/image":
        return []
    found = sorted(glob.glob(glob.escape(os.path.expanduser(typed)) + "*"))
    return [f"/image {path}{os.sep if os.path.isdir(path) else ''}" for path in found]


def _line_editing() -> None:
    """Let input() edit its line, complete it and remember earlier ones, where the system can."""
    try:
        import readline
    except ImportError:  # Windows: its own terminal edits
        return
    readline.set_auto_history(True)
    readline.set_completer_delims("")  # the whole line is completed: a path may hold spaces
    readline.set_completer(lambda line, number: (*complete(line), None)[number])
    mac = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if mac else "tab: complete")


def _visible(match: re.Match[str]) -> str:
    """Return a control character as text: a model's answer must not steer the terminal."""
    return f"\\x{ord(match.group()):02x}"
