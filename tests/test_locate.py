"""Names and paths to folders, without the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith import locate as module
from tunesmith.errors import ModelError
from tunesmith.locate import locate


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundled model that is there."""
    folder = tmp_path / "package" / "nano"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setattr(module, "BUNDLED", {"nano-minicpm": folder, "nano": folder, "gone": tmp_path / "gone"})
    return folder


def test_a_folder_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate(tmp_path) == tmp_path and locate(str(tmp_path)) == tmp_path
    (tmp_path / "some" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("some/run") == Path("some/run")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/some") == tmp_path / "some"


def test_bundled_names(bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate("nano-minicpm") == locate("nano") == bundled
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("nano") == bundled and locate("./nano") == Path("nano")
    with pytest.raises(ModelError, match="missing from this installation"):
        locate("gone")


def test_published_names_are_known() -> None:
    folders = {name: folder.parts[-3:] for name, folder in module.BUNDLED.items()}
    assert folders["nano"] == folders["nano-minicpm"] == ("tunesmith", "nano", "minicpm")
    assert folders["nano-minicpmv"] == ("tunesmith", "nano", "minicpmv")
    assert folders["nano-transnormer"] == ("tunesmith", "nano", "transnormer")


def test_nothing_there(bundled: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="did you mean 'nano-minicpm'"):
        locate("nano-minicmp")
    with pytest.raises(ModelError, match=r"There is no folder '.*nowhere'\. Give"):
        locate(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="is a file"):
        locate(tmp_path / "file")


def test_a_name_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="run `tunesmith download openbmb/MiniCPM-2B-sft-bf16`"):
        locate("openbmb/MiniCPM-2B-sft-bf16")
    repository, commit = tmp_path / "models--openbmb--MiniCPM-2B-sft-bf16", "0" * 40
    folder = repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    with pytest.raises(ModelError, match="tunesmith download"):  # nothing of it has come yet
        locate("openbmb/MiniCPM-2B-sft-bf16")
    (folder / "config.json").write_text("{}")
    assert locate("openbmb/MiniCPM-2B-sft-bf16") == folder
    # that another program listed more files than it fetched does not matter
    (repository / "trees").mkdir()
    (repository / "trees" / f"{commit}.json").write_text('{"onnx/model.onnx": {"size": 1, "blob_id": "0"}}')
    assert locate("openbmb/MiniCPM-2B-sft-bf16") == folder
    with pytest.raises(ModelError, match="tunesmith download"):
        locate("no..such/--name")


@pytest.mark.parametrize(
    "place",
    [
        "models/OpenBMB--MiniCPM4-0.5B/snapshots/master",
        "models/OpenBMB/MiniCPM4-0___5B",
        "hub/models/OpenBMB/MiniCPM4-0___5B",
    ],
)
def test_a_name_of_modelscope(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path))
    (tmp_path / place).mkdir(parents=True)
    with pytest.raises(ModelError, match="tunesmith download"):
        locate("openbmb/MiniCPM4-0.5B")
    (tmp_path / place / "config.json").write_text("{}")
    assert locate("openbmb/MiniCPM4-0.5B") == locate("OpenBMB/MiniCPM4-0.5B") == tmp_path / place
