"""tunesmith download against a hub on this machine, through the real client of Hugging Face."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli import main
from tunesmith.locate import locate

NAME = "openbmb/tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NEEDED = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "README.md"}


@pytest.fixture
def cache(hub_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a client that speaks with the hub on this machine."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub_server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub_server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "modelscope"))
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client waits a second before it resumes
    return tmp_path / "cache" / "models--openbmb--tiny"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_whole_way(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", NAME]) == 0
    told = capsys.readouterr().out
    folder = cache / "snapshots" / COMMIT
    assert _names(folder) == NEEDED
    assert all((folder / name).read_bytes() == hub_server.files[name] for name in NEEDED)
    assert locate(NAME) == folder
    assert f"from {hub_server.url} (a mirror, by HF_ENDPOINT)" in told
    assert "Needed: 5 files" in told and "model.safetensors" in told
    assert "Left out: modeling_minicpm.py (code, which is never run); pytorch_model.bin (other copies" in told
    assert "onnx/model.onnx (in sub-folders)" in told and "logo.png (pictures" in told and ".gitattributes" not in told
    assert "Model: minicpm, native; weights: model.safetensors; tokenizer: " in told
    assert f"tunesmith chat {NAME}" in told and f"tunesmith train model={NAME} " in told
    # the layout is the library's own: it finds the files by itself, in its own blobs
    from huggingface_hub import scan_cache_dir, snapshot_download

    assert snapshot_download(NAME, local_files_only=True) == str(folder)
    (repository,) = scan_cache_dir(cache.parent).repos
    assert repository.nb_files == len(NEEDED) and repository.refs.keys() == {"main"}
    assert not list(cache.rglob("*.incomplete"))


def test_a_second_start_fetches_nothing(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", NAME]) == 0
    before = list(hub_server.log)
    assert main(["download", NAME]) == 0
    assert hub_server.log == before and "all of it is here and whole" in capsys.readouterr().out


def test_a_cut_connection(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = len(hub_server.files["model.safetensors"]) // 2
    hub_server.cuts["model.safetensors"] = half
    assert main(["download", NAME]) == 2
    heard = capsys.readouterr()
    assert "answers 500" in heard.err and "Run the same command again" in heard.err
    assert not (cache / "refs").exists()  # not found by its name before it is whole
    (partial,) = cache.rglob("*.incomplete")
    assert partial.stat().st_size == half
    hub_server.cuts.clear()
    hub_server.log.clear()
    assert main(["download", NAME]) == 0
    assert ("model.safetensors", f"bytes={half}-") in hub_server.log and ("config.json", None) not in hub_server.log
    assert "Going on: " in capsys.readouterr().out and locate(NAME) == cache / "snapshots" / COMMIT


def test_a_short_break_is_bridged(hub_server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one start, a connection that breaks is taken up again."""
    hub_server.cuts["tokenizer.json"] = 100
    monkeypatch.setattr(time, "sleep", lambda _: hub_server.cuts.clear())
    assert main(["download", NAME]) == 0
    assert [span for name, span in hub_server.log if name == "tokenizer.json"] == [None, "bytes=100-"]


