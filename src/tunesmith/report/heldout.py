"""Which rows a run is judged by: those that it held out, or those of files that somebody gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Literal

import torch
from rich.console import Console

from ..data.chat import ChatFormat, RenderOptions
from ..data.picture_files import Addresses, PictureFiles
from ..data.pipeline import Prepared
from ..data.report import DataReport
from ..data.tokenizer import TextTokenizer
from ..data.types import Origin
from ..errors import ConfigError
from ..eval.source import Record, Source
from ..training.arguments import Precision
from ..training.distributed.ranks import Ranks
from ..training.distributed.sharing import Whole
from ..training.rows import prepare_rows
from ..training.setup import Setup
from .facts import Facts

Place = tuple[str, int]
"""File and number of a record."""


@dataclass(frozen=True)
class Wanted:
    """What is to be measured. `data`: files in place of what the run held out, and how they are read.

    `limit`: records at most of these; `max_new_tokens`: of an answer; `device` and `dtype`: as in `models.load`.
    """

    data: tuple[str, ...] = ()
    on_bad: Literal["stop", "skip"] = "stop"
    format: str | None = None
    limit: int = 50
    max_new_tokens: int = 128
    device: str | None = None
    dtype: str | None = None


@dataclass
class Part(Source):
    """Some records of files. `chosen` are those; `whole` is how many there are to choose from."""

    chosen: frozenset[Place] = frozenset()
    whole: int = 0

    @cached_property
    def records(self) -> list[Record]:
        """The conversations of the chosen records."""
        return [record for record in super().records if _place(record.conversation.origin) in self.chosen]

    def rows(self, chat: ChatFormat, tokenizer: TextTokenizer, shown: Callable[[int, float], None]) -> Prepared:
        """Return the chosen records as rows."""
        prepared = super().rows(chat, tokenizer, shown)
        kept = [n for n in range(len(prepared)) if _place(prepared[n].origin) in self.chosen]
        digest = hashlib.sha256(f"{prepared.fingerprint} {kept}".encode()).hexdigest()
        return replace(prepared, chosen=prepared.chosen[kept], report=DataReport(), fingerprint=digest)


def of_run(facts: Facts, limit: int) -> Part:
    """Return at most `limit` of the rows that a run held out, spread evenly over them.

    Raises:
        ConfigError: it held none out, or they are not those of the run any more.
        UserError: they cannot be read.
    """
    config = facts.config
    if not facts.validates:
        raise ConfigError(
            "The run held no rows out (no data.validation, no data.validation_share), and rows that it learned from "
            "would tell nothing. Give others with --data FILE."
        )
    quiet, cpu = Console(quiet=True), torch.device("cpu")
    rows = prepare_rows(config, Setup(cpu, Precision(torch.float32, torch.float32, ""), quiet, [], Whole(Ranks(), cpu)))
    if facts.data.get("fingerprint") != rows.fingerprint:
        raise ConfigError(
            "The data files, the tokenizer or the template have changed since the run, so what it held out is not known "
            "any more. Put them back, or give rows with --data FILE."
        )
    assert rows.validation is not None  # it validates
    held = rows.validation
    places = [_place(held[number].origin) for number in spread(len(held), limit)]
    files = config.data.validation or config.data.train_paths
    # the run has read them all; what cannot be asked is a plain text, or an answer that is marked as a bad one
    return _part(replace(_source(facts, files), on_bad="skip"), places, len(held))


def of_files(facts: Facts, wanted: Wanted) -> Part:
    """Return some of the records of the files that are given, spread evenly over them.

    Raises:
        DataError: a file cannot be read, or holds bad records.
    """
    source = replace(_source(facts, wanted.data), on_bad=wanted.on_bad, format=wanted.format)
    places = [_place(record.conversation.origin) for record in source.records]
    return _part(source, [places[number] for number in spread(len(places), wanted.limit)], len(places))


def spread(count: int, limit: int) -> list[int]:
    """Return at most `limit` of the numbers 0 to count - 1, the first and the last and those evenly between."""
    if count <= limit:
        return list(range(count))
    return sorted({round(number * (count - 1) / max(limit - 1, 1)) for number in range(limit)})


def _source(facts: Facts, files: Sequence[str]) -> Source:
    """Return the records of files, read and rendered as the run did."""
    data = facts.config.data
    addresses: Addresses = "fetch" if data.fetch_pictures else "refuse"
    pictures = PictureFiles.of(data.picture_roots, addresses, "data.picture_roots")
    options = RenderOptions(data.max_length, data.end_of_turn, data.loss_on)
    return Source(list(files), options, data.on_bad, data.format, pictures)


def _part(source: Source, places: Sequence[Place], whole: int) -> Part:
    """Return some records of a source. Their pictures have been opened once; who answers opens them again."""
    same = {one.name: getattr(source, one.name) for one in fields(source)}
    pictures = replace(source.pictures, opened=False)
    return Part(**{**same, "pictures": pictures, "report": DataReport()}, chosen=frozenset(places), whole=whole)


def _place(origin: Origin | None) -> Place:
    assert origin is not None  # every record that was read has one
    return origin.file, origin.record
