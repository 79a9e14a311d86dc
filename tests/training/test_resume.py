"""Killed at any moment and resumed, a run ends with the same weights, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tunesmith.errors import ConfigError
from tunesmith.training.run import train

HARNESS = Path(__file__).with_name("kill_harness.py")


def run_harness(config: dict, kills: int, seed: int, folder: Path) -> dict:
    """Run the harness in a process of its own (it must not inherit this one's threads)."""
    (folder / "config.json").write_text(json.dumps({**config, "output": str(folder / "runs")}))
    command = [sys.executable, str(HARNESS), str(folder / "config.json"), str(kills), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "QUIET": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("tuning", "kills"), [({"method": "lora", "dropout": 0.1}, 10), ({"method": "full"}, 5)])
def test_kills_at_random_moments(tuning: dict, kills: int, tiny_config: dict, tmp_path: Path) -> None:
    training = {**tiny_config["training"], "steps": 24, "save_steps": 2, "gradient_accumulation_steps": 2}
    data = tiny_config["data"]
    if tuning["method"] == "lora":  # evaluation and the best checkpoint must not change where a run ends
        training, data = {**training, "eval_steps": 3}, {**data, "validation_share": 0.25}
    report = run_harness({**tiny_config, "data": data, "tuning": tuning, "training": training}, kills, 7, tmp_path)
    assert report["peace"] == 0 and report["failures"] == []
    assert report["killed"] == kills and report["while_saving"] >= 2
    assert set(report["digests"]) == {report["expected"]}


def weights(run: Path) -> dict:
    """The result's tensors."""
    return load_file(run / "adapter" / "adapter_model.safetensors")


def same(one: Path, other: Path) -> bool:
    """Tell whether two runs ended with the same bits."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.fixture(scope="module")
def finished(tiny_config: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that went through in peace."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train({**tiny_config, "output": str(folder)})
    return folder


def unfinish(run: Path, copy: Path, state: str = "running") -> None:
    """Copy a finished run and take its result away, as if it had been killed after its last checkpoint."""
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "adapter")
    (copy / "status.json").write_text(json.dumps({"state": state, "step": 1}))


def drop(run: Path, step: int) -> None:
    """Remove a checkpoint."""
    shutil.rmtree(run / "checkpoints" / f"checkpoint-{step}")


def damage(run: Path, step: int) -> None:
    """Flip one bit of the weights of a checkpoint."""
    file = run / "checkpoints" / f"checkpoint-{step}" / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 4
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "resumed_from"),
    [
        (lambda run: None, 8),
        (lambda run: drop(run, 8), 6),
        (lambda run: damage(run, 8), 6),
        (lambda run: (run / "checkpoints" / "checkpoint-8" / "optimizer.pt").unlink(), 6),
        (lambda run: os.truncate(run / "checkpoints" / "checkpoint-8" / "optimizer.pt", 100), 6),
        (lambda run: (drop(run, 8), drop(run, 6)), 0),
    ],
    ids=["complete", "one step back", "flipped bit", "missing file", "cut file", "from the start"],
)
def test_resume_ends_with_the_same_weights(
    change: Callable[[Path], object], resumed_from: int, finished: Path, tiny_config: dict, tmp_path: Path, capfd
) -> None:
    run = tmp_path / "run"
    unfinish(finished, run)
    change(run)
    result = train({**tiny_config, "output": str(run)})
    assert result.state == "finished" and result.step == 8 and same(finished, run)
    said = capfd.readouterr().err
    assert (f"Resuming from step {resumed_from}" in said) == bool(resumed_from)
    assert ("is damaged" in said) == (
        change.__code__.co_names[:1] == ("damage",) or "optimizer.pt" in str(change.__code__.co_consts)
    )
    steps = [
        line["step"] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "loss" in line
    ]
    assert steps == list(range(1, 9))  # no step is missing and none is there twice


def test_pickle_in_a_checkpoint_is_not_run(finished: Path, tiny_config: dict, tmp_path: Path) -> None:
    """Even with a manifest that fits, a file that would run code is refused."""
    import pickle

    from tunesmith.training import checkpoint

    class Attack:
        def __reduce__(self) -> tuple:
            return (os.system, (f"touch {tmp_path}/attacked",))

    run = tmp_path / "run"
    unfinish(finished, run)
    drop(run, 8)
    folder = run / "checkpoints" / "checkpoint-6"
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "optimizer.pt").write_bytes(pickle.dumps(Attack()))
    manifest["files"]["optimizer.pt"] = {
        "bytes": (folder / "optimizer.pt").stat().st_size,
        "sha256": checkpoint._hash(folder / "optimizer.pt"),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match="(?i)weights.only|unpickl|pickle"):
        train({**tiny_config, "output": str(run)})
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_ends_cleanly(number: int, finished: Path, tiny_config: dict, tmp_path: Path) -> None:
    """The process ends with 128 + signal, at the boundary of a step, and goes on to the same weights."""
    import yaml

    run = tmp_path / "run"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**tiny_config, "output": str(run)}))
    command = [sys.executable, "-m", "tunesmith", "train", str(tmp_path / "c.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").is_file() or not (run / "metrics.jsonl").read_text():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    status = json.loads((run / "status.json").read_text())
    if status["state"] == "finished":
        pytest.skip("the run was over before the signal came")
    assert process.returncode == 128 + number and status["state"] == "interrupted" and status["signal"] == number
    assert "saving at the next optimiser step" in said and "Traceback" not in said
    assert (run / "checkpoints" / f"checkpoint-{status['step']}").is_dir() and not (run / "adapter").exists()
    assert train({**tiny_config, "output": str(run)}).state == "finished" and same(finished, run)


def test_what_a_resumed_run_may_not_change(finished: Path, tiny_config: dict, tmp_path: Path) -> None:
    run = tmp_path / "run"
    unfinish(finished, run, "interrupted")
    changed = {**tiny_config, "output": str(run), "training": {**tiny_config["training"], "learning_rate": 0.5}}
    with pytest.raises(ConfigError, match=r"training.learning_rate was .*, now 0.5.*resume=never"):
        train(changed)
    data = tmp_path / "other.json"
    data.write_text(Path(tiny_config["data"]["train"]).read_text().replace("red", "blue"))
    moved = tmp_path / "moved"
    unfinish(finished, moved, "interrupted")
    config = json.loads(json.dumps(tiny_config))
    original = Path(config["data"]["train"]).read_text()
    try:
        Path(config["data"]["train"]).write_text(original.replace("red", "blue"))
        with pytest.raises(ConfigError, match="began with other rows"):
            train({**config, "output": str(moved)})
    finally:
        Path(config["data"]["train"]).write_text(original)


def test_finished_is_not_overwritten_and_never_means_anew(finished: Path, tiny_config: dict, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    with pytest.raises(ConfigError, match="already finished"):
        train({**tiny_config, "output": str(run)})
    training = {**tiny_config["training"], "resume": "never", "steps": 2}
    result = train({**tiny_config, "output": str(run), "training": training})
    assert result.step == 2 and same(finished, tmp_path / "run.1")
