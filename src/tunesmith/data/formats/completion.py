"""Questions and answers as {"prompt": "...", "completion": "..."}; or prompt, question or query with a response or answer.

The pairs: prompt/completion, prompt/response, question/answer, question/response, query/response. They become one turn of a conversation: the model's own chat layout is put around them, and only the answer is learned.
`system` (or `system_prompt`) and `history` (pairs of earlier turns) are read too. Both fields may also be lists of
messages, `{"role": ..., "content": ...}`. Texts are kept exactly as they are.
"""

from __future__ import annotations

from typing import Any

from ...errors import RecordError
from ..types import Conversation, Origin
from ._fields import TURNS, empty, has, is_preference, kind, present, refuse_misspelt, refuse_unread
from ._turns import ROLE_CONTENT, Draft

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
)
FIELDS = ("prompt", "completion", "response", "question", "answer", "query", "system")
_UNREAD = ("context", "choices", "options", "input", "output", "passage")


def matches(record: Any) -> bool:
    """Tell whether a record has one of the pairs of fields."""
    if not isinstance(record, dict) or any(name in record for name in TURNS) or is_preference(record):
        return False
    return any(has(record, question, FIELDS) and has(record, answer, FIELDS) for question, answer in PAIRS)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    pairs = [pair for pair in PAIRS if all(not empty(record.get(name)) for name in pair)]
    if not pairs:
        refuse_misspelt(record, _partners(record), origin)
        pairs = [pair for pair in PAIRS if any(name in record for name in pair)] or [PAIRS[0]]
    refuse_unread(record, origin, "system_prompt", "images", "tools")
    question, answer = pairs[0]
    for field in FIELDS[:-1]:
        if field not in (question, answer) and not empty(record.get(field)):
            reason = f"it is a second question or answer, beside '{question}' and '{answer}'."
            raise RecordError(origin, field, reason, "Keep one pair of fields.")
    for field in _UNREAD:
        if not empty(record.get(field)):
            reason = "it is not read, and so the model would not see it."
            raise RecordError(origin, field, reason, "Make it a part of the question, or remove the field.")
    draft = Draft(origin)
    draft.system(record)
    draft.system(record, "system_prompt")
    draft.history(record.get("history"))
    _say(draft, "user", present(record, question, origin, "a record without a question"), question)
    _say(draft, "assistant", present(record, answer, origin, "a record without an answer"), answer)
    return draft.finish(record)


def _partners(record: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields that would make a pair with a field that is there; all where none is."""
    found = [other for pair in PAIRS for name, other in (pair, pair[::-1]) if name in record]
    return tuple(dict.fromkeys(found)) or FIELDS


def _say(draft: Draft, role: str, value: Any, field: str) -> None:
    if isinstance(value, list):
        draft.read(value, field, ROLE_CONTENT)
    elif isinstance(value, str):
        draft.say(role, value, field, f"a record without {'an answer' if role == 'assistant' else 'a question'}")
    else:
        mend = 'Write a text, or a list of {"role": ..., "content": ...}.'
        raise RecordError(draft.origin, field, f"it is {kind(value)}, not a text.", mend)
