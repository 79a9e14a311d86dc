"""A plain text file (.txt, .md) as one record: {"text": the whole file}."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...errors import DataError
from ..types import Origin
from . import limits
from .json_elements import Sized
from .text import Text

_JSON = re.compile(r'\s*(\[\s*)?\{\s*["}]')


def looks_like_json(start: str) -> bool:
    """Tell whether a text begins as a list of objects or an object does; a text may begin with a bracket as well."""
    return _JSON.match(start) is not None


def text_record(text: Text) -> Iterator[Sized]:
    """Yield the text as the one record of its file.

    Raises:
        DataError: it is longer than a record may be, or holds zero bytes.
    """
    parts: list[str] = []
    size = 0
    for piece in text.characters():
        parts.append(piece)
        size += len(piece)
        if size > limits.MAX_RECORD:
            raise DataError(
                f"'{text.name}' is one text of more than {limits.mebibytes(limits.MAX_RECORD)}, which is the limit for "
                'one record. Split it into several files, or write JSON lines {"text": ...}.'
            )
    whole = "".join(parts)
    if (zero := whole.find("\0")) >= 0:
        line = whole.count("\n", 0, zero) + 1
        raise DataError(f"{text.name}, line {line}: a zero byte stands in the text. Is it damaged, or no text?")
    yield ({"text": whole}, Origin(text.name, 0, 1)), size, text.position()
