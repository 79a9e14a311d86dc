"""What an answer is worth beside the expected one: equal, alike, or, for calls of tools, the same call."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .. import lookup
from ..data.types import Message
from ..edges import sacrebleu
from ..errors import ConfigError, MachineError
from .measure import Measure, mean_of, stack
from .overlap import EAST, chrf, chrf_counts, rouge


@dataclass(frozen=True)
class Given:
    """An answer, how it ended, and what was expected."""

    expected: Message
    answer: str
    stopped: str


def measures(given: Sequence[Given], wanted: Sequence[str] = ()) -> tuple[list[Measure], list[str]]:
    """Return the metrics that are wanted, else all that apply to these answers, and what there is to say of them.

    Raises:
        MachineError: one is asked for by name whose library is missing.
    """
    found, notes = [], []
    for name in wanted or METRICS:
        try:
            measure = METRICS[name](given)
        except MachineError as error:
            if name in wanted:
                raise
            notes.append(str(error))
            continue
        if measure.count or name in wanted:
            found.append(measure)
    return found, notes


def check(wanted: Sequence[str]) -> None:
    """Find out whether all metrics that are wanted can be had, before anything is answered.

    Raises:
        ConfigError: there is no such metric. MachineError: as `measures`.
    """
    for name in wanted:
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise ConfigError(
                f"--metric: there is no '{name}'{lookup.nearest(name, [*METRICS]) or '.'} Known: {known}."
            )
        METRICS[name]([])


def normalised(text: str) -> str:
    """Return a text without what rarely matters: Unicode forms (NFKC), case, punctuation, runs of white space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = (character for character in folded if not unicodedata.category(character).startswith("P"))
    return " ".join("".join(kept).split())


def calls_in(text: str) -> list[dict[str, Any]]:
    """Return the calls of tools that stand in a text, whatever stands around them: objects with a name and arguments."""
    found: list[dict[str, Any]] = []
    decoder, at = json.JSONDecoder(), 0
    while (start := _OPENING.search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
            continue
        found += [one for one in (value if isinstance(value, list) else [value]) if _is_call(one)]
    return found


_OPENING = re.compile(r"[{\[]")


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and "arguments" in value


def _json(text: str) -> Any:
    """Return the object or list that a text is as a whole, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _calls(message: Message) -> list[dict[str, Any]]:
    return [{"name": one["name"], "arguments": one["arguments"]} for one in calls_in(message.calls)]


def _of_text(given: Given) -> bool:
    """Tell whether a text is expected, and not only a call of a tool."""
    return bool(given.expected.content) or not given.expected.calls


def _yes_no(name: str, about: str, judge: Callable[[Given], bool | None]) -> Callable[[Sequence[Given]], Measure]:
    return lambda given: Measure(name, mean_of([judge(one) for one in given]), yes_no=True, percent=True, about=about)


def _rouge(name: str, place: int, about: str) -> Callable[[Sequence[Given]], Measure]:
    return lambda given: Measure(
        name,
        mean_of([_rouges(one.expected.content, one.answer)[place] if _of_text(one) else None for one in given]),
        percent=True,
        about=about,
    )


_rouges = lru_cache(2**16)(rouge)


def _chrf(given: Sequence[Given]) -> Measure:
    counts = [chrf_counts(one.expected.content, one.answer) if _of_text(one) else [0] * 18 for one in given]
    return Measure("chrf", stack(counts, 18), chrf, about="chrF2 of all answers together, 0 to 100")


def _bleu(given: Sequence[Given]) -> Measure:
    texts = [one for one in given if _of_text(one)]
    chinese = any(EAST.search(one.expected.content) for one in texts)
    counted = iter(
        sacrebleu.bleu_counts([one.answer for one in texts], [one.expected.content for one in texts], chinese)
    )
    counts = [next(counted) if _of_text(one) else [0] * sacrebleu.SIZE for one in given]
    about = f"corpus BLEU of sacrebleu, 0 to 100, words as in '{'zh' if chinese else '13a'}'"
    return Measure("bleu", stack(counts, sacrebleu.SIZE), sacrebleu.bleu, about=about)


METRICS: dict[str, Callable[[Sequence[Given]], Measure]] = {
    "exact": _yes_no(
        "exact",
        "the answer is the expected one, character for character",
        lambda one: one.answer == one.expected.content if _of_text(one) else None,
    ),
    "normalised": _yes_no(
        "normalised",
        "the same without case, punctuation, runs of white space and Unicode forms (NFKC)",
        lambda one: normalised(one.answer) == normalised(one.expected.content) if _of_text(one) else None,
    ),
    "bleu": _bleu,
    "chrf": _chrf,
    "rouge1": _rouge("rouge1", 0, "F-measure of the words in common"),
    "rouge2": _rouge("rouge2", 1, "F-measure of the pairs of words in common"),
    "rougeL": _rouge("rougeL", 2, "F-measure of the longest common subsequence of words"),
    "json_valid": _yes_no(
        "json_valid",
        "where JSON is expected: the answer is valid JSON",
        lambda one: _json(one.answer) is not None if _json(one.expected.content) is not None else None,
    ),
    "json_equal": _yes_no(
        "json_equal",
        "where JSON is expected: it holds the same values",
        lambda one: (
            _json(one.answer) == _json(one.expected.content) if _json(one.expected.content) is not None else None
        ),
    ),
    "calls_valid": _yes_no(
        "calls_valid",
        "where a tool is to be called: the answer holds a call that can be read",
        lambda one: bool(calls_in(one.answer)) if one.expected.calls else None,
    ),
    "calls_equal": _yes_no(
        "calls_equal",
        "where a tool is to be called: the same calls, names and arguments",
        lambda one: calls_in(one.answer) == _calls(one.expected) if one.expected.calls else None,
    ),
    "ended": _yes_no("ended", "the model ended the answer by itself", lambda one: one.stopped == "stop"),
}
"""Name -> what makes the measure of all answers."""
