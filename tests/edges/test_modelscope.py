"""tunesmith download --hub modelscope against a hub on this machine, through the real client if it is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli import main
from tunesmith.locate import locate

NAME = "OpenBMB/tiny"
NEEDED = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "README.md"}
needs_client = pytest.mark.skipif(importlib.util.find_spec("modelscope_hub") is None, reason="needs modelscope-hub")


@pytest.fixture
def cache(hub_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a client that speaks with the hub on this machine."""
    hub_server.name = NAME
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub_server.url)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    if importlib.util.find_spec("modelscope_hub"):  # the client's waits between its tries
        from modelscope_hub import _download

        monkeypatch.setattr(_download, "DOWNLOAD_RETRY_TIMES", 0)
        monkeypatch.setattr(_download, "DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0)
    return tmp_path / "cache" / "models" / "OpenBMB--tiny" / "snapshots" / "master"


def test_without_the_client(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    assert main(["download", NAME, "--hub", "modelscope"]) == 2
    assert "pip install modelscope-hub" in capsys.readouterr().err


@needs_client
def test_the_whole_way(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", NAME, "--hub", "modelscope"]) == 0
    told = capsys.readouterr().out
    assert {path.name for path in cache.iterdir()} >= NEEDED and not (cache / "modeling_minicpm.py").exists()
    assert all((cache / name).read_bytes() == hub_server.files[name] for name in NEEDED)
    assert f"from {hub_server.url} (by MODELSCOPE_ENDPOINT)" in told and "Model: minicpm, native" in told
    assert f"tunesmith chat {NAME}" in told
    assert locate(NAME) == locate("openbmb/tiny") == cache  # as the model is called on the other hub
    hub_server.log.clear()
    assert main(["download", NAME, "--hub", "modelscope"]) == 0 and hub_server.log == []
    assert main(["download", NAME, "--hub", "modelscope", "--offline"]) == 0


@needs_client
def test_a_cut_connection_and_damage(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = len(hub_server.files["model.safetensors"]) // 2
    hub_server.cuts["model.safetensors"] = half
    assert main(["download", NAME, "--hub", "modelscope"]) == 2
    assert "Run the same command again" in capsys.readouterr().err
    hub_server.cuts.clear()
    hub_server.log.clear()
    assert main(["download", NAME, "--hub", "modelscope"]) == 0
    assert ("model.safetensors", f"bytes={half}-") in hub_server.log and ("config.json", None) not in hub_server.log
    (cache / "config.json").write_bytes(hub_server.files["config.json"][:-1] + b"!")
    assert main(["download", NAME, "--hub", "modelscope"]) == 0
    assert (cache / "config.json").read_bytes() == hub_server.files["config.json"]
    assert "config.json here is damaged" in capsys.readouterr().out


@needs_client
def test_other_bytes_than_listed(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub_server.served["config.json"] = hub_server.files["config.json"][:-1] + b"!"
    assert main(["download", NAME, "--hub", "modelscope"]) == 2
    assert "comes with other bytes than" in capsys.readouterr().err and not (cache / "config.json").exists()


@needs_client
@pytest.mark.parametrize(
    ("denied", "words"),
    [
        ((401, ""), "wants a valid token"),
        ((403, ""), "may not read"),
        ((404, ""), "knows no model"),
    ],
    ids=lambda value: str(value)[1:4],
)
def test_refusals(
    denied: tuple[int, str], words: str, hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub_server.denied = denied
    assert main(["download", NAME, "--hub", "modelscope"]) == 2
    assert words in capsys.readouterr().err


@needs_client
def test_to_a_folder_and_names(
    hub_server: Any, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    assert main(["download", NAME, "--hub", "modelscope", "--to", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} >= NEEDED and not cache.exists()
    assert f"tunesmith chat {folder}" in capsys.readouterr().out
    assert main(["download", "openbmb/tiny", "--hub", "modelscope"]) == 2
    assert "On ModelScope its models are named OpenBMB/..." in capsys.readouterr().err
