"""A hub on this machine: a small HTTP server in a thread that speaks as much of the hub's language as a client needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 2000
"""Files of at least so many bytes are listed with their SHA-256, smaller ones as git's blobs."""


@dataclass
class HubServer:
    """What the server holds and how it behaves.

    `cuts` maps a file to the number of bytes after which its connection breaks off (`stall`: only after a while), and
    nothing comes of it after them; `served` maps a file to other bytes than are listed; `denied` is (status,
    X-Error-Code) for everything; `elsewhere`: files lie on another host, to which a request is sent on.
    """

    name: str = "openbmb/tiny"
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: dict[str, int] = field(default_factory=dict)
    served: dict[str, bytes] = field(default_factory=dict)
    denied: tuple[int, str] | None = None
    log: list[tuple[str, str | None]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    stalled: threading.Event = field(default_factory=threading.Event)
    stall: bool = False
    elsewhere: bool = False
    tokens_elsewhere: set[str | None] = field(default_factory=set)
    url: str = ""

    @staticmethod
    def sha256(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    @staticmethod
    def blob(content: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def fetched(self) -> list[str]:
        """Which files were asked for, in order."""
        return [path for path, _ in self.log]

    def siblings(self) -> list[dict[str, Any]]:
        rows = []
        for path, content in self.files.items():
            row: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": self.blob(content)}
            if len(content) >= LARGE:
                row["lfs"] = {"sha256": self.sha256(content), "size": len(content), "pointerSize": 130}
            rows.append(row)
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """The files as ModelScope lists them."""
        return [
            {"Path": path, "Name": path, "Size": len(content), "Sha256": self.sha256(content), "Type": "blob"}
            for path, content in self.files.items()
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        hub, address = self.hub, urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        if path.startswith("/elsewhere/"):
            hub.tokens_elsewhere.add(self.headers.get("Authorization"))
            return self._file(path.rsplit("/", 1)[1])
        hub.tokens.add(self.headers.get("Authorization"))
        if hub.denied:
            return self._answer(hub.denied[0], b"{}", {"X-Error-Code": hub.denied[1]} if hub.denied[1] else {})
        if path in (f"/api/models/{hub.name}/revision/{one}" for one in ("main", "v1", COMMIT)):
            return self._json({"id": hub.name, "sha": COMMIT, "siblings": hub.siblings()})
        if path.startswith(f"/api/models/{hub.name}/revision/"):
            return self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if path.startswith(f"/{hub.name}/resolve/{COMMIT}/") and hub.elsewhere:
            address = hub.url.replace("127.0.0.1", "localhost")
            return self._answer(302, b"", {"Location": f"{address}/elsewhere/{path.rsplit('/', 1)[1]}"})
        if path.startswith(f"/{hub.name}/resolve/{COMMIT}/"):
            return self._file(path.rsplit("/", 1)[1])
        if path == f"/api/v1/models/{hub.name}/repo/files":
            return self._json({"Code": 200, "Success": True, "Data": {"Files": hub.rows()}})
        if path == f"/api/v1/models/{hub.name}/repo":
            return self._file(query["FilePath"][0])
        return self._answer(404, b'{"Code": 10010205001, "Message": "not found"}', {"X-Error-Code": "RepoNotFound"})

    def _file(self, name: str) -> None:
        hub, span = self.hub, self.headers.get("Range")
        hub.log.append((name, span))
        content = hub.served.get(name, hub.files[name])
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        body = content[start:]
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if span else {}
        cut = hub.cuts.get(name)
        if cut is not None and start >= cut:
            return self._answer(500, b"", {})
        self._head(206 if span else 200, len(body), headers)
        self.wfile.write(body if cut is None else body[: cut - start])
        self.wfile.flush()
        if cut is not None:
            if hub.stall:
                hub.stalled.wait(30)
            self.close_connection = True

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(body), headers)
        self.wfile.write(body)

    def _head(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(size), "Accept-Ranges": "bytes", **headers}.items():
            self.send_header(key, value)
        self.end_headers()


@pytest.fixture
def hub_server(tiny_model_folder: Path) -> Iterator[HubServer]:
    """A running hub that holds the tiny model with what published repositories have beside it."""
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
    hub = HubServer(files={name: (tiny_model_folder / name).read_bytes() for name in names})
    hub.files |= {"README.md": b"# tiny\n", "modeling_minicpm.py": b"raise SystemExit\n"}
    hub.files |= {
        "pytorch_model.bin": b"pickle" * 1000,
        "onnx/model.onnx": b"x",
        "logo.png": b"x",
        ".gitattributes": b"",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield hub
    hub.stalled.set()
    server.shutdown()
    thread.join()
    server.server_close()
