"""A whole run: its folder, users' mistakes, folders of something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import ConfigError, DataError, MachineError, ModelError
from tunesmith.training.run import train


def changed(config: dict[str, Any], output: Path, **training: Any) -> dict[str, Any]:
    """The config with another output and other training settings."""
    return {**config, "output": str(output), "training": {**config["training"], **training}}


def losses(run: Path, key: str = "loss") -> list[float]:
    """The logged losses."""
    return [line[key] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if key in line]


def test_run_folder(tiny_config: dict, tmp_path: Path) -> None:
    config = {**tiny_config, "data": {**tiny_config["data"], "validation_share": 0.25}}
    result = train(changed(config, tmp_path / "run", verify=True, eval_steps=4, report_to=["tensorboard"]))
    run = tmp_path / "run"
    assert result.state == "finished" and result.step == 8 and result.result == run / "adapter"
    status = json.loads((run / "status.json").read_text())
    assert status["state"] == "finished" and status["verified"] is True and status["max_logit_difference"] < 1e-4
    for name in ("config.yaml", "environment.json", "data.json", "loss.png", "loss.svg", "metrics.jsonl"):
        assert (run / name).stat().st_size > 100, name
    assert list((run / "tensorboard").glob("events.*"))
    assert len(losses(run)) == 8 and len(losses(run, "eval_loss")) == 3  # before the first step, at 4 and at 8
    assert losses(run)[-1] < losses(run)[0]
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[1])
    assert {"step", "loss", "learning_rate", "grad_norm", "tokens_per_second", "peak_memory", "epoch"} <= line.keys()
    assert not [path for path in run.rglob("*") if path.name.endswith(".partial")]
    data = json.loads((run / "data.json").read_text())
    assert data["files"][0]["kept"] == 16 and data["fingerprint"]


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"model": "no/such/folder/at/all"}, ModelError, "no/such/folder"),
        ({"data": {"train": "missing.json"}}, DataError, "missing.json"),
        ({"tuning": {"method": "lora", "targets": ["q_prj"]}}, ConfigError, "no layer 'q_prj'.*did you mean 'q_proj'"),
        ({"tuning": {"method": "lora", "init": "unheard_of"}}, ConfigError, "tuning: "),
        ({"training": {"precision": "fp16", "device": "cpu"}}, MachineError, "fp16 needs a GPU"),
        ({"training": {"report_to": ["wndb"]}}, ConfigError, "unknown logger 'wndb'"),
        ({"training": {"attention": "sdpaa"}}, ConfigError, "training.attention"),
        ({"data": {"max_length": 8}}, DataError, "Raise max_length"),
    ],
)
def test_users_mistakes(change: dict, kind: type, match: str, tiny_config: dict, tmp_path: Path) -> None:
    config = {**tiny_config, "output": str(tmp_path / "run")}
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) and key != "tuning" else value
    with pytest.raises(kind, match=match):
        train(config)
    assert not (tmp_path / "run" / "adapter").exists()


def test_output_folder_of_something_else_is_not_touched(tiny_config: dict, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="no run of tunesmith"):
        train({**tiny_config, "output": str(tmp_path / "mine")})
    with pytest.raises(ConfigError, match="is a file"):
        train({**tiny_config, "output": str(tmp_path / "mine" / "thesis.txt")})
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_mistake_can_be_mended_in_the_same_folder(tiny_config: dict, tmp_path: Path) -> None:
    """A run that failed before its first checkpoint does not hold the user to its settings."""
    data = {**tiny_config["data"], "max_length": 8}
    with pytest.raises(DataError, match="Raise max_length"):
        train({**tiny_config, "data": data, "output": str(tmp_path / "run")})
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "failed"
    assert train({**tiny_config, "output": str(tmp_path / "run")}).state == "finished"


def test_ctrl_c_before_the_first_step_is_an_interruption(
    tiny_config: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.training import steps

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    config = changed(tiny_config, tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(steps, "test_objective", interrupt)
        train(config)
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "interrupted"
    assert train(config).state == "finished"
