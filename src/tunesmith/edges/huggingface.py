"""The Hugging Face hub, through `huggingface_hub`: listing, resumed transfer, and the hub's own cache on disk.

The library lists, signs in and transfers. It keeps nothing of a transfer that breaks off (2.x writes each to a temporary
file of its own and removes it), so the unfinished file is ours: `<blob>.incomplete`, gone on with at the next start. The
layout of the cache (blobs, snapshots, refs) is the documented one, so that every other program finds the model too.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import MachineError, ModelError
from ..hub import Listing, RemoteFile, similar

_PUBLIC = "https://huggingface.co"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TRIES = 2
_PATIENCE = 30.0
"""Seconds for the hub to list a model; a blocked address answers nothing at all."""
_FRUITLESS = 3
"""How often a connection may break without a new byte before the download gives up."""


class HuggingFace:
    """The hub as one download uses it; `to` is a plain folder to fill instead of the cache."""

    revision = "main"

    def __init__(self, to: Path | None = None) -> None:
        # No telemetry: said in the environment, where the library reads it at its import.
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        from huggingface_hub import constants

        self._to = to
        self._endpoint: str = constants.ENDPOINT
        self._cache = Path(constants.HF_HUB_CACHE)
        mirror = self._endpoint.rstrip("/") != _PUBLIC
        self.site = f"{self._endpoint} (a mirror, by HF_ENDPOINT)" if mirror else "Hugging Face"
        self.offline: bool = constants.HF_HUB_OFFLINE
        self.mend = "" if mirror else " Where it is blocked: HF_ENDPOINT=(address of a mirror), or --hub modelscope."

    def listing(self, name: str, revision: str) -> Listing:
        """Ask the hub which files a model has.

        Raises:
            ModelError: no such model or revision, or no access to it.
            MachineError: the hub does not answer.
        """
        from huggingface_hub import HfApi

        with self._explained(name, revision):
            info = HfApi(endpoint=self._endpoint).model_info(
                name, revision=revision, files_metadata=True, timeout=_PATIENCE
            )
        files = []
        for one in info.siblings or ():
            digest = one.lfs.sha256 if one.lfs else one.blob_id
            if one.size is None or not _DIGEST.fullmatch(digest or ""):
                raise MachineError(
                    f"{self.site} does not say size and checksum of {one.rfilename}, so that nothing could be verified."
                )
            files.append(RemoteFile(one.rfilename, one.size, digest))
        if not _COMMIT.fullmatch(info.sha or ""):
            raise MachineError(f"{self.site} does not say which commit '{revision}' is. Is it a whole mirror?")
        return Listing(name, revision, info.sha, tuple(files))

    def cached(self, name: str, revision: str) -> Listing | None:
        """Return what the cache holds of a model, without the network; its blobs are named by their digests."""
        ref = self._repository(name) / "refs" / revision
        commit = ref.read_text("utf-8").strip() if ref.is_file() else revision
        folder = self._repository(name) / "snapshots" / commit
        if not _COMMIT.fullmatch(commit) or not folder.is_dir():
            return None
        files = []
        for path in sorted(folder.iterdir()):
            blob = path.resolve()
            if blob.is_file():
                digest = blob.name if _DIGEST.fullmatch(blob.name) else ""
                files.append(RemoteFile(path.name, blob.stat().st_size, digest))
        return Listing(name, revision, commit, tuple(files))

    def folder(self, listing: Listing) -> Path:
        """Return the folder in which the model will stand."""
        return self._to or self._repository(listing.name) / "snapshots" / listing.commit

    def begun(self, listing: Listing, file: RemoteFile) -> int:
        """Return how many bytes of a file an interrupted download has left."""
        partial = _partial(self._target(listing, file))
        return min(partial.stat().st_size, file.size) if partial.is_file() else 0

    def fetch(self, listing: Listing, file: RemoteFile, advance: Callable[[int], None]) -> None:
        """Bring one file to its place, whole; `advance` is told of bytes as they come.

        Raises:
            ModelError: access is refused, or what comes is not what the listing says.
            MachineError: the connection broke (what has come is kept), or the disk refused.
        """
        from huggingface_hub.utils import WeakFileLock

        blob, target = self._blob(listing, file), self._target(listing, file)
        lock = self._cache / ".locks" / self._repository(listing.name).name / f"{file.digest}.lock"
        try:
            for folder in (lock.parent, target.parent, self.folder(listing)):
                folder.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(lock):  # the library takes the same lock; another process may have fetched it meanwhile
                source = next((path for path in (target, blob) if file.is_whole(path)), None)
                if source is None:
                    self._receive(listing, file, _partial(target), advance)
                    _partial(target).replace(target)
                else:
                    if source != target:
                        shutil.copyfile(source, _partial(target))
                        _partial(target).replace(target)
                    advance(file.size)
            if self._to is None:
                _link(blob, self.folder(listing) / file.path)
        except OSError as error:
            raise MachineError(f"{target} cannot be written: {error.strerror or error}.") from None

    def finish(self, listing: Listing) -> None:
        """Let the revision's name point to the commit, now that it is whole: so it is found by the model's name."""
        ref = self._repository(listing.name) / "refs" / listing.revision
        known = ref.is_file() and ref.read_text("utf-8").strip() == listing.commit
        if self._to is None and listing.revision != listing.commit and not known:
            ref.parent.mkdir(parents=True, exist_ok=True)
            _partial(ref).write_text(listing.commit, "utf-8")
            _partial(ref).replace(ref)

    def _receive(self, listing: Listing, file: RemoteFile, partial: Path, advance: Callable[[int], None]) -> None:
        """Fill `partial` from where it ends; bytes that are not the listed ones are fetched once more from the start."""
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(listing.name, file.path, revision=listing.commit, endpoint=self._endpoint)
        for _ in range(_TRIES):
            with partial.open("ab") as stream, self._explained(listing.name, listing.revision):
                advance(stream.tell())
                _append(url, stream, file.size, advance)
            if file.is_whole(partial):
                return
            advance(-partial.stat().st_size)
            partial.unlink()
        raise ModelError(
            f"{file.path} of '{listing.name}' comes with other bytes than {self.site} lists (checksum {file.digest[:12]}..."
            f", tried {_TRIES} times). It was not kept. Try again later, or another endpoint."
        )

    @contextmanager
    def _explained(self, name: str, revision: str) -> Iterator[None]:
        """Turn the library's errors into ours."""
        from huggingface_hub import errors, get_token

        page, signed_in = f"{self._endpoint}/{name}", bool(get_token())
        signing = "Sign in: `hf auth login`, or set HF_TOKEN to a token from https://huggingface.co/settings/tokens."
        private = "your token may not see it" if signed_in else "you are not signed in (`hf auth login`, HF_TOKEN)"
        unknown = f"{self.site} knows no model '{name}', or it is private and {private}."
        try:
            yield
        except errors.HFValidationError as error:
            raise ModelError(f"'{name}' cannot be the name of a model: {error}") from None
        except errors.GatedRepoError:
            ask = "Your account has no access yet." if signed_in else signing
            raise ModelError(
                f"'{name}' is gated: its owner asks for your consent at {page}. Give it there. {ask}"
            ) from None
        except errors.RevisionNotFoundError:
            raise ModelError(
                f"'{name}' has no revision '{revision}'. Give a branch, a tag or a commit; they are listed at "
                f"{page}/tree/main."
            ) from None
        except errors.RepositoryNotFoundError:
            raise ModelError(f"{unknown}{similar(name)}") from None
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status == 401 and not signed_in:  # what the hub says of names that do not exist, too
                raise ModelError(f"{unknown}{similar(name)}") from None
            if status == 401:
                raise ModelError(f"{self.site} does not accept your token: mistyped or expired? {signing}") from None
            if status == 403:
                raise ModelError(
                    f"Your token may not read '{name}' (403): give it that permission, or use another."
                ) from None
            raise MachineError(f"{self.site} answers {status}. Run the same command again later.{self.mend}") from None
        except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
            reason = str(error) or type(error).__name__
            raise MachineError(
                f"{self.site} cannot be reached: {reason.rstrip('.')}. Run the same command again: it goes on where it "
                f"stopped.{self.mend}"
            ) from None

    def _repository(self, name: str) -> Path:
        return self._cache / f"models--{name.replace('/', '--')}"

    def _blob(self, listing: Listing, file: RemoteFile) -> Path:
        """Return where the cache keeps the content of a file; one without a digest stands in its snapshot itself."""
        if file.digest:
            return self._repository(listing.name) / "blobs" / file.digest
        return self._repository(listing.name) / "snapshots" / listing.commit / file.path

    def _target(self, listing: Listing, file: RemoteFile) -> Path:
        return self._to / file.path if self._to else self._blob(listing, file)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.incomplete")


