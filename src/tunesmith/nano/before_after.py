"""The table of answers before and after training; Chinese and English stay aligned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from .routing import PROMPTS

SHOWN = 12
"""Rows of the table; the report holds all."""
TITLE = "Questions that were not among those it learned from"
CAPTION = "In quotes: a customer's message, to be sorted."


@dataclass(frozen=True)
class Row:
    """A held-out question, the right answer, and what the model said."""

    question: str
    expected: str
    before: str
    after: str

    @property
    def right_before(self) -> bool:
        """Whether the untrained model gave the right answer, to the letter."""
        return self.before == self.expected

    @property
    def right_after(self) -> bool:
        """Whether the trained model gave the right answer, to the letter."""
        return self.after == self.expected


def chosen(rows: Sequence[Row], number: int = SHOWN) -> list[Row]:
    """Return `number` rows as different as possible: one of each right answer in turn, in their order."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.expected].append(row)
    turn = {row.question: place for group in groups.values() for place, row in enumerate(group)}
    picked = sorted(rows, key=lambda row: turn[row.question])[:number]  # a stable sort
    return sorted(picked, key=lambda row: (row.question.isascii(), row.expected))


def table(rows: Sequence[Row], title: str = TITLE, caption: str = CAPTION) -> Table:
    """Return the table of a few rows, one line each: right answers green, wrong ones red with the right one behind."""
    drawn = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        expand=True,
    )
    drawn.add_column("question", no_wrap=True, overflow="ellipsis", ratio=4)
    drawn.add_column("before", no_wrap=True, overflow="ellipsis", ratio=3, style="dim")
    drawn.add_column("after", no_wrap=True, overflow="ellipsis", ratio=4)
    for row in chosen(rows):
        mark, style = ("✓", "green") if row.right_after else ("✗", "red")
        after = Text(f"{mark} {_line(row.after)}", style=style)
        if not row.right_after:
            after.append(f"  (right: {row.expected})", style="dim")
        drawn.add_row(Text(_question(row.question)), Text(_line(row.before)), after)
    return drawn


def summary(report: dict[str, Any]) -> str:
    """Return the result in two lines."""
    before, after = (round(report[name] * report["questions"]) for name in ("match_before", "match_after"))
    return (
        f"Right answers: {before} of {report['questions']} before, {after} of {report['questions']} after training.\n"
        f"Loss: {report['loss_first']:.2f} at the first step, {report['loss_last']:.2f} at the last. "
        f"The whole demo took {report['seconds']:.0f} s."
    )


def _question(text: str) -> str:
    """Return a question in one line; of a sorting task, only the message that is to be sorted."""
    for prompt in PROMPTS.values():
        head, tail = prompt.split("{}")
        if text.startswith(head) and text.endswith(tail):
            return f'"{text[len(head) : len(text) - len(tail)]}"'
    return _line(text)


def _line(text: str) -> str:
    return " ".join(text.split())
