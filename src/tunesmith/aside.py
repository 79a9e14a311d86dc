"""A folder that is written whole or not at all: under a hidden name first, renamed when everything is on the disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ConfigError, MachineError
from .runs import share, sync


def free_place(place: str | Path, option: str) -> Path:
    """Return the absolute path of a folder that is to be made, with the folder above it in place.

    `option` is how the user names the place.

    Raises:
        ConfigError: there is something already.
        MachineError: the folder above it cannot be made.
    """
    folder = Path(place).expanduser()
    if folder.is_symlink() or folder.exists():
        raise ConfigError(
            f"'{folder}' exists already. Nothing there is touched: move it away, or choose another folder with {option}."
        )
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"'{folder.parent}' cannot be made: {error.strerror}. Choose another folder.") from None
    return folder.absolute()


@contextmanager
def written_aside(folder: Path, option: str) -> Iterator[Path]:
    """Give a hidden folder to write into; it gets the name `folder` at the end, and is removed if anything happens.

    Who may read the folder may read its files. `option` is how the user names the place.

    Raises:
        MachineError: the disk is full or cannot be written.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # of a command that was killed
        aside.mkdir()
        yield aside
        for file in sorted(path for path in aside.rglob("*") if path.is_file()):
            share(file)
            sync(file)
        sync(aside)
        os.rename(aside, folder)
        sync(folder.parent)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        # safetensors reports a full disk in its own words and types
        if isinstance(error, OSError) or "No space left" in str(error):
            full = getattr(error, "errno", errno.ENOSPC) == errno.ENOSPC
            raise MachineError(
                f"'{folder}' could not be written: {'the disk is full' if full else error}. What had been written is "
                f"removed. Make room or choose another folder with {option}, then run the command again."
            ) from error
        raise
