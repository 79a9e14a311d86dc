"""llama_cpp: told apart from its absence; and where it is, a file that is none is refused in words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunesmith.edges import llama_cpp
from tunesmith.errors import ModelError


def test_its_absence_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp, "PACKAGE", "a-package-that-nobody-has")
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    assert llama_cpp.version() is None


def test_what_is_no_file_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    (tmp_path / "x.gguf").write_bytes(b"GGUF and nothing else")
    with pytest.raises(ModelError, match="llama.cpp cannot read 'x.gguf'"):
        llama_cpp.Engine(tmp_path / "x.gguf", 16)
