"""The sections of the card that come from asking the models: figures, answers side by side, what was forgotten."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from ..data.images import open_picture
from ..data.show.words import both
from ..errors import PictureError
from ..eval.report import Line
from .measured import Measured
from .numbers import beyond, bracket, number, short
from .sections import table, text
from .words import FIGURES, say

SHOWN = 8
"""Answers that are shown at once; the others are folded."""
SIDE = 320
"""Pixels of the longer side of a picture."""


def judged(found: Measured, limit: int, given: Sequence[str]) -> Iterator[str]:
    """Yield the figures of held-out rows before and after, and the answers; `given`: the files, if not the run's own."""
    if found.missing:
        yield _missing(found.missing)
        return
    asked = f"{len(found.rows) or found.count:,}"
    files = [", ".join(given)] if given else []
    yield f"<p>{say('judged_given' if given else 'judged_own', asked, f'{found.whole:,}', limit, *files)}</p>\n"
    yield _figures(found.lines)
    yield _notes(found)
    if found.rows:
        yield f"<h3>{say('answers')}</h3>\n"
        yield from _side_by_side(found.rows[:SHOWN])
        if rest := found.rows[SHOWN:]:
            yield f"<details><summary>{say('all_answers', len(rest))}</summary>\n"
            yield from _side_by_side(rest)
            yield "</details>\n"


def forgotten(questions: Measured, texts: Measured) -> Iterator[str]:
    """Yield what became of general questions and of a text that have nothing to do with the training."""
    for found in (questions, texts):
        if found.missing:
            yield _missing(found.missing)
            return
    yield f"<p>{say('forgotten_text', len(questions.rows))}</p>\n"
    named = {"loss": say("loss_answers")}
    yield _figures(
        [line for line in questions.lines if line.measure.name in ("loss", "exact", "ended", "repeated", "switched")],
        named,
        folded=False,
    )
    named = {"loss": say("loss_text"), "perplexity": say("perplexity_text")}
    yield _figures(texts.lines, named, folded=False)
    both_models = bool(questions.rows) and len(questions.rows[0]["models"]) > 1
    if both_models:
        yield f"<p>{say('changed', questions.changed, len(questions.rows))}</p>\n"
    yield _notes(questions)
    yield f"<details><summary>{say('see_questions')}</summary>\n"
    yield from _side_by_side(questions.rows)
    yield "</details>\n"


def change(found: Measured, name: str, percent: bool = False) -> str:
    """Return a figure before and after, in one line; the result's alone where there is no other."""
    after, before = (found.value(name, model) for model in (0, 1))
    if after is None:
        return ""
    shown = short(after, percent)
    return f"{short(before, percent)} → {shown}" if before is not None else shown


def _missing(reason: str) -> str:
    return f'<p class="note"><b>{say("missing")}</b> <span lang="en">{escape(reason)}</span></p>\n'


def _notes(found: Measured) -> str:
    return "".join(f'<p class="note" lang="en">{escape(note)}</p>\n' for note in found.notes)


def _figures(lines: Sequence[Line], named: dict[str, str] | None = None, folded: bool = True) -> str:
    """Return the table of figures; `named`: other names than usual. `folded`: what they are follows, folded."""
    shown = [line for line in lines if line.measure.name in FIGURES]
    two = bool(shown) and len(shown[0].models) > 1
    heads = ["figure", "rows", *(["before"] if two else []), "after", *(["difference"] if two else [])]
    rows = []
    for line in shown:
        measure = line.measure
        name = (named or {}).get(measure.name) or both(FIGURES[measure.name][0])
        after, *before = line.models
        cells = [_cell(one.value, bracket(one, measure.percent), measure.percent) for one in (*before, after)]
        for gap in line.differences:
            if gap is None:
                cells.append("–")
                continue
            shift = _cell(gap.interval.value, bracket(gap.interval, measure.percent, "+"), measure.percent, "+")
            cells.append(f"<b>{shift}</b>" if beyond(gap) else shift)
        rows.append([name, f"{measure.count:,}", *cells])
    made = table([say(name) for name in heads], rows, numbers=range(1, len(heads)))
    if not folded:
        return made
    items = "".join(
        f"<dt>{both(FIGURES[line.measure.name][0])}</dt><dd>{both((line.measure.about, FIGURES[line.measure.name][1]))}</dd>"
        for line in shown
    )
    return (
        f'{made}<p class="quiet">{say("intervals")}</p>\n<details><summary>{say("legend")}</summary>'
        f'<dl class="legend">{items}</dl></details>\n'
    )


def _cell(value: float, interval: str, percent: bool, sign: str = "") -> str:
    return f'{number(value, percent, sign)} <span class="ci">{interval}</span>'


def _side_by_side(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield one block a question: what was asked with its pictures, what is expected, and both answers."""
    for row in rows:
        after, *before = row["models"]
        yield f'<article>\n<div class="asked">{"".join(_pictures(row))}{"".join(_turns(row))}</div>\n<div class="pair">'
        for name, one in [*(("before", one) for one in before), ("after", after)]:
            cut = "" if one["stopped"] == "stop" else f' <span class="cut">{say("cut_answer")}</span>'
            mark = _mark(one)
            yield f'<div><h4>{say(name)}{mark}{cut}</h4><p class="said">{_said(one["answer"])}</p></div>'
        yield (
            f'<div class="wanted"><h4>{say("expected")}</h4><p class="said">{_said(row["expected"])}</p></div></div>\n'
            f'<p class="place">{text(row["file"])}, {row["record"]}</p></article>\n'
        )


def _mark(result: dict[str, Any]) -> str:
    right = result.get("metrics", {}).get("exact")
    return "" if right is None else ' <b class="yes">✓</b>' if right else ' <b class="no">✗</b>'


def _said(content: str) -> str:
    return escape(content.strip()) if content.strip() else f'<span class="quiet">{say("empty")}</span>'


def _turns(row: dict[str, Any]) -> Iterator[str]:
    """Yield the messages before the answer; marks of pictures stand for what is shown beside them."""
    for message in row["prompt"]:
        content = message["content"]
        for mark in row.get("images", {}):
            content = content.replace(mark, "")
        role = "" if message["role"] == "user" else f'<span class="role">{escape(message["role"])}</span> '
        yield f"<p class='said'>{role}{_said(content)}</p>"


def _pictures(row: dict[str, Any]) -> Iterator[str]:
    for path in row.get("images", {}).values():
        try:
            picture = open_picture(path)
        except PictureError as error:
            yield f'<p class="note">{say("no_pictures", f"{path}: {error.reason}")}</p>'
            continue
        picture.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        picture.save(stream, "PNG", optimize=True)
        content = base64.b64encode(stream.getvalue()).decode()
        yield f'<img src="data:image/png;base64,{content}" alt="" width="{picture.width}" height="{picture.height}">'
