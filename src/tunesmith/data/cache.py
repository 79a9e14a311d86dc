"""The cache of prepared rows: a folder for each set of files and settings, whole or not there.

It lies in $TUNESMITH_CACHE, else in tunesmith/ under $XDG_CACHE_HOME or ~/.cache, and may be deleted at any time: a
run that has its rows open keeps them. What nobody has used for DAYS is deleted by the next run.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import MachineError
from ..runs import sync

DAYS = 30
"""For how long rows are kept that are not used."""


def cache_folder() -> Path:
    """Return where prepared rows are kept on this machine."""
    if own := os.environ.get("TUNESMITH_CACHE"):
        return Path(own).expanduser() / "rows"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tunesmith" / "rows"


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; only when it is full and synced does it get the name `folder`.

    Raises:
        MachineError: the cache cannot be written, or the disk is full; nothing half-done is left.
    """
    aside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}.", dir=folder.parent))
        yield aside
        for path in aside.iterdir():
            sync(path)
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster, with the same content
                raise
        sync(folder.parent)
    except OSError as error:
        full = error.errno == errno.ENOSPC or "No space left" in str(error)
        reason = "the disk is full" if full else (error.strerror or str(error))
        raise MachineError(
            f"Prepared rows cannot be written to '{folder.parent}': {reason}. Make room, put the cache elsewhere with "
            "the environment variable TUNESMITH_CACHE=FOLDER, or train without it: data.streaming=true."
        ) from None
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def used(folder: Path) -> None:
    """Note that a folder of the cache is in use."""
    with suppress(OSError):  # a cache of somebody else, which may only be read
        os.utime(folder)


def prune(cache: Path) -> None:
    """Delete the folders that nobody has used for DAYS."""
    for folder in cache.iterdir():
        with suppress(OSError):  # another process is at it
            if time.time() - folder.stat().st_mtime > DAYS * 86400:
                shutil.rmtree(folder)
