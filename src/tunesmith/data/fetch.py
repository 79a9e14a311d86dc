"""Pictures of the web: fetched once into the cache, checked like every picture, and only when that is asked for.

What a server says is not trusted: a download has a limit of bytes and of seconds; a redirect leads to http or https
alone, never from https to http, nor from the open internet to a private address.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import time
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib import request
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urljoin, urlsplit

from .. import __version__
from ..errors import DataError, MachineError, PictureError
from .cache import filling, used
from .images import LIMITS, open_picture

SECONDS, PATIENCE = 60.0, 15.0
"""How long a download may take, and how long it may say nothing."""
BYTES = 64 * 2**20
"""What a download may have at most."""
_FILE = "picture"
_BLOCK = 2**16
_MEND = "Mend the address, save the picture as a file and write its path, or remove the record."
_WRITABLE = "%/:=&?~#+!$,;'@()*[]"
"""What stands in an address as it is; the rest, such as blanks and Chinese, is written in bytes."""


def fetched(address: str, cache: Path) -> str:
    """Return the file in `cache` that holds the picture at an http or https address; fetched if it is not there yet.

    Raises:
        PictureError: it cannot be fetched, or is no picture.
        DataError: it cannot be kept.
    """
    folder = cache / hashlib.sha256(address.encode()).hexdigest()[:40]
    if not (folder / _FILE).is_file():
        content = download(address)
        open_picture(address, LIMITS, lambda _: content)
        try:
            with filling(folder) as aside:
                (aside / _FILE).write_bytes(content)
        except MachineError as error:
            raise DataError(f"{address}: the picture was fetched, but cannot be kept. {error}") from None
    used(folder)
    return str(folder / _FILE)


def download(address: str) -> bytes:
    """Return the bytes at an http or https address.

    Raises:
        PictureError: there is no answer, or one that is no good.
    """
    shown = address if len(address) <= 300 else f"{address[:297]}..."
    try:
        asked = request.Request(quote(address, safe=_WRITABLE), headers={"User-Agent": f"tunesmith/{__version__}"})
        with _opener().open(asked, timeout=PATIENCE) as answer:
            return _read(answer, shown)
    except HTTPError as error:
        error.close()
        raise PictureError(shown, f"cannot be fetched: the server answers {error.code} ({error.msg}).", _MEND) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        said = "no answer in time" if isinstance(reason, TimeoutError) else str(reason) or type(reason).__name__
        raise PictureError(shown, f"cannot be fetched: {said.rstrip('.')}.", _MEND) from None


def check_redirect(address: str, target: str) -> None:
    """Check where a server sends us on to.

    Raises:
        PictureError: another scheme, less safety, or a private address behind a public one.
    """
    old, new = urlsplit(address), urlsplit(urljoin(address, target))
    if new.scheme not in ("http", "https"):
        why = f"'{new.scheme}:'"
    elif (old.scheme, new.scheme) == ("https", "http"):
        why = "http, which anybody on the way can read and change"
    elif _private(new.hostname) and not _private(old.hostname):
        why = f"'{new.hostname}', an address of a private network"
    else:
        return
    raise PictureError(address, f"is not fetched: its server redirects to {why}.", _MEND)


def _opener() -> request.OpenerDirector:
    """Return what speaks http and https, through the proxy of the environment, and nothing else."""
    opener = request.OpenerDirector()
    kinds = (request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler, request.HTTPDefaultErrorHandler)
    for kind in (*kinds, _Redirects, request.HTTPErrorProcessor, request.UnknownHandler):
        opener.add_handler(kind())
    return opener


class _Redirects(request.HTTPRedirectHandler):
    max_redirections = 5

    def redirect_request(
        self, req: request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> request.Request | None:
        try:
            check_redirect(req.full_url, newurl)
        except PictureError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(answer: IO[bytes], shown: str) -> bytes:
    end, content = time.monotonic() + SECONDS, bytearray()
    while block := answer.read1(_BLOCK):  # type: ignore[attr-defined]
        content += block
        if len(content) > BYTES:
            reason = f"has more than {BYTES / 2**20:g} MiB; no more are fetched."
            raise PictureError(shown, reason, "Save a smaller one as a file, and write its path.")
        if time.monotonic() > end:
            raise PictureError(shown, f"cannot be fetched: it takes longer than {SECONDS:g} seconds.", _MEND)
    length = answer.headers.get("Content-Length")  # type: ignore[attr-defined]
    if length is not None and length.isdigit() and len(content) < int(length):
        raise PictureError(shown, f"cannot be fetched: it breaks off after {len(content):,} bytes.", _MEND)
    return bytes(content)


def _private(host: str | None) -> bool:
    """Tell whether a host is no part of the open internet; one that has no address cannot be reached anyway."""
    try:
        found = {str(place[4][0]).partition("%")[0] for place in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(not ipaddress.ip_address(one).is_global for one in found)
