"""The first rows of somebody's own files as a model takes them, to compare what two models make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..data.chat import RenderOptions
from ..data.collate import PictureLoader, collate
from ..data.flow import Work, survey
from ..data.picture_files import PictureFiles
from ..data.pipeline import add, expand_all
from ..data.report import DataReport, refusal
from ..data.types import IGNORE, Example
from ..errors import DataError
from .load import Loaded, text_tokenizer


class UserRow(NamedTuple):
    """A row of the user's: the model's arguments (batch of one), and its beginning up to the first answer.

    `question` is empty where nothing is learned, or nothing stands before it.
    """

    inputs: dict[str, Any]
    question: list[int]


def first_rows(files: Sequence[str], loaded: Loaded, count: int, longest: int) -> list[UserRow]:
    """Return the first `count` rows of the files, as training makes them, cut at the right to `longest` tokens.

    A row with pictures is taken whole: a cut could leave a picture without its place.

    Raises:
        DataError: a file cannot be read, a record up to there is bad, or there is no row at all.
    """
    paths, broken = expand_all(files)
    if broken:
        raise refusal(broken, DataReport())
    tokenizer, model = text_tokenizer(loaded.tokenizer), loaded.model
    config: dict[str, Any] = model.config.to_dict()
    chat = loaded.family.chat(tokenizer, config)
    slicing = getattr(chat, "slicing", None)
    loader = PictureLoader(slicing) if slicing is not None else None
    found: list[Example] = []
    report = DataReport()
    for done in survey(paths, Work(chat, tokenizer, RenderOptions(), pictures=PictureFiles()), processes=1):
        add(report, done)
        if done.error is not None or done.bad:
            error = refusal([done.error] if done.error is not None else [], report)
            raise DataError(str(error).replace(", or leave them out with data.on_bad=skip", ""))
        if done.columns is not None:
            found += [done.columns.example(row, done.path) for row in range(min(len(done.columns), count - len(found)))]
        if len(found) >= count:
            break
    if not found:
        raise DataError(f"{', '.join(files)}: there is no row to compare anything on.")
    return [_row(one if one.pictures else _cut(one, longest), tokenizer.pad_id, loader) for one in found]


def _cut(example: Example, longest: int) -> Example:
    return Example(example.input_ids[:longest], example.labels[:longest], example.origin)


def _row(example: Example, pad: int, loader: PictureLoader | None) -> UserRow:
    batch: Any = collate([example], pad, loader)
    inputs = {name: batch[name] for name in ("input_ids", "pixel_values", "image_bound") if name in batch}
    first = next((place for place, label in enumerate(example.labels) if label != IGNORE), 0)
    return UserRow(inputs, example.input_ids[:first])
