"""The files that are written: their names, that nothing is lost by writing them, and their content, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...errors import ConfigError, MachineError
from ...runs import replacing
from .split import PARTS

SUFFIXES = (".json", ".jsonl")


@dataclass(frozen=True)
class Outputs:
    """Where the records go: one file, or one a part; `listed`: as a JSON list; `numbered`: each with an id."""

    paths: tuple[Path | None, ...]
    listed: bool
    numbered: bool

    @property
    def folder(self) -> Path:
        """The folder of all files."""
        return next(path for path in self.paths if path is not None).parent

    def check(self, inputs: Iterable[str], overwrite: bool) -> None:
        """Check that writing takes nothing away.

        Raises:
            ConfigError: a file is there, or is one of the inputs.
        """
        paths = [path for path in self.paths if path is not None]
        for source in inputs:
            for path in paths:
                if path.exists() and os.path.exists(source) and path.samefile(source):
                    raise ConfigError(f"--output: '{path}' is one of the files that are read. Choose another name.")
        for path in paths:
            if path.is_dir():
                raise ConfigError(f"--output: '{path}' is a folder. Give the name of a file.")
            if path.exists() and not overwrite:
                raise ConfigError(f"--output: '{path}' is there already. Choose another name, or give --overwrite.")

    def write(self, lines: Iterable[str], parts: Iterable[int]) -> list[int]:
        """Write each line, a JSON object, into the file of its part; return how many each file has.

        Raises:
            MachineError: it cannot be written; then no file is.
        """
        counts = [0] * len(self.paths)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                streams = [stack.enter_context(replacing(path)) if path is not None else None for path in self.paths]
                for line, part in zip(lines, parts, strict=True):
                    stream = streams[part]
                    assert stream is not None  # no record is in a part without a share
                    self._write(stream, line, counts[part])
                    counts[part] += 1
                if self.listed:
                    for stream in streams:
                        if stream is not None:
                            stream.write("\n]\n")
        except OSError as error:
            raise MachineError(f"'{self.folder}' cannot be written: {error.strerror}. Nothing is changed.") from None
        return counts

    def _write(self, stream: IO[str], line: str, number: int) -> None:
        line = line.rstrip("\n")
        if self.numbered:
            line = f'{{"id": "{number}", {line[1:]}'
        stream.write((",\n" if number else "[\n") + line if self.listed else line + "\n")


def plan(output: str, shape: str, shares: Sequence[float] | None) -> Outputs:
    """Return which files `--output` means for a format, and for parts with these shares.

    Raises:
        ConfigError: the name does not fit what is to be written.
    """
    path = Path(output)
    named = path.suffix.casefold() in SUFFIXES and not path.is_dir()
    suffix = path.suffix if named else (".json" if shape == "vision" else ".jsonl")
    listed = suffix.casefold() == ".json"
    if shape == "vision" and not listed:
        raise ConfigError(f"--output: '{output}': the published MiniCPM-V code reads a JSON list. End it in .json.")
    if shares is None:
        if not named:
            mend = "Give the name of a file that ends in .json or .jsonl."
            raise ConfigError(
                f"--output: '{output}' {'is a folder' if path.is_dir() else 'has no such ending'}. {mend}"
            )
        return Outputs((path,), listed, shape == "vision")
    names = [path.with_name(f"{path.stem}_{part}{suffix}") if named else path / f"{part}{suffix}" for part in PARTS]
    for name, share in zip(names, shares, strict=True):
        if not share and name.exists():
            raise ConfigError(
                f"--output: '{name}' is there from an earlier split, and this one has no such part. Remove it, so that "
                "nobody takes the two for one."
            )
    paths = tuple(name if share else None for name, share in zip(names, shares, strict=True))
    return Outputs(paths, listed, shape == "vision")
