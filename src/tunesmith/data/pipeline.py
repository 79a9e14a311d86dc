"""Files -> rows: read, parse and render every record, and account for each of them.

`prepare` gives a map-style dataset of Examples and a report. No record is dropped or cut without standing in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from .. import lookup
from ..errors import ConfigError, DataError, RecordError
from . import formats, sources
from .chat import ChatFormat, RenderOptions, render
from .report import DataReport, FileReport, refusal
from .rows import GrowingRows, Prepared, split
from .tokenizer import TextTokenizer
from .types import Conversation, Example

__all__ = ["DataReport", "FileReport", "OnBad", "Preparation", "Prepared", "prepare", "split"]

LAYOUT = 1
"""Part of every fingerprint: raised when the same files and settings begin to give other rows."""

OnBad = Literal["stop", "skip"]


def prepare(
    files: Sequence[str],
    chat: ChatFormat,
    tokenizer: TextTokenizer,
    options: RenderOptions,
    on_bad: OnBad = "stop",
    format: str | None = None,
) -> Prepared:
    """Read, parse and render all records of `files`; see `Preparation.run`."""
    return Preparation(chat, tokenizer, options, on_bad, format).run(files)


@dataclass(frozen=True)
class Preparation:
    """How records become rows.

    `on_bad`: `stop` raises when all files are read, with every bad record named; `skip` leaves bad records out and
    names them in the report. `format`: found out from each file's first records if None. `progress` is called with
    the number of records that are done, after each one.
    """

    chat: ChatFormat
    tokenizer: TextTokenizer
    options: RenderOptions
    on_bad: OnBad = "stop"
    format: str | None = None
    progress: Callable[[int], None] | None = None

    def run(self, files: Sequence[str]) -> Prepared:
        """Return the rows of all records.

        Raises:
            DataError: a file cannot be read, a record is bad and `on_bad` is "stop", or no record can be used.
            ConfigError: `format` is unknown.
        """
        if self.on_bad not in ("stop", "skip"):
            raise ConfigError(f"data.on_bad: '{self.on_bad}' is neither 'stop' nor 'skip'.")
        if not files:
            raise DataError("No data file is given.")
        format = lookup.find(formats.__name__, self.format, "data.format") if self.format is not None else None
        rows, report, broken = GrowingRows(tuple(map(str, files))), DataReport(), []
        for number in range(len(files)):
            try:
                self._read(number, format, rows, report)
            except DataError as error:  # the file itself; the other files are read all the same
                broken.append(error)
        if broken or not len(rows) or (report.bad and self.on_bad == "stop"):
            raise refusal(broken, report)
        return Prepared.whole(rows.finished(), report, self._fingerprint(report))

    def _read(self, number: int, format: ModuleType | None, rows: GrowingRows, report: DataReport) -> None:
        """Add the records of file `number` to the rows and the report."""
        path = rows.files[number]
        records = sources.scan(path)
        first = list(islice(records, formats.FIRST))
        format = format or formats.detect([record for record, _ in first], path)
        file = FileReport(path, format.__name__.rpartition(".")[2])
        report.files.append(file)
        done = sum(before.records for before in report.files)
        for record, origin in chain(first, records):
            file.records += 1
            try:
                if isinstance(record, RecordError):
                    raise record
                example = self._render(format.parse(record, origin), report)
                rows.append(example, number)
                file.kept += 1
            except RecordError as error:
                file.bad.append(error)
            if self.progress is not None:
                self.progress(done + file.records)

    def _render(self, conversation: Conversation, report: DataReport) -> Example:
        example = render(conversation, self.chat, self.tokenizer, self.options)
        report.tokens += len(example.input_ids)
        report.label_tokens += example.label_count
        if example.cut:
            whole = render(conversation, self.chat, self.tokenizer, replace(self.options, max_length=None))
            report.cut_rows += 1
            report.cut_tokens += example.cut
            report.cut_label_tokens += whole.label_count - example.label_count
        return example

    def _fingerprint(self, report: DataReport) -> str:
        """Return the SHA-256 over everything that decides about the rows: bytes of the files, formats, settings."""
        total = hashlib.sha256()
        for file in report.files:
            total.update(f"{file.format} {_file_digest(file.path)}\n".encode())
        chat = {name: getattr(self.chat, name) for name in ("name", "encoding", "bos", "stop_texts")}
        settings = [LAYOUT, self.tokenizer.fingerprint, chat, _plain(self.chat), asdict(self.options)]
        total.update(json.dumps(settings, sort_keys=True).encode())
        return total.hexdigest()


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are plain values (a template's text is in the tokenizer's fingerprint)."""
    fields = vars(value) if is_dataclass(value) else {}
    kept = {name: field for name, field in fields.items() if isinstance(field, (str, int, float, tuple))}
    return {"type": type(value).__qualname__, **kept}


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
