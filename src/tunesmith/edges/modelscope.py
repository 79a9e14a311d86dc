"""ModelScope, through its own client `modelscope_hub`: listing, resumed and verified transfer, its cache on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from ..errors import MachineError, ModelError
from ..hub import Listing, RemoteFile, similar

_PUBLIC = "https://modelscope.cn"


class ModelScope:
    """The hub as one download uses it; `to` is a plain folder to fill instead of the cache."""

    revision = "master"

    def __init__(self, to: Path | None = None) -> None:
        os.environ.setdefault("TQDM_DISABLE", "1")  # its bars would be drawn over ours
        self._client = _client()
        self._to = to
        config = self._client.HubConfig()
        self._hub = self._client.HubApi(config)
        self._cache = Path(config.cache_dir) / "models"
        mirror = config.endpoint != _PUBLIC
        self.site = f"{config.endpoint} (by MODELSCOPE_ENDPOINT)" if mirror else "ModelScope"
        self.offline = False

    def listing(self, name: str, revision: str) -> Listing:
        """Ask the hub which files a model has.

        Raises:
            ModelError: no such model or revision, or no access to it.
            MachineError: the hub does not answer.
        """
        with self._explained(name, revision):
            found = self._hub.list_repo_files(name, "model", revision=revision)
        files = tuple(RemoteFile(one.path, one.size, (one.sha256 or "").lower()) for one in found if not one.is_dir)
        return Listing(name, revision, revision, files)

    def cached(self, name: str, revision: str) -> Listing | None:
        """Return what the cache holds of a model, without the network; it keeps no checksums."""
        folder = self._cache_folder(name, revision)
        if not folder.is_dir():
            return None
        files = tuple(RemoteFile(one.name, one.stat().st_size) for one in sorted(folder.iterdir()) if one.is_file())
        return Listing(name, revision, revision, files)

    def folder(self, listing: Listing) -> Path:
        """Return the folder in which the model will stand."""
        return self._to or self._cache_folder(listing.name, listing.revision)

    def begun(self, listing: Listing, file: RemoteFile) -> int:
        """Return how many bytes of a file an interrupted download has left: the client keeps its own account."""
        return 0

    def fetch(self, listing: Listing, file: RemoteFile, advance: Callable[[int], None]) -> None:
        """Bring one file to its place, whole; `advance` is told of bytes as they come.

        Raises:
            ModelError: access is refused, or what comes is not what the listing says.
            MachineError: the connection broke (what has come is kept), or the disk refused.
        """

        class Progress(self._client.ProgressCallback):  # type: ignore[name-defined]
            def update(self, size: int) -> None:
                """Tell of `size` more bytes."""
                advance(size)

        with self._explained(listing.name, listing.revision):
            self._hub.downloader.download_file(
                listing.name,
                "model",
                file.path,
                revision=listing.revision,
                local_dir=self.folder(listing),
                expected_sha256=file.digest or None,
                file_size=file.size,
                progress_callbacks=[Progress],
            )

    def finish(self, listing: Listing) -> None:
        """Nothing is left to do: the folder is named after the model."""

    def _cache_folder(self, name: str, revision: str) -> Path:
        return self._cache / name.replace("/", "--") / "snapshots" / revision

    @contextmanager
    def _explained(self, name: str, revision: str) -> Iterator[None]:
        """Turn the client's errors into ours."""
        client = self._client
        token = "Set MODELSCOPE_API_TOKEN to a token from https://modelscope.cn/my/myaccesstoken."
        try:
            yield
        except client.NotFoundError:
            written = " On ModelScope its models are named OpenBMB/..." if name.startswith("openbmb/") else ""
            raise ModelError(
                f"{self.site} knows no model '{name}' with revision '{revision}', or it is private.{written or similar(name)}"
            ) from None
        except client.AuthenticationError:
            raise ModelError(f"{self.site} wants a valid token for '{name}'. {token}") from None
        except client.PermissionDeniedError:
            raise ModelError(
                f"Your account may not read '{name}': ask for access on its page at {self.site}."
            ) from None
        except client.FileIntegrityError as error:
            raise ModelError(f"'{name}' comes with other bytes than {self.site} lists: {_headline(error)}") from None
        except client.HubError as error:
            raise MachineError(
                f"{self.site} cannot be reached, or cannot answer: {_headline(error)} Run the same command again: it "
                "goes on where it stopped."
            ) from None
        except OSError as error:  # requests' errors are OSErrors too
            raise MachineError(f"'{name}' could not be fetched from {self.site}: {_headline(error)}") from None


def _client() -> ModuleType:
    try:
        import modelscope_hub
    except ImportError:
        raise MachineError(
            "Downloads from ModelScope need its client, which is not installed: `pip install modelscope-hub` (or "
            "tunesmith's extra: `pip install 'tunesmith[modelscope]'`)."
        ) from None
    return modelscope_hub


def _headline(error: Exception) -> str:
    """Return the first line of a message, as a sentence."""
    return f"{(str(error).strip().splitlines() or [type(error).__name__])[0].rstrip('.')}."
