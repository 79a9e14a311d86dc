"""Files -> rows: read, parse and render every record once, keep the rows on disk, and account for each record.

`prepare` gives a map-style dataset of Examples and a report. No record is dropped or cut without standing in it. The
same files with the same settings are not read a second time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError, DataError
from ..runs import read_json, write_json
from . import sources
from .cache import cache_folder, filling, prune, used
from .chat import ChatFormat, RenderOptions
from .flow import Done, Work, survey
from .picture_files import fetched_folder
from .prepared import Prepared, Weight, split, weigh
from .report import DataReport, FileReport, refusal
from .rows import Rows, RowsWriter
from .slicing import Slicing
from .tokenizer import TextTokenizer

__all__ = ["DataReport", "FileReport", "OnBad", "Preparation", "Prepared", "Weight", "prepare", "split", "weigh"]

LAYOUT = 5
"""Part of every fingerprint: raised when the same files and settings begin to give other rows."""

OnBad = Literal["stop", "skip"]
_ROWS, _REPORT, _PICTURES = "rows.arrow", "report.json", "pictures.json"


def prepare(
    files: Sequence[str],
    chat: ChatFormat,
    tokenizer: TextTokenizer,
    options: RenderOptions,
    on_bad: OnBad = "stop",
    format: str | None = None,
) -> Prepared:
    """Read, parse and render all records of `files`; see `Preparation.run`."""
    return Preparation(Work(chat, tokenizer, options, format), on_bad).run(files)


@dataclass(frozen=True)
class Preparation:
    """How records become rows.

    `on_bad`: `stop` raises when all files are read, with every bad record named; `skip` leaves bad records out and
    names them in the report. `progress` is called after each block of records with the number of records that are
    done and the share of the bytes (0 to 1). `processes`: one for each core if None.
    """

    work: Work
    on_bad: OnBad = "stop"
    processes: int | None = None
    progress: Callable[[int, float], None] | None = None

    def run(self, files: Sequence[str]) -> Prepared:
        """Return the rows of all records; `files` are files, folders or patterns.

        Raises:
            DataError: a file cannot be read, a record is bad and `on_bad` is "stop", or no record can be used.
            ConfigError: the format is unknown.
            MachineError: the rows cannot be kept on disk.
        """
        if self.on_bad not in ("stop", "skip"):
            raise ConfigError(f"data.on_bad: '{self.on_bad}' is neither 'stop' nor 'skip'.")
        if not files:
            raise DataError("No data file is given.")
        paths, broken = expand_all(files)
        folder = cache_folder() / self.key(paths)
        if not broken and (folder / _REPORT).is_file() and not self._still_true(folder):
            shutil.rmtree(folder)
        if not broken and (folder / _REPORT).is_file():
            prepared = self._open(folder, paths)
            if prepared.report.bad and self.on_bad == "stop":
                raise refusal([], prepared.report)
            return prepared
        with filling(folder) as aside, ThreadPoolExecutor(1) as hashing:
            digests = {path: hashing.submit(_file_digest, path) for path in paths}
            report, pictures = self._fill(aside / _ROWS, paths, broken)
            for file in report.files:
                file.sha256 = digests[file.path].result()
            content, stats = report.as_json(), _stats(pictures)
            if stats:
                write_json(aside / _PICTURES, stats)
            parts = [(file.format, file.sha256) for file in report.files]
            parts += [("picture", f"{Path(path).name} {stat[0]}") for path, stat in sorted(stats.items()) if stat]
            fingerprint = self._fingerprint(parts)
            write_json(aside / _REPORT, {"fingerprint": fingerprint, "report": content})
        for cache in filter(Path.is_dir, (folder.parent, fetched_folder())):
            prune(cache)
        return self._open(folder, paths)

    def _open(self, folder: Path, paths: list[str]) -> Prepared:
        used(folder)
        content = read_json(folder / _REPORT)
        return Prepared.whole(
            Rows(folder / _ROWS, paths), DataReport.from_json(content["report"]), content["fingerprint"]
        )

    @staticmethod
    def _still_true(folder: Path) -> bool:
        """Tell whether the pictures are still what they were: a row's ids depend on them, a missing one may have come."""
        stats = read_json(folder / _PICTURES) or {}
        report = DataReport.from_json(read_json(folder / _REPORT)["report"])
        return stats == _stats(stats) and not any("image" in error.field for error in report.bad)

    def _fill(self, path: Path, paths: list[str], broken: list[DataError]) -> tuple[DataReport, set[str]]:
        """Write all rows into an Arrow file and return the report, and the files of all pictures.

        Raises:
            DataError: there is something to refuse.
        """
        report, rows, sizes = DataReport(), 0, {path: os.stat(path).st_size for path in paths}
        before, current = 0, ""
        pictures: set[str] = set()
        with RowsWriter(path) as writer:
            for done in survey(paths, self.work, self.processes):
                if done.path != current:
                    before += sizes.get(current, 0)
                    current = done.path
                if done.error is not None:
                    broken.append(done.error)
                rows += add(report, done)
                if done.columns is not None and not broken:
                    writer.append(done.columns, paths.index(done.path))
                    pictures |= done.columns.picture_files()
                if self.progress is not None:
                    total = sum(file.records for file in report.files)
                    self.progress(total, (before + done.position) / max(sum(sizes.values()), 1))
        if broken or not rows or (report.bad and self.on_bad == "stop"):
            if not broken and not report.bad:
                count = sum(file.records for file in report.files)
                raise DataError(
                    f"None of the {count} records is to be learned from: all answers are marked as bad ones (label "
                    "false). Give records with good answers too."
                )
            raise refusal(broken, report)
        return report, pictures

    def key(self, paths: Sequence[str]) -> str:
        """Return the name of the cache's folder: files by path, size and time, and everything else that decides."""
        files = []
        for path in paths:
            stat = os.stat(path)
            files.append([str(Path(path).resolve()), path, stat.st_size, stat.st_mtime_ns, stat.st_ino])
        settings = [files, self.work.format, self.work.pictures.key, self._settings()]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:40]

    def _settings(self) -> list[Any]:
        work = self.work
        assert work.chat is not None and work.tokenizer is not None  # rows need both
        chat = {name: getattr(work.chat, name) for name in ("name", "encoding", "bos", "stop_texts")}
        return [LAYOUT, work.tokenizer.fingerprint, chat, _plain(work.chat), asdict(work.options)]

    def _fingerprint(self, files: list[tuple[str, str]]) -> str:
        """Return the SHA-256 over everything that decides about the rows: bytes of the files, formats, settings."""
        total = hashlib.sha256()
        for format, digest in files:
            total.update(f"{format} {digest}\n".encode())
        total.update(json.dumps(self._settings(), sort_keys=True).encode())
        return total.hexdigest()


