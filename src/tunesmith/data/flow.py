"""Files -> blocks -> rows: the stream that preparing, checking and streaming training all drink from.

`survey` reads files block by block, lets several processes parse and render, and gives back what became of each
block, in order. It holds a few blocks at a time, whatever the size of the data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from .. import lookup
from ..errors import DataError, RecordError
from . import formats, sources
from .chat import ChatFormat, RenderOptions
from .picture_files import PictureFiles
from .preferences import rows_of, with_others
from .rows import Columns
from .sources import Block
from .tokenizer import TextTokenizer
from .types import Conversation, Example
from .workers import Workers, cores

SMALL = 2 * 2**20
"""Bytes of data below which starting other processes takes longer than the work."""

Probe = Callable[[list[Conversation], list[list[Example]]], Any]


@dataclass(frozen=True)
class Work:
    """What is done with records; picklable, since every worker process gets it.

    Without `chat` and `tokenizer` records are only parsed. `format`: found out from a file's first records if None.
    `probe(conversations, rows)` is called once a block, with the rows of each conversation; what it returns comes
    back as `Done.probed`. `keep`: whether rows come back as `Done.columns`.
    `pictures`: which of the pictures that records name may be read.
    """

    chat: ChatFormat | None = None
    tokenizer: TextTokenizer | None = None
    options: RenderOptions = field(default_factory=RenderOptions)
    format: str | None = None
    probe: Probe | None = None
    keep: bool = True
    pictures: PictureFiles = field(default_factory=PictureFiles)


@dataclass
class Done:
    """What became of one block of records.

    `position` of `size` bytes of the file are done. `notes`: what should be said about how the file is read (with its
    first block). `error`: the file cannot be read on from here.
    """

    path: str
    format: str | None
    records: int = 0
    columns: Columns | None = None
    bad: list[RecordError] = field(default_factory=list)
    unlearned: int = 0
    probed: Any = None
    position: int = 0
    size: int = 0
    notes: list[str] = field(default_factory=list)
    error: DataError | None = None


@dataclass(frozen=True)
class _Job:
    """A block on its way to a worker, or the error that stands in its place."""

    path: str
    format: str | None
    size: int
    block: Block | None
    notes: tuple[str, ...] = ()
    error: DataError | None = None


def survey(files: Sequence[str], work: Work, processes: int | None = None) -> Iterator[Done]:
    """Yield what becomes of each block of records of the files, in order; `processes` None: one for each core.

    A file that cannot be read, or no further, gives a last Done with `error`; the next file is read all the same.

    Raises:
        ConfigError: `work.format` is unknown.
    """
    if work.format is not None:
        lookup.find(formats.__name__, work.format, "data.format")
    count = cores() if processes is None else processes
    if sum(_size(path) for path in files) < SMALL:
        count = 1
    jobs, run = _jobs(files, work.format), partial(_run, work)
    if count == 1:
        yield from _until_broken(map(run, jobs))
        return
    with Workers(run, count) as workers:
        yield from _until_broken(workers.map(jobs))


def _until_broken(results: Iterator[Done]) -> Iterator[Done]:
    """Leave out what was read of a file behind the place where it is broken."""
    broken = None
    for done in results:
        if broken is None or done.path != broken:
            yield done
        broken = done.path if done.error is not None else broken


def _jobs(files: Sequence[str], format: str | None) -> Iterator[_Job]:
    for path in files:
        chosen, size = format, _size(path)
        try:
            for number, block in enumerate(sources.blocks(path)):
                notes = tuple(sources.note(path)) if number == 0 else ()
                if chosen is None:
                    first = [record for record, _ in islice(block.records(), formats.FIRST)]
                    chosen = formats.detect(first, path).__name__.rpartition(".")[2]
                yield _Job(path, chosen, size, block, notes)
        except DataError as error:
            yield _Job(path, chosen, size, None, error=error)


def _size(path: str) -> int:
    return os.stat(path).st_size if Path(path).exists() else 0


def _run(work: Work, job: _Job) -> Done:
    """Parse and render the records of a block: the function of the worker processes."""
    done = Done(job.path, job.format, size=job.size, notes=list(job.notes), error=job.error)
    if job.block is None or job.format is None:
        return done
    parse = lookup.find(formats.__name__, job.format).parse
    conversations: list[Conversation] = []
    rows: list[list[Example]] = []
    try:
        for record, origin in job.block.records():
            done.records += 1
            try:
                if isinstance(record, RecordError):
                    raise record
                conversation = work.pictures.find(parse(record, origin))
                if work.chat is not None and work.tokenizer is not None:
                    rows.append(rows_of(conversation, work.chat, work.tokenizer, work.options))
                conversations.append(conversation)
            except RecordError as error:
                done.bad.append(error)
    except DataError as error:
        done.error = error
    done.position = job.block.end
    imitated = work.options.answers == "good"
    done.unlearned = sum(imitated and conversation.liked is False for conversation in conversations)
    if work.options.answers == "judged":
        rows = with_others(rows, work.options.max_length)
    if work.keep:
        learned = zip(conversations, rows, strict=False)  # there are no rows without a tokenizer
        done.columns = Columns.of(
            [row for each, made in learned if each.liked is not False or not imitated for row in made]
        )
    if work.probe is not None:
        done.probed = work.probe(conversations, rows)
    return done
