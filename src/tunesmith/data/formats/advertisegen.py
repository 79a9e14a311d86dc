"""Advertisements as {"content": "类型#上衣*颜色#白色", "summary": "..."} (AdvertiseGen).

The system text is the one of the published MiniCPM fine-tuning data; `content` is the user's text, `summary` the
answer, both unchanged. Other fields are ignored.
"""

from __future__ import annotations

from typing import Any

from ..types import Conversation, Message, Origin
from ._fields import TURNS, filled, has, is_preference, present, refuse_misspelt, refuse_unread

FIELDS = ("content", "summary")
SYSTEM = "你是一个广告生成助手，你的任务是根据用户提供的产品信息和广告类型，生成相应的广告文案。"
"""Source: the records of AdvertiseGenChatML in the MiniCPM repository."""


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields."""
    pair = has(record, "content", FIELDS) and has(record, "summary", FIELDS)
    return pair and not any(name in record for name in TURNS) and not is_preference(record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a system text, a question and its answer.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    refuse_unread(record, origin)
    content = present(record, "content", origin, "a record without a question")
    summary = present(record, "summary", origin, "a record without an answer")
    messages = (
        Message("system", SYSTEM),
        Message("user", filled(content, "content", origin, "a record without a question")),
        Message("assistant", filled(summary, "summary", origin, "a record without an answer")),
    )
    return Conversation(messages, origin)
