"""Pictures of the web, from a server in this process: fetched once, limited, checked, and never somewhere else."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from tunesmith.data import fetch
from tunesmith.data.fetch import check_redirect, download, fetched
from tunesmith.data.formats._images import refer
from tunesmith.data.picture_files import PictureFiles
from tunesmith.data.types import Conversation, Origin
from tunesmith.errors import DataError, PictureError, RecordError


def png(size: tuple[int, int] = (6, 4)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, "PNG")
    return stream.getvalue()


class Answers(BaseHTTPRequestHandler):
    """Pictures and mischief, by path; `asked` are the paths so far."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        Answers.asked.append(self.path)
        moved = {
            "/moved": "/a.png",
            "/to-file": "file:///etc/hostname",
            "/to-ftp": "ftp://127.0.0.1/a.png",
            "/round": "/round",
        }
        if self.path in moved:
            self.send_response(302)
            self.send_header("Location", moved[self.path])
            self.end_headers()
        elif self.path == "/slow.png":
            self.send_response(200)
            self.end_headers()
            for byte in png():
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.02)
        elif self.path == "/silent.png":
            time.sleep(1)
        elif self.path.startswith("/gone"):
            self.send_error(404)
        else:
            body = {"/page.png": b"<html>not here</html>", "/empty.png": b"", "/half.png": png()[:50]}
            content = body.get(self.path, png())
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + 9 * (self.path == "/torn.png")))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine, asked without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    Answers.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.block_on_close = False
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_fetched_once(server: str, tmp_path: Path) -> None:
    first = fetched(f"{server}/a.png", tmp_path)
    assert Path(first).read_bytes() == png() and Path(first).is_relative_to(tmp_path)
    assert fetched(f"{server}/a.png", tmp_path) == first
    assert Answers.asked == ["/a.png"]
    assert fetched(f"{server}/b.png", tmp_path) != first


def test_redirects_are_followed_on_the_web(server: str) -> None:
    assert download(f"{server}/moved") == png()
    assert Answers.asked == ["/moved", "/a.png"]


def test_addresses_with_other_letters(server: str) -> None:
    assert download(f"{server}/猫 1.png?a=b%20c") == png()
    assert Answers.asked == ["/%E7%8C%AB%201.png?a=b%20c"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/gone.png", r"cannot be fetched: the server answers 404 \(Not Found\)"),
        ("/to-file", "not allowed"),
        ("/to-ftp", "redirects to 'ftp:'"),
        ("/round", "cannot be fetched: the server answers 302"),
        ("/torn.png", "breaks off after"),
        ("/page.png", "is a web page, not a picture"),
        ("/empty.png", r"is empty \(0 bytes\)"),
        ("/half.png", "is damaged"),
    ],
)
def test_what_is_no_picture_is_refused(server: str, path: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=words) as caught:
        fetched(f"{server}{path}", tmp_path)
    assert caught.value.picture == f"{server}{path}" and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limit", "value", "path", "words"),
    [
        ("BYTES", 20, "/a.png", "no more are fetched"),
        ("SECONDS", 0.1, "/slow.png", "takes longer than 0.1 seconds"),
        ("PATIENCE", 0.1, "/silent.png", "cannot be fetched: no answer in time"),
    ],
)
def test_limits(server: str, limit: str, value: float, path: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, limit, value)
    with pytest.raises(PictureError, match=words):
        download(f"{server}{path}")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    for address in ("http://127.0.0.1:9/a.png", "http://", "http://[", "http://127.0.0.1:port/a.png"):
        with pytest.raises(PictureError, match="cannot be fetched"):
            download(address)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("http://93.184.216.34/a", "http://127.0.0.1/a", "'127.0.0.1', an address of a private network"),
        ("http://93.184.216.34/a", "http://169.254.169.254/latest", "an address of a private network"),
        ("http://93.184.216.34/a", "http://[::1]/a", "an address of a private network"),
        ("https://93.184.216.34/a", "http://93.184.216.34/a", "http, which anybody"),
        ("http://93.184.216.34/a", "gopher://93.184.216.34/a", "'gopher:'"),
        ("https://93.184.216.34/a", "/b", None),
        ("http://93.184.216.34/a", "https://93.184.216.35/b", None),
        ("http://10.0.0.1/a", "http://10.0.0.2/a", None),
    ],
)
def test_redirects(old: str, new: str, why: str | None) -> None:
    if why is None:
        check_redirect(old, new)
        return
    with pytest.raises(PictureError, match="is not fetched: its server redirects to") as caught:
        check_redirect(old, new)
    assert why in caught.value.reason


def test_records_are_named(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    origin, rules = Origin("x.json", 4), PictureFiles(addresses="fetch")

    def find(path: str) -> str:
        ref = refer("<image>", f"{server}{path}", "image", origin)
        return str(rules.find(Conversation((), origin, images=(ref,))).images[0].path)

    assert Path(find("/a.png")).is_relative_to(tmp_path / "cache" / "fetched")
    with pytest.raises(
        RecordError, match=r"x\.json, record 4, field 'image': the picture 'http.*/gone' cannot be fetched"
    ):
        find("/gone")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="was fetched, but cannot be kept") as caught:
        find("/a.png")
    assert not isinstance(caught.value, RecordError)