def expand_all(files: Sequence[str]) -> tuple[list[str], list[DataError]]:
    """Return the data files that files, folders and patterns stand for, and what is wrong with the others."""
    paths: dict[Path, str] = {}
    broken = []
    for file in files:
        try:
            for path in sources.expand(file):
                if earlier := paths.get(same := Path(path).resolve()):
                    also = f" (also as '{earlier}')" if earlier != path else ""
                    raise DataError(f"'{path}' is given twice{also}. Give it once; with a weight of 2 it comes twice.")
                paths[same] = path
        except DataError as error:
            broken.append(error)
    return list(paths.values()), broken


def add(report: DataReport, done: Done) -> int:
    """Add a block to the report; return how many rows it gave."""
    if not report.files or report.files[-1].path != done.path:
        if done.format is None:
            return 0  # the file is no file of records: its error says so
        report.files.append(FileReport(done.path, done.format))
    file = report.files[-1]
    file.records += done.records
    file.kept += done.records - len(done.bad)
    file.bad += done.bad
    file.unlearned += done.unlearned
    file.notes += done.notes
    columns = done.columns
    if columns is None or not len(columns):
        return 0
    report.tokens += len(columns.input_ids)
    report.label_tokens += int(columns.label_counts.sum())
    report.cut_rows += int((columns.cut > 0).sum())
    report.cut_tokens += int(columns.cut.sum())
    report.cut_label_tokens += int(columns.cut_labels.sum())
    return len(columns)


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are plain values (a template's text is in the tokenizer's fingerprint)."""
    fields = vars(value) if is_dataclass(value) else {}
    kept: dict[str, Any] = {n: field for n, field in fields.items() if isinstance(field, (str, int, float, tuple))}
    kept |= {name: asdict(field) for name, field in fields.items() if isinstance(field, Slicing)}
    return {"type": type(value).__qualname__, **kept}


def _stats(paths: Iterable[str]) -> dict[str, list[int]]:
    """Return size and time of files; nothing of one that is gone."""
    found = {}
    for path in paths:
        try:
            stat = os.stat(path)
            found[path] = [stat.st_size, stat.st_mtime_ns]
        except (OSError, ValueError):  # gone, or no file (a `data:` text)
            found[path] = []
    return found


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
