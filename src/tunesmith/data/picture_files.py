"""Where the pictures of a record lie: inside folders that are allowed, or at an address of the web, if that is asked for.

A data file often comes from somebody else. So its pictures are read from its own folder alone, symbolic links and `..`
followed; other folders (`roots`) are named by who runs the program, and relative paths are looked for there too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ..errors import ConfigError, PictureError, RecordError
from .cache import cache_folder
from .formats._images import WEB
from .types import Conversation, ImageRef, Origin

Addresses = Literal["refuse", "fetch", "keep"]


def fetched_folder() -> Path:
    """Return where pictures of the web are kept on this machine."""
    return cache_folder().parent / "fetched"


@dataclass(frozen=True)
class PictureFiles:
    """Which pictures may be read; picklable, since every worker process gets it.

    `roots`: folders beside the one of the data file. `addresses`: pictures of the web are refused, fetched into the
    cache, or left as they are. `opened`: each picture is opened and decoded to its end, once, so that a broken one is
    named with its record and not met by the training; who only copies records does without.
    """

    roots: tuple[str, ...] = ()
    addresses: Addresses = "refuse"
    opened: bool = True

    @classmethod
    def of(cls, roots: Sequence[str], addresses: Addresses, setting: str, opened: bool = True) -> PictureFiles:
        """Return the rules that somebody has set; `setting` names where.

        Raises:
            ConfigError: a root is no folder.
        """
        folders = tuple(os.path.expanduser(root) for root in roots)
        for root in folders:
            if not os.path.isdir(root):
                state = "is not a folder" if os.path.exists(root) else "does not exist"
                raise ConfigError(f"{setting}: '{root}' {state}. Give the folder that holds the pictures.")
        return cls(folders, addresses, opened)

    @property
    def key(self) -> list[str]:
        """What decides which pictures are found, for the cache of rows."""
        return [self.addresses, *self.roots, *map(os.path.realpath, self.roots)]

    def find(self, conversation: Conversation) -> Conversation:
        """Return the conversation with the path of each picture; the files are there, and pictures if `opened`.

        Raises:
            RecordError: a picture is not there, or must not be read; the message names the setting that allows it.
            DataError: a picture was fetched, but cannot be kept.
        """
        if not conversation.images:
            return conversation
        origin = conversation.origin
        assert origin is not None  # every parsed record has one
        return replace(conversation, images=tuple(self._found(ref, origin) for ref in conversation.images))

    def roots_from(self, conversation: Conversation, folder: str) -> set[str]:
        """Return the roots that a data file in `folder` needs for the pictures of a conversation that were found."""
        real = [os.path.realpath(ref.path) for ref in conversation.images if not WEB.match(ref.path)]
        outside = [path for path in real if not _inside(path, os.path.realpath(folder))]
        if not outside:
            return set()
        assert conversation.origin is not None  # every parsed record has one
        allowed = self._allowed(conversation.origin)
        return {next(root for root in allowed if _inside(path, root)) for path in outside}

    def _allowed(self, origin: Origin) -> list[str]:
        return [os.path.realpath(root) for root in (str(Path(origin.file).parent), *self.roots)]

    def _found(self, ref: ImageRef, origin: Origin) -> ImageRef:
        if WEB.match(ref.written):
            return self._of_the_web(ref, origin)
        allowed, outside = self._allowed(origin), None
        for path in (ref.path, *(str(Path(root) / ref.written) for root in self.roots)):
            try:
                real = os.path.realpath(path)
            except ValueError:  # no file has such a name
                continue
            if not any(_inside(real, root) for root in allowed):
                outside = outside or (path, real)
            elif os.path.isfile(path):
                self._open(path, ref, origin)
                return replace(ref, path=path)
        if outside is not None:
            raise _outside(ref, origin, outside, allowed)
        state = "is a folder" if os.path.isdir(ref.path) else "does not exist"
        mend = "Paths are relative to the folder of the data file, or to one of data.picture_roots (--picture-root)."
        if os.path.isfile(ref.written):
            mend += " From the working directory it is there: data.picture_roots=. (--picture-root .)."
        mend += " Mend the path, or remove the record."
        raise RecordError(origin, ref.field, f"the picture '{ref.path}' {state}.", mend)

    def _open(self, path: str, ref: ImageRef, origin: Origin) -> None:
        stat = os.stat(path)
        fault = _fault(path, stat.st_size, stat.st_mtime_ns) if self.opened else None
        if fault is not None:
            raise _named(fault, ref, origin)

    def _of_the_web(self, ref: ImageRef, origin: Origin) -> ImageRef:
        if self.addresses == "keep":
            return ref
        if self.addresses == "fetch":
            from .fetch import fetched  # only who fetches pays for what speaks http

            try:
                return replace(ref, path=fetched(ref.written, fetched_folder()))
            except PictureError as error:
                raise _named(error, ref, origin) from None
        shown = ref.written if len(ref.written) <= 80 else f"{ref.written[:77]}..."
        mend = "Fetch it with data.fetch_pictures=true (--fetch-pictures), or save it as a file and write its path."
        raise RecordError(origin, ref.field, f"'{shown}' is an address, and pictures of the web are not fetched.", mend)


@lru_cache(4096)
def _fault(path: str, size: int, time: int) -> PictureError | None:
    """Return what is wrong with the pixels of a picture; a file of the same `size` and `time` is opened once."""
    from .images import open_picture

    try:
        open_picture(path)
    except PictureError as error:
        return error
    return None


def _named(error: PictureError, ref: ImageRef, origin: Origin) -> RecordError:
    return RecordError(origin, ref.field, f"the picture '{error.picture}' {error.reason}", error.mend)


def _inside(real: str, root: str) -> bool:
    return real == root or real.startswith(os.path.join(root, ""))


def _outside(ref: ImageRef, origin: Origin, place: tuple[str, str], allowed: list[str]) -> RecordError:
    path, real = place
    leads = f", at '{real}'" if path != real else ""
    folders = ", ".join(f"'{folder}'" for folder in dict.fromkeys(allowed))
    reason = f"the picture '{path}' lies outside the folders that pictures are read from{leads}. They are: {folders}."
    folder = os.path.dirname(real)
    mend = (
        f"If it is meant, allow its folder: data.picture_roots={folder} (--picture-root {folder} for tunesmith data)."
    )
    return RecordError(origin, ref.field, reason, mend)