def _link(blob: Path, place: Path) -> None:
    """Let `place` in a snapshot stand for `blob`; where links cannot be made, the file itself moves there."""
    place.unlink(missing_ok=True)
    try:
        place.symlink_to(os.path.relpath(blob, place.parent))
    except OSError:
        blob.replace(place)


def _append(url: str, stream: BinaryIO, size: int, advance: Callable[[int], None]) -> None:
    """Append what is missing of a file of `size` bytes; a connection that breaks is taken up again a few times.

    The library's own `http_get` does the same in blocks of 10 MB, which are lost when it is stopped within one.
    """
    from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT as SECONDS
    from huggingface_hub.errors import HfHubHTTPError, HTTPError
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    headers, fruitless = {**build_hf_headers(), "Accept-Encoding": "identity"}, 0
    settings: dict[str, Any] = {"timeout": SECONDS, "retry_on_exceptions": ()}
    while (begun := stream.tell()) < size:
        span = {"Range": f"bytes={begun}-"} if begun else {}
        try:
            with http_stream_backoff("GET", url, headers=headers | span, **settings) as response:
                hf_raise_for_status(response)
                if begun and response.status_code != 206:  # the whole file comes again
                    stream.truncate(0)
                    stream.seek(0)
                    advance(-begun)
                for block in response.iter_bytes():
                    stream.write(block)
                    advance(len(block))
            return
        except HfHubHTTPError:
            raise
        except HTTPError:
            fruitless = 0 if stream.tell() > begun else fruitless + 1
            if fruitless > _FRUITLESS:
                raise
            time.sleep(1)
