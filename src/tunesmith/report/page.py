"""The card as one page of HTML: no network, no script, nothing of the data is ever markup; English and Chinese, light and dark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path

from .. import __version__
from ..errors import ConfigError, MachineError
from ..runs import replacing
from . import sections
from .answers import change, forgotten, judged
from .facts import Facts
from .measured import Measured
from .numbers import short
from .words import say

GENERATOR = "tunesmith report"
"""What the page says in its head, and what tells later that it may be written over."""
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Card:
    """What stands on the card: the run, what was measured of it, and the words of the command that made it.

    `limit`: the longest answer; `files`: what it was asked from, if not from what the run held out.
    """

    facts: Facts
    held_out: Measured
    questions: Measured
    texts: Measured
    limit: int
    command: Sequence[str]
    files: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"

    def html(self) -> Iterator[str]:
        """Yield the page in parts."""
        facts = self.facts
        yield from self._top()
        yield "<main>\n"
        yield from sections.section("judged", judged(self.held_out, self.limit, self.files))
        yield from sections.section("forgotten", forgotten(self.questions, self.texts))
        yield from sections.section("curves", sections.curves(facts))
        yield from sections.section("trained", sections.trained(facts))
        yield from sections.section("data", sections.data(facts))
        yield from sections.section("settings", sections.settings(facts))
        yield from sections.section("commands", sections.commands(facts, self.command))
        yield from sections.section("versions", sections.versions(facts, self.versions))
        yield f"</main>\n<footer>{say('made')} {escape(__version__)}.</footer>\n</body>\n</html>\n"

    def _top(self) -> Iterator[str]:
        style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src-elem 'sha256-{digest}'; style-src-attr 'unsafe-inline'; "
        policy += "base-uri 'none'; form-action 'none'; img-src data:"
        name = sections.text(self.facts.folder.resolve().name)
        yield (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
            f'<meta name="generator" content="{GENERATOR}">\n<meta name="referrer" content="no-referrer">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{name} · tunesmith</title>\n<style>{style}</style>\n</head>\n<body>\n"
        )
        for one in LANGUAGES:
            chosen = " checked" if one == self.language else ""
            label = {"en": "English", "zh": "简体中文"}[one]
            yield f'<input type="radio" name="language" id="{one}" aria-label="{label}" autocomplete="off"{chosen}>'
        badge, said = sections.state(self.facts)
        yield (
            '\n<header>\n<div class="languages"><label for="en">English</label><label for="zh">简体中文</label></div>\n'
            f'<p class="kind">{say("title")}</p>\n<h1>{name} <span class="badge {badge}">{say(badge)}</span></h1>\n{said}'
        )
        yield sections.tiles(self._tiles())
        yield "</header>\n"

    def _tiles(self) -> list[tuple[str, str, str]]:
        """Return the figures that say most: loss, right answers, ends, general questions; then the steps."""
        validation = [value for _, value in self.facts.series("eval_loss")]
        found = []
        if len(validation) > 1:
            found.append(("tile_loss", f"{short(validation[0])} → {short(min(validation[1:]))}"))
        for name, measured, figure, percent in (
            ("tile_exact", self.held_out, "exact", True),
            ("tile_ended", self.held_out, "ended", True),
            ("tile_forget", self.questions, "loss", False),
        ):
            if shown := change(measured, figure, percent):
                found.append((name, shown))
        return [*((name, value, say("before_after")) for name, value in found), sections.steps_tile(self.facts)]


def write(target: Path, card: Card) -> None:
    """Write the page so that the file is either the old one or the whole new one.

    Raises:
        ConfigError: as `check`. MachineError: it cannot be written.
    """
    check(target)
    try:
        with replacing(target) as stream:
            stream.writelines(card.html())
    except OSError as error:
        raise MachineError(f"--html: '{target}' cannot be written: {error.strerror}. Choose another file.") from None


def check(target: Path) -> None:
    """See whether the page may be written there, before anything is computed.

    Raises:
        ConfigError: no such folder, a folder in its place, or a file that is no report card.
    """
    if target.is_dir():
        raise ConfigError(f"--html: '{target}' is a folder. Give the name of the file to write.")
    if not target.parent.is_dir():
        raise ConfigError(f"--html: the folder '{target.parent}' does not exist.")
    if target.exists():
        with target.open("rb") as stream:
            ours = f'<meta name="generator" content="{GENERATOR}">'.encode() in stream.read(4096)
        if not ours:
            raise ConfigError(f"--html: '{target}' is there already, and it is no report card. Give another name.")
