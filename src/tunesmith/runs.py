"""The run folder: what a run was told, what it did, and how it ended; written so that no file is ever half there."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from .errors import ConfigError, MachineError

CONFIG, STATUS, METRICS, ENVIRONMENT, DATA = (
    "config.yaml",
    "status.json",
    "metrics.jsonl",
    "environment.json",
    "data.json",
)
RECORDED, RECORDED_FACTS = "verification.safetensors", "verification.json"
"""Rows of a run's data with the logits of what it trained, and what they were computed in."""
PACKAGES = ("tunesmith", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def share(file: Path) -> None:
    """Let those read a file who may read its folder, as the umask has made it: safetensors writes for its owner alone."""
    file.chmod(file.parent.stat().st_mode & 0o666)


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """Give a text file to write; only when all is written and synced does it get the name `path`."""
    aside = path.with_name(f".{path.name}.partial")
    try:
        with aside.open("w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is either the old one or the new one, never a part."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # a file name that is not UTF-8, or half a character that a message quotes
            text = json.dumps(content, indent=2)
    with replacing(path) as stream:
        stream.write(f"{text}\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise before anything is written if `needed` bytes (and a little more) are not free.

    Raises:
        MachineError: too little space; says how much is needed and how much is there.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + 2**20:
        raise MachineError(
            f"No disk space for {what}: about {needed / 2**20:,.0f} MiB are needed in '{folder}', and "
            f"{free / 2**20:,.0f} MiB are free. Nothing that was saved before is touched. Make room, then run the "
            "same command again: it resumes."
        )


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run. Holds config.yaml, status.json, metrics.jsonl, checkpoints/ and the result.

    `writes`: whether this process keeps it. Of a run in several processes one does; in the others its methods that
    write do nothing.
    """

    path: Path
    writes: bool = True

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON object a line for each logged step."""
        return self.path / METRICS

    @property
    def status(self) -> dict[str, Any]:
        """The content of status.json; empty if there is none."""
        return read_json(self.path / STATUS) or {}

    def set_status(self, state: str, **details: Any) -> None:
        """Write status.json: `state` is running, interrupted, failed or finished; the details go beside it."""
        if self.writes:
            write_json(self.path / STATUS, {"state": state, **details})

    def write_environment(self, ranks: int = 1, more: Mapping[str, Any] | None = None) -> None:
        """Write versions, machine, the number of processes and what else is known (`more`) to environment.json."""
        if not self.writes:
            return
        versions = {}
        for package in PACKAGES:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = "not installed"
        machine = {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
        write_json(self.path / ENVIRONMENT, {"versions": versions, "machine": machine, "ranks": ranks, **(more or {})})

    def add_metrics(self, line: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        if self.writes:
            with self.metrics.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")

    def metric_lines(self) -> list[dict[str, Any]]:
        """Return all lines of metrics.jsonl; a last line that a kill has cut is left out."""
        lines = []
        if self.metrics.is_file():
            for line in self.metrics.read_text(encoding="utf-8").splitlines():
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    break
        return lines

    def rewind_metrics(self, step: int) -> None:
        """Keep the metrics up to `step`: what came after it will be computed again."""
        if not self.writes:
            return
        kept = [line for line in self.metric_lines() if line["step"] <= step]
        with replacing(self.metrics) as stream:
            stream.writelines(json.dumps(line) + "\n" for line in kept)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
            ConfigError: another process holds it.
        """
        if not self.writes:
            yield
            return
        with (self.path / ".lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"The run '{self.path}' is being written by another process. Wait for it, or choose another output."
                ) from None
            yield


def open_run(output: str | Path) -> RunFolder:
    """Create the folder if need be and return it.

    Raises:
        ConfigError: the path is a file, or a folder of something else.
        MachineError: it cannot be written.
    """
    path = Path(output)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"output: '{path}' is a file. Give the path of a folder for the run.")
    if path.is_dir() and any(path.iterdir()) and not (path / STATUS).is_file():
        raise ConfigError(
            f"output: '{path}' holds other files and no run of tunesmith (no {STATUS}). Nothing there is touched; "
            "choose another folder."
        )
    try:
        (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"output: '{path}' cannot be written: {error.strerror}. Choose another folder.") from None
    return RunFolder(path)


def move_aside(path: Path) -> Path:
    """Rename a run folder to the first free name `<name>.<n>` beside it, and return that."""
    number = 1
    while (target := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(target)
    return target