def test_damage_is_found_and_mended(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", NAME]) == 0
    for name in ("model.safetensors", "config.json"):  # one of each kind of checksum; the sizes stay
        path = (cache / "snapshots" / COMMIT / name).resolve()
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    hub_server.log.clear()
    assert main(["download", NAME, "--offline"]) == 2
    assert "Not whole in" in capsys.readouterr().err and hub_server.log == []
    assert main(["download", NAME]) == 0
    told = capsys.readouterr().out
    assert "model.safetensors here is damaged" in told and "config.json here is damaged" in told
    assert sorted(hub_server.fetched()) == ["config.json", "model.safetensors"]
    folder = cache / "snapshots" / COMMIT
    assert all((folder / name).read_bytes() == hub_server.files[name] for name in NEEDED)


@pytest.mark.parametrize("change", [lambda old: old[:-1] + b"!", lambda old: old + b"more"], ids=["bytes", "size"])
def test_other_bytes_than_listed(change: Any, hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub_server.served["model.safetensors"] = change(hub_server.files["model.safetensors"])
    assert main(["download", NAME]) == 2
    assert "model.safetensors of 'openbmb/tiny' comes with other bytes than" in capsys.readouterr().err
    assert hub_server.fetched().count("model.safetensors") == 2
    assert not list(cache.rglob("*.incomplete")) and not (cache / "snapshots" / COMMIT / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("denied", "token", "words"),
    [
        ((401, "GatedRepo"), None, ["is gated", "hf auth login", "HF_TOKEN"]),
        ((403, "GatedRepo"), "hf_x", ["is gated", "Your account has no access yet"]),
        ((401, ""), None, ["knows no model 'openbmb/tiny'", "you are not signed in"]),
        ((401, ""), "hf_x", ["does not accept your token"]),
        ((404, "RepoNotFound"), "hf_x", ["knows no model", "your token may not see it"]),
        ((403, ""), "hf_x", ["may not read 'openbmb/tiny'"]),
        ((503, ""), None, ["answers 503", "is not in the cache"]),
    ],
)
def test_refusals(
    denied: tuple[int, str],
    token: str | None,
    words: list[str],
    hub_server: Any,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub_server.denied = denied
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert main(["download", NAME]) == 2
    heard = capsys.readouterr().err
    assert all(word in heard for word in words), heard
    assert hub_server.tokens == {f"Bearer {token}" if token else None}


def test_a_token_stays_with_the_hub(hub_server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files lie with another host, which is not to learn the token; there, too, a break is gone on from."""
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    hub_server.elsewhere, hub_server.cuts["model.safetensors"] = True, 1000
    monkeypatch.setattr(time, "sleep", lambda _: hub_server.cuts.clear())
    assert main(["download", NAME]) == 0
    assert hub_server.tokens == {"Bearer hf_x"} and hub_server.tokens_elsewhere == {None}
    assert ("model.safetensors", "bytes=1000-") in hub_server.log


def test_a_mistyped_name(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "openbmb/MiniCPM-2B-stf-bf16"]) == 2
    assert "Did you mean 'openbmb/MiniCPM-2B-sft-bf16'?" in capsys.readouterr().err
    assert main(["download", "openbmb/no..such--"]) == 2
    assert "cannot be the name of a model" in capsys.readouterr().err


def test_revisions(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", NAME, "--revision", "v1"]) == 0
    told = capsys.readouterr().out
    assert (cache / "refs" / "v1").read_text() == COMMIT and not (cache / "refs" / "main").exists()
    assert f"tunesmith chat {cache / 'snapshots' / COMMIT}" in told  # by its name it would be 'main'
    assert main(["download", NAME, "--revision", COMMIT]) == 0
    assert main(["download", NAME, "--revision", "v2"]) == 2
    assert "has no revision 'v2'" in capsys.readouterr().err


def test_offline(hub_server: Any, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", NAME, "--offline"]) == 2
    assert "is not in the cache of this machine" in capsys.readouterr().err
    assert main(["download", NAME]) == 0
    hub_server.denied = (503, "")  # not reached: what is in the cache is examined
    assert main(["download", NAME]) == 0
    assert "answers 503" in (told := capsys.readouterr().out) and "all of it is here and whole" in told
    hub_server.tokens.clear()
    assert main(["download", NAME, "--offline"]) == 0 and hub_server.tokens == set()


def test_nobody_answers(
    hub_server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert main(["download", NAME]) == 2
    assert "http://127.0.0.1:9 (a mirror, by HF_ENDPOINT) cannot be reached" in capsys.readouterr().err


def test_to_a_folder(hub_server: Any, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models" / "mine"
    assert main(["download", NAME, "--to", str(folder)]) == 0
    assert _names(folder) == NEEDED and not any(path.is_symlink() for path in folder.iterdir())
    assert not (cache / "blobs").exists() and f"tunesmith chat {folder}" in capsys.readouterr().out
    (folder / "mine.txt").write_text("my own")
    hub_server.log.clear()
    assert main(["download", NAME, "--to", str(folder)]) == 0 and hub_server.log == []
    assert (folder / "mine.txt").read_text() == "my own"
    # what the cache holds is copied, not fetched again
    assert main(["download", NAME]) == 0
    hub_server.log.clear()
    assert main(["download", NAME, "--to", str(tmp_path / "copy")]) == 0 and hub_server.log == []
    assert _names(tmp_path / "copy") == NEEDED
    assert main(["download", NAME, "--to", str(folder / "mine.txt")]) == 2


def test_a_cache_without_links(
    hub_server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("links are not to be had here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert main(["download", NAME]) == 0
    folder = cache / "snapshots" / COMMIT
    assert _names(folder) == NEEDED and not any(path.is_symlink() for path in folder.iterdir())
    hub_server.log.clear()
    assert main(["download", NAME]) == 0 and main(["download", NAME, "--offline"]) == 0 and hub_server.log == []


def test_no_room(
    hub_server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert main(["download", NAME]) == 2
    assert "but only 1.0 kB are free there" in capsys.readouterr().err and hub_server.log == []


def test_ctrl_c_and_a_start_without_torch(hub_server: Any, tmp_path: Path) -> None:
    """A process of its own, stopped while a file comes: torch has not been loaded, and the next start goes on."""
    half = len(hub_server.files["model.safetensors"]) // 2
    hub_server.cuts["model.safetensors"], hub_server.stall = half, True
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a job in the background ignores it
        "from tunesmith.cli import main; status = main(['download', 'openbmb/tiny']); "
        "print('torch' in sys.modules, 'transformers' in sys.modules); sys.exit(status)"
    )
    away = {"HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}
    environment = {name: value for name, value in os.environ.items() if name not in away}
    environment |= {"HF_ENDPOINT": hub_server.url, "HF_HOME": str(tmp_path), "PYTHONWARNINGS": "error"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2] / "src")
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if any(path.stat().st_size > 0 for path in tmp_path.rglob("*.incomplete") if path.is_file()):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told, heard = process.communicate(timeout=60)
    assert process.returncode == 130, heard
    assert "the same command goes on from there" in told and told.splitlines()[-1] == "False False"
    (partial,) = tmp_path.rglob("*.incomplete")
    assert 0 < partial.stat().st_size <= half
