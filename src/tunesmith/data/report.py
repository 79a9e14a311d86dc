"""The account of all records: what is kept, what is bad, and how much is cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..errors import DataError, RecordError
from .types import Origin

SHOWN = 10
"""How many bad records a message names; the rest are counted."""


@dataclass
class FileReport:
    """What became of the records of one file.

    `kept` can be used; `unlearned` of them are not learned from (answers that are marked as bad ones). `notes`: how
    the file was read, where that is not as usual. `sha256`: of the file's bytes, where they were looked at as a whole.
    """

    path: str
    format: str
    records: int = 0
    kept: int = 0
    bad: list[RecordError] = field(default_factory=list)
    unlearned: int = 0
    notes: list[str] = field(default_factory=list)
    sha256: str = ""


@dataclass
class DataReport:
    """What became of all records: per file, and how many tokens are kept and cut."""

    files: list[FileReport] = field(default_factory=list)
    tokens: int = 0
    label_tokens: int = 0
    cut_rows: int = 0
    cut_tokens: int = 0
    cut_label_tokens: int = 0

    @property
    def bad(self) -> list[RecordError]:
        """All records that cannot be used, in the order of the files."""
        return [error for file in self.files for error in file.bad]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types; a bad record is its index, line, field, reason and mend."""
        content = dict(vars(self))
        content["files"] = [{**vars(file), "bad": [_bad_as_json(error) for error in file.bad]} for file in self.files]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> DataReport:
        """Return the report that `as_json` wrote."""
        files = []
        for file in content["files"]:
            bad = [
                RecordError(Origin(file["path"], e["index"], e["line"]), e["field"], e["reason"], e["mend"])
                for e in file["bad"]
            ]
            files.append(FileReport(**{**file, "bad": bad}))
        return cls(**{**content, "files": files})


def refusal(broken: list[DataError], report: DataReport) -> DataError:
    """Return the one error that names all files and records at fault; only the first bad records are printed."""
    bad, records, kept = report.bad, sum(file.records for file in report.files), sum(f.kept for f in report.files)
    if not bad and len(broken) == 1:
        return broken[0]
    counted = [f"{len(broken)} data file{'s' * (len(broken) > 1)}"] if broken else []
    counted += [f"{len(bad)} of {records} records"] if bad else []
    faults = [*map(str, broken), *map(str, bad[:SHOWN])]
    faults += [f"... and {len(bad) - SHOWN} more bad records."] if len(bad) > SHOWN else []
    mend = "\nMend them, or leave them out with data.on_bad=skip." if kept and not broken else ""
    return DataError(f"{' and '.join(counted)} cannot be used:\n  " + "\n  ".join(faults) + mend)


def _bad_as_json(error: RecordError) -> dict[str, Any]:
    origin = error.origin
    place = {"index": origin.record, "line": origin.line} if isinstance(origin, Origin) else {}
    return {**place, "field": error.field, "reason": error.reason, "mend": error.mend}
