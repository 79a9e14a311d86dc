"""An export is whole and right, or not there: what can go wrong leaves nothing under the final name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tunesmith.errors import AdapterError, ConfigError, DataError, MachineError, ModelError, RoundTripError
from tunesmith.export import folder, run
from tunesmith.export.run import REPORT, export
from tunesmith.export.source import Settings
from tunesmith.export.targets import granite
from tunesmith.models.load import load

EXACT = Settings(dtype="float32")
Finished = Callable[[str], Path]


def left(place: Path) -> list[str]:
    """What lies in the folder of an export, hidden names too."""
    return sorted(os.listdir(place))


@pytest.mark.parametrize(
    ("kind", "target"),
    [("lora", "merged"), ("lora", "granite"), ("vision", "adapter"), ("transnormer", "merged"), ("llama", "llama")],
)
def test_a_clean_process_reads_what_was_trained(kind: str, target: str, finished: Finished, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        made, report = export(finished(kind), target, tmp_path / "out", None if target == "adapter" else EXACT)
    finally:
        os.umask(before)
    assert made == tmp_path / "out" and left(tmp_path) == ["out"]
    check = report["check"]
    assert check["max_logit_difference"] < 1e-4 and check["rows"] == 4
    assert check["answers"] == (2 if kind == "vision" else 4)  # rows with pictures are not answered
    assert check["changed_answers"] == 0 and report["recorded_difference"] < 1e-6
    assert ("tunesmith" in check["by"]) == (target in ("merged", "adapter"))
    assert json.loads((made / REPORT).read_text(encoding="utf-8")) == report
    assert {file.stat().st_mode & 0o777 for file in made.iterdir()} == {0o640}
    assert set(report["files"]) == {file.name for file in made.iterdir()} - {REPORT}


@pytest.mark.usefixtures("here")
def test_lost_template_is_refused(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = granite.write

    def careless(out: Any, place: Path) -> None:
        write(out, place)
        (place / "chat_template.jinja").unlink()

    monkeypatch.setattr(granite, "write", careless)
    with pytest.raises(RoundTripError, match="another chat template"):
        export(finished("lora"), "granite", tmp_path / "out", EXACT)
    assert left(tmp_path) == []


def test_changed_run_is_refused(finished: Finished, tmp_path: Path) -> None:
    """Its adapter is not the one that was trained: the recorded logits say so before anything is written."""
    copy = Path(shutil.copytree(finished("lora"), tmp_path / "run"))
    file = copy / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor * 1.5 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(RoundTripError, match="does not compute what it computed at the end of its training"):
        export(copy, "merged", settings=EXACT)
    assert left(copy / "export") == []


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (SafetensorError("Error while serializing: No space left on device (os error 28)"), MachineError),
        (OSError(28, "No space left on device"), MachineError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=["safetensors", "system", "Ctrl-C"],
)
def test_nothing_half_written_is_left(
    error: BaseException,
    wanted: type[BaseException],
    finished: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk is full, or the user has enough, after the first of several files."""
    save, written = save_file, []

    def fails(tensors: Any, file: Path, metadata: Any) -> None:
        if written:
            raise error
        written.append(file)
        save(tensors, file, metadata=metadata)

    monkeypatch.setattr(folder, "save_file", fails)
    with pytest.raises(wanted, match="the disk is full" if wanted is MachineError else None):
        export(finished("lora"), "merged", tmp_path / "out", Settings(shard_size=2_000_000))
    assert written and left(tmp_path) == []


def test_too_little_space_is_seen_before(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(MachineError, match=r"about 5 MiB are needed in .* and 0 MiB are free"):
        export(finished("lora"), "merged", tmp_path / "out")
    assert left(tmp_path) == []


@pytest.mark.usefixtures("here")
def test_what_a_killed_export_left_is_replaced(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half.safetensors").write_bytes(b"0")
    made, _ = export(finished("lora"), "adapter", tmp_path / "out")
    assert left(tmp_path) == ["out"] and not (made / "half.safetensors").exists()


def test_mistakes_are_named_before_anything_is_loaded(finished: Finished, tmp_path: Path) -> None:
    ready = finished("lora")
    with pytest.raises(ConfigError, match="Unknown target 'granit'; did you mean 'granite'"):
        export(ready, "granit", tmp_path / "out")
    with pytest.raises(ConfigError, match="'merged' has no option --quant. Its own: --dtype, --shard-size"):
        export(ready, "merged", tmp_path / "out", Settings(quant="q8_0"))
    with pytest.raises(ConfigError, match="Unknown dtype 'int3'"):
        export(ready, "merged", tmp_path / "out", Settings(dtype="int3"))
    with pytest.raises(ConfigError, match="exists already. Nothing there is touched"):
        export(ready, "merged", tmp_path)
    with pytest.raises(ConfigError, match="is no run, so say where the export goes"):
        export("nano-minicpm", "merged")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MachineError, match="cannot be made"):
        export(ready, "merged", tmp_path / "file" / "out")
    assert left(tmp_path) == ["file"]


def test_unusable_runs_are_refused(finished: Finished, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished("lora"), tmp_path / "run"))
    identity = copy / "adapter" / "tunesmith.json"
    content = json.loads(identity.read_text(encoding="utf-8"))
    content["base_fingerprint"], content["base_identity"]["config"]["scale_emb"] = "0", 3
    identity.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AdapterError, match="trained on another base model .*scale_emb was 3 and is 12"):
        export(copy, "merged", tmp_path / "out")
    shutil.rmtree(copy / "adapter")
    (copy / "status.json").write_text('{"state": "interrupted", "step": 1}', encoding="utf-8")
    with pytest.raises(ModelError, match="has no result yet; its state is 'interrupted'"):
        export(copy, "merged", tmp_path / "out")
    assert left(tmp_path) == ["run"]


@pytest.mark.usefixtures("here")
def test_a_model_without_a_run_can_be_exported(tmp_path: Path) -> None:
    made, report = export("nano-minicpm", "granite", tmp_path / "out")
    assert report["recorded_difference"] is None and report["check"]["rows"] == 2
    assert type(load(made).model).__name__ == "GraniteForCausalLM"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", ["lora", "vision"])
def test_the_users_own_rows_are_compared(kind: str, finished: Finished, tmp_path: Path) -> None:
    """More rows than the run has recorded; pictures too."""
    file = finished(kind).parent / ("seen.json" if kind == "vision" else "rows.json")
    settings = Settings(dtype="float32", data=(str(file),), rows=2)
    _, report = export(finished(kind), "merged", tmp_path / "out", settings)
    check = report["check"]
    assert (check["rows"], check["own_rows"]) == (6, 2) and check["answers"] == (2 if kind == "vision" else 6)
    assert check["relative_difference"] < 1e-4 and report["settings"]["data"] == (str(file),)


def test_rows_that_cannot_be_used(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text('[{"messages": []}]', encoding="utf-8")
    with pytest.raises(DataError, match=r"my.json, record 0"):
        export(finished("lora"), "merged", tmp_path / "out", Settings(data=(str(tmp_path / "my.json"),)))
    with pytest.raises(ConfigError, match="name the file with --data"):
        export(finished("lora"), "merged", tmp_path / "out", Settings(rows=3))
    assert left(tmp_path) == ["my.json"]
