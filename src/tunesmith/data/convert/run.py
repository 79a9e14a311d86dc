"""Files -> conversations -> records of one format -> files: the whole of a conversion, top to bottom."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import IO

from ... import lookup
from ...errors import ConfigError, DataError, MachineError, RecordError
from .. import formats, sources
from ..picture_files import PictureFiles
from ..types import Conversation
from .outputs import Outputs, plan
from .shapes import SHAPES
from .split import assign, prompt_key

SHOWN = 10
"""How many bad records are kept to be named; the rest are counted."""
_EVERY = 500


@dataclass(frozen=True)
class Job:
    """What is to be converted, to what; `shares` None: one file. `progress` is told how many records are done.

    `python`: the files are written as Python prints, with single quotes. `pictures`: which of those that records name
    may be copied; addresses of the web stay as they are.
    """

    files: Sequence[str]
    shape: str
    output: str
    format: str | None = None
    shares: Sequence[float] | None = None
    seed: int = 42
    skip_bad: bool = False
    overwrite: bool = False
    python: bool = False
    pictures: PictureFiles = field(default_factory=lambda: PictureFiles(addresses="keep", opened=False))
    progress: Callable[[int], None] | None = None


@dataclass
class FileAccount:
    """What became of the records of one file that was read."""

    path: str
    format: str
    records: int = 0
    bad: int = 0


@dataclass
class Account:
    """What became of all records: of each file that was read, and how many each file holds that was written.

    `roots`: folders of pictures that the written files refer to, outside their own folder.
    """

    read: list[FileAccount] = field(default_factory=list)
    bad: list[RecordError] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    plain: object = None
    judged: object = None
    """Where the first plain conversation and the first preference record stand."""

    @property
    def faults(self) -> str:
        """The first bad records, one a line, and how many more there are."""
        count = sum(file.bad for file in self.read)
        more = [f"... and {count - SHOWN} more bad records."] if count > SHOWN else []
        return "".join(f"\n  {line}" for line in [*map(str, self.bad), *more])


def run(job: Job) -> Account:
    """Convert all records, and write the files when all are read.

    Raises:
        ConfigError: the output or the format does not fit.
        DataError: a file cannot be read, a record is bad and is not to be skipped, or none is left.
        MachineError: there is no room, or no right to write.
    """
    if job.shape not in SHAPES:
        raise ConfigError(
            f"--to: '{job.shape}' cannot be written{lookup.nearest(job.shape, list(SHAPES)) or '.'} "
            f"Known: {', '.join(SHAPES)}."
        )
    format = lookup.find(formats.__name__, job.format, "format") if job.format is not None else None
    outputs = plan(job.output, job.shape, job.shares)
    inputs = [file for path in job.files for file in sources.expand(path)]
    outputs.check(inputs, job.overwrite)
    account, keys = Account(), array("Q")
    with _spool(outputs.folder) as spool:
        for path in inputs:
            for conversation, line in _converted(path, format, job, outputs, account):
                _refuse_mixture(conversation, account)
                spool.write(line)
                if job.shares is not None:
                    keys.append(prompt_key(conversation, job.seed))
        _refuse_bad(account, job.skip_bad)
        whole = repeat(0, sum(file.records - file.bad for file in account.read))
        parts = whole if job.shares is None else map(int, assign(keys, job.shares))
        spool.seek(0)
        counts = outputs.write(spool, parts)
    account.written = {str(path): n for path, n in zip(outputs.paths, counts, strict=True) if path is not None}
    return account


def _converted(
    path: str, format: ModuleType | None, job: Job, outputs: Outputs, account: Account
) -> Iterator[tuple[Conversation, str]]:
    """Yield each good record of a file, and what is written for it; bad ones go into the account."""
    records = sources.python_records(path) if job.python else sources.scan(path)
    first = list(islice(records, formats.FIRST))
    format = format or formats.detect([record for record, _ in first], path)
    shape, folder = SHAPES[job.shape], str(outputs.folder)
    file = FileAccount(path, format.__name__.rpartition(".")[2])
    before = sum(other.records for other in account.read)
    account.read.append(file)
    for record, origin in chain(first, records):
        file.records += 1
        if job.progress is not None and file.records % _EVERY == 0:
            job.progress(before + file.records)
        try:
            if isinstance(record, RecordError):
                raise record
            conversation = job.pictures.find(format.parse(record, origin))
            line = json.dumps(shape(conversation, folder), ensure_ascii=False) + "\n"
        except RecordError as error:
            file.bad += 1
            if len(account.bad) < SHOWN:
                account.bad.append(error)
            continue
        account.roots |= job.pictures.roots_from(conversation, folder)
        yield conversation, line


@contextmanager
def _spool(folder: Path) -> Iterator[IO[str]]:
    """Open a nameless file near the output, where the records wait until all are read."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        with TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder) as stream:
            yield stream
    except OSError as error:
        raise MachineError(f"--output: '{folder}' cannot be written: {error.strerror}. Choose another place.") from None


def _refuse_mixture(conversation: Conversation, account: Account) -> None:
    """A file of records has one format, and preference data is another one than plain conversations."""
    if conversation.rejected is None and conversation.liked is None:
        account.plain = account.plain or conversation.origin
    else:
        account.judged = account.judged or conversation.origin
    if account.plain and account.judged:
        raise DataError(
            f"The records mix plain conversations ({account.plain}) with preference data ({account.judged}), which one "
            "file cannot hold. Convert them into files of their own. Nothing is written."
        )


def _refuse_bad(account: Account, skip: bool) -> None:
    bad, records = sum(file.bad for file in account.read), sum(file.records for file in account.read)
    if not bad or (skip and bad < records):
        return
    mend = "Mend them, or leave them out with --on-bad skip." if bad < records else "No record is left."
    raise DataError(f"{bad} of {records} records cannot be converted:{account.faults}\n{mend} Nothing is written.")
