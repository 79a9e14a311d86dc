"""Sentence pairs as {"sentence1": "...", "sentence2": "...", "label": "entailment"} (OCNLI, CMNLI).

The prompt is the one of the published MiniCPM fine-tuning data, character for character; the label, `entailment`,
`neutral` or `contradiction`, is the answer. A label of "-" marks a pair that the annotators did not agree about.
Other fields are ignored.
"""

from __future__ import annotations

from typing import Any

from ...errors import RecordError
from ..types import Conversation, Message, Origin
from ._fields import TURNS, filled, has, present, refuse_misspelt, refuse_unread, text_of

FIELDS = ("sentence1", "sentence2", "label")
LABELS = ("entailment", "neutral", "contradiction")
PROMPT = "请判断下边两个句子的关系属于 [entailment, neutral, contradiction]中的哪一种？\n句子1: {}\n句子2：{}\n"
"""Source: the records of ocnli_public_chatml in the MiniCPM repository."""


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields."""
    pair = has(record, "sentence1", FIELDS) and has(record, "sentence2", FIELDS)
    return pair and not any(name in record for name in TURNS)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a question and its answer.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    refuse_unread(record, origin, "label")
    missing = "a pair without one of its sentences"
    pair = [filled(present(record, name, origin, missing), name, origin, missing) for name in FIELDS[:2]]
    label = text_of(present(record, "label", origin, "a record without an answer"), "label", origin)
    if label == "-":
        reason = "it is '-': the annotators did not agree, so there is no right answer."
        raise RecordError(origin, "label", reason, "Remove the record, or skip bad records.")
    if label not in LABELS:
        mend = f"Labels are {', '.join(LABELS)}."
        raise RecordError(origin, "label", f"there is no label '{label}'.", mend)
    return Conversation((Message("user", PROMPT.format(*pair)), Message("assistant", label)), origin)
