"""Views as one page of HTML: no network, nothing of a record is ever markup, English and Chinese, light and dark."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path

from ... import __version__
from ...errors import ConfigError, MachineError, RecordError
from ...runs import replacing
from ..chat import RenderOptions
from ..slicing import Slicing
from ..types import IGNORE
from . import visible
from .pictures import figures
from .proof import Proof
from .reading import Reading
from .rows import KINDS, Row, Shown, View
from .terminal import token_text
from .words import KIND_NAMES, KIND_TEXTS, WORDS, both, say

GENERATOR = "tunesmith data show"
"""What the page says in its head, and what tells later that it may be written over."""


@dataclass(frozen=True)
class Page:
    """What stands on the page."""

    file: str
    model: str
    format: str
    chat: str
    options: RenderOptions
    views: list[View]
    more: bool = False
    slicing: Slicing | None = None

    @classmethod
    def of(cls, reading: Reading, model: str) -> Page:
        """Read what is wanted and return it as a page."""
        views = list(reading)
        scope = reading.microscope
        slicing = getattr(scope.chat, "slicing", None)
        format = reading.format or ""
        return cls(reading.path, model, format, scope.chat.name, scope.options, views, reading.more, slicing)

    def html(self) -> Iterator[str]:
        """Yield the page in parts."""
        yield from self._top()
        for view in self.views:
            yield from _record(view, self.slicing)
        yield f"</main>\n<footer>{say('made')} {escape(__version__)}</footer>\n{_look()}"
        yield f"<script>{_asset('page.js')}</script>\n</body>\n</html>\n"

    def _top(self) -> Iterator[str]:
        style, script = _asset("page.css"), _asset("page.js")
        policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        policy += "form-action 'none'; img-src data:"
        yield (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
            f'<meta name="generator" content="{GENERATOR}">\n<meta name="referrer" content="no-referrer">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_text(Path(self.file).name)} · tunesmith</title>\n<style>{style}</style>\n</head>\n<body>\n"
        )
        yield (
            f'<header>\n<div class="top"><h1>{say("title")}</h1><div class="languages">'
            '<button type="button" value="en" lang="en" aria-pressed="true">English</button>'
            '<button type="button" value="zh-CN" lang="zh-CN" aria-pressed="false">简体中文</button></div></div>\n'
            f'<p class="lead">{say("lead")}</p>\n<dl class="facts">'
        )
        facts = {"file": self.file, "model": self.model, "format": self.format, "chat": self.chat}
        for name, value in {**facts, **_settings(self.options)}.items():
            wide = ' class="wide"' if name in ("file", "model") else ""
            yield f"<div{wide}><dt>{say(name)}</dt><dd>{_text(str(value))}</dd></div>"
        yield f"</dl>\n<h3>{say('legend')}</h3>\n{_legend()}"
        yield f'<h3>{say("records")}</h3>\n<ul class="index">'
        for view in self.views:
            mark = "" if view.good else ' class="bad"'
            yield f'<li><a href="#record-{view.record}"{mark}>{view.record}{"" if view.good else " ✗"}</a></li>'
        yield "</ul>\n"
        if self.more:
            yield f'<p class="quiet">{say("more", self.views[0].record, self.views[-1].record)}</p>\n'
        yield f'<p class="quiet">{say("from0")}</p>\n</header>\n<main>\n'


def write(target: Path, page: Page, overwrite: bool = False) -> None:
    """Write the page so that the file is either the old one or the whole new one.

    Raises:
        ConfigError: there is a file that is no such page (and `overwrite` is not set), or it is the data file itself.
        MachineError: it cannot be written.
    """
    check(target, page.file, overwrite)
    try:
        with replacing(target) as stream:
            stream.writelines(page.html())
    except OSError as error:
        raise MachineError(f"--html: '{target}' cannot be written: {error.strerror}. Choose another file.") from None


def check(target: Path, data: str, overwrite: bool) -> None:
    """See whether the page may be written there, before anything is read.

    Raises:
        ConfigError: no such folder, a folder in its place, or a file that is not to be written over.
    """
    if target.is_dir():
        raise ConfigError(f"--html: '{target}' is a folder. Give the name of the file to write.")
    if not target.parent.is_dir():
        raise ConfigError(f"--html: the folder '{target.parent}' does not exist.")
    if not target.exists():
        return
    if Path(data).exists() and target.samefile(data):
        raise ConfigError(f"--html: '{target}' is the data file itself. Give another name.")
    if overwrite:
        return
    with target.open("rb") as stream:
        ours = f'<meta name="generator" content="{GENERATOR}">'.encode() in stream.read(4096)
    if not ours:
        raise ConfigError(
            f"--html: '{target}' is there already, and it is no page of 'tunesmith data show'. Give another name, or "
            "add --overwrite to replace it."
        )


def _settings(options: RenderOptions) -> dict[str, object]:
    limit = {} if options.max_length is None else {"max_length": options.max_length}
    return {
        **limit,
        "end_of_turn": options.end_of_turn,
        "loss_on": options.loss_on,
    }


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _text(text: str) -> str:
    """Return a text in one line, escaped, with everything invisible named."""
    return escape(visible.one_line(text))


def _legend() -> str:
    items = []
    for kind in KINDS:
        name = f'<span data-name="{kind}">{both(KIND_NAMES[kind])}</span>'
        items.append(
            f'<li><span class="sample"><span class="t {kind}">{name}</span></span>{both(KIND_TEXTS[kind])}</li>'
        )
    items.append(f'<li><span class="sample"><span class="by">&lt;/s&gt;</span></span>{say("by_label_text")}</li>')
    marks = " &ensp; ".join(
        f"{mark}&nbsp;{say(name)}"
        for mark, name in (
            (visible.SPACE_MARK, "space"),
            (visible.NEWLINE_MARK, "newline"),
            (visible.TAB_MARK, "tab"),
        )
    )
    items.append(f'<li class="quiet"><span>{marks}<br>{say("marks")}</span></li>')
    return f'<ul class="legend">{"".join(items)}</ul>\n'


def _record(view: View, slicing: Slicing | None) -> Iterator[str]:
    place = _text(view.origin.file)
    if view.origin.line is not None:
        place += f", {say('line', view.origin.line)}"
    heading = f"title-{view.record}"
    yield (
        f'<section id="record-{view.record}" aria-labelledby="{heading}">\n<div class="head">'
        f'<h2 id="{heading}">{say("record", view.record)}</h2><span class="quiet">{place}</span></div>\n'
    )
    if view.error is not None:
        yield _fault(view.error)
    for number, row in enumerate(view.rows, start=1):
        if len(view.rows) > 1:
            yield f"<h3>{say('row', number, len(view.rows))}</h3>\n"
        yield from _row(row)
        if slicing is not None and row.example is not None:
            yield from figures(row.example, slicing)
    for name in ("plain", "disliked", "rejected"):
        if getattr(view, name):
            yield f'<p class="note">{say(name)}</p>\n'
    if view.proofs:
        yield f'<h3>{say("proof")}</h3>\n<ul class="proofs">'
        for proof in view.proofs:
            yield f'<li class="{"yes" if proof.holds else "no"}">{_proof(proof, view.rows[0].shown)}</li>'
        yield "</ul>\n"
    yield "</section>\n"


def _fault(error: RecordError) -> str:
    lines = "".join(
        f'<div class="wide"><dt>{say(name)}</dt><dd lang="en">{_text(getattr(error, name))}</dd></div>'
        for name in ("field", "reason", "mend")
    )
    return f'<div class="fault"><h3>{say("bad")}</h3><dl class="facts">{lines}</dl></div>\n'


def _row(row: Row) -> Iterator[str]:
    counts = row.counts
    cut = f"{counts.cut:,}"
    if counts.cut:
        cut += say("to_learn", f"{counts.cut_labels:,}")
    figures = {
        "tokens": f"{counts.tokens:,}",
        "learned": f"{counts.learned:,}",
        "share": f"{counts.share:.0%}",
        "stops": f"{counts.stops:,}",
        "cut": cut,
    }
    cells = "".join(f"<div><dt>{say(name)}</dt><dd>{value}</dd></div>" for name, value in figures.items())
    yield f'<dl class="counts">{cells}</dl>\n{_strip(row)}<div class="row" translate="no">'
    for item in row.shown:
        yield _token(item)
    yield "</div>\n"


def _strip(row: Row) -> str:
    """Return the row at a glance: a thin strip with its kinds in proportion."""
    total = sum(len(item.ids) for item in row.shown)
    rects, start = [], 0
    for kind, run in groupby(row.shown, key=lambda item: item.kind):
        size = sum(len(item.ids) for item in run)
        rects.append(f'<rect class="{kind}" x="{start}" width="{size}" height="1"/>')
        start += size
    return (
        f'<svg class="strip" viewBox="0 0 {total} 1" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(rects)}</svg>\n"
    )


def _token(item: Shown) -> str:
    """Return one text of the row; what the page shows about it stands in its data attributes."""
    more = " special" * item.special + " broken" * item.broken
    learned = [str(label) for label in item.labels if label != IGNORE]
    label = f' data-l="{" ".join(learned)}"' if learned else ""
    label += f' data-t="{_text(item.taught)}"' if item.taught else ""
    by = f'<b class="by">{_text(item.taught)}</b>' if item.taught and item.kind != "cut" else ""
    return (
        f'{by}<span class="t {item.kind}{more}" tabindex="-1" data-p="{item.position}" '
        f'data-i="{" ".join(map(str, item.ids))}" data-n="{_text(" ".join(item.names))}"{label}>{_marked(item.text)}</span>'
    )


def _marked(text: str) -> str:
    """Return a text escaped, its white space in elements that the style sheet marks without changing what is copied."""
    names = {"space": "sp", "newline": "nl", "tab": "tb", "control": "cc"}
    return "".join(
        escape(part) if sort == "text" else f'<i class="{names[sort]}">{escape(part)}</i>'
        for sort, part in visible.parts(text)
    )


def _proof(proof: Proof, shown: list[Shown]) -> str:
    row, sent = (
        token_text(number, shown) if number is not None else WORDS["nothing"][0] for number in (proof.row, proof.sent)
    )
    if proof.holds:
        return say("holds", proof.answer, f"{proof.compared:,}")
    values: dict[str, tuple[object, ...]] = {
        "differs": (proof.answer, proof.position, row, sent),
        "ends early": (proof.answer, f"{proof.compared:,}", row),
        "ends late": (proof.answer, proof.position, row),
        "refused": (proof.answer, visible.one_line(proof.reason)),
    }
    return say(proof.fault, *values[proof.fault])


def _look() -> str:
    """Return the place where a token's facts are shown."""
    names = ("position", "id", "piece", "kind", "label")
    items = "".join(f'<div><dt>{say(name)}</dt><dd data-for="{name}"></dd></div>' for name in names)
    return (
        f'<aside id="look" role="status"><p>{say("hint")}</p><dl hidden>{items}</dl>'
        f"<template>{say('none')}</template></aside>\n"
    )
