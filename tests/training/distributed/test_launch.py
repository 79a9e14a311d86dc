"""Starting ranks and watching them: what each is told, how a failure is told, signals, a killed rank, two machines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunesmith.errors import ConfigError, MachineError, PeerLostError, RunError, UserError
from tunesmith.runs import RunFolder
from tunesmith.training.checkpoint import steps
from tunesmith.training.distributed import launch
from tunesmith.training.distributed.ranks import free_port
from tunesmith.training.settings import TrainConfig

TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TOLD, "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_DEEPSPEED_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)


def config(tiny_config: dict[str, Any], **distributed: Any) -> TrainConfig:
    section = {"distributed": distributed} if distributed else {}
    return TrainConfig.model_validate({**tiny_config, "output": "out", **section})


def test_one_process_is_the_default(tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.planned(config(tiny_config)) is None
    assert launch.planned(config(tiny_config, processes=1)) is None
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 4)
    assert launch.planned(config(tiny_config)) is None, "only where the section is given"
    plan = launch.planned(config(tiny_config, engine="ddp"))
    assert plan is not None and plan.world == 4, "auto: one for each GPU"
    on_cpu = {**tiny_config, "training": {**tiny_config["training"], "device": "cpu"}}
    assert launch.planned(config(on_cpu, engine="ddp")) is None
    monkeypatch.setenv("RANK", "0")
    assert launch.planned(config(tiny_config, processes=2)) is None, "a launcher has started this one"


def test_what_each_rank_is_told(tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launch, "_cores", lambda: 8)
    plan = launch.planned(config(tiny_config, processes=3, nodes=2, node_rank=1, address="10.0.0.5"))
    assert plan is not None and plan.port == 29500
    told = plan.environment(2, 29500)
    expected = {"RANK": "5", "LOCAL_RANK": "2", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "3", "GROUP_RANK": "1"}
    assert told == {**expected, "MASTER_ADDR": "10.0.0.5", "MASTER_PORT": "29500", "OMP_NUM_THREADS": "2"}
    with pytest.raises(MachineError, match="distributed.address"):
        launch.planned(config(tiny_config, processes=1, nodes=2))
    for name, value in {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "77"}.items():
        monkeypatch.setenv(name, value)
    plan = launch.planned(config(tiny_config, processes=1))
    assert plan == launch.Plan(1, 2, 1, "a", 77)


def test_accelerate_says_in_the_environment_what_it_wants(
    tiny_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launch.under_accelerate(config(tiny_config)).distributed is None
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    under = launch.under_accelerate(config(tiny_config)).distributed
    assert under is not None and under.engine == "fsdp" and "ACCELERATE_USE_FSDP" not in os.environ
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match="--deepspeed_config_file"):
        launch.under_accelerate(config(tiny_config))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", "zero.json")
    under = launch.under_accelerate(config(tiny_config)).distributed
    assert under is not None and (under.engine, under.config) == ("deepspeed", "zero.json")


PROGRAM = """
import json, os, signal, sys, time
rank, report = int(os.environ["RANK"]), os.environ["TUNESMITH_RANK_REPORT"]
def say(**content): open(report, "w").write(json.dumps(content))
"""


def outcome(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch, grace: float = 0.5) -> dict[str, Any]:
    monkeypatch.setattr(launch, "GRACE", grace)
    (tmp_path / "program.py").write_text(PROGRAM + program)
    return launch.run_ranks(
        launch.Plan(2, 1, 0, "127.0.0.1", None), [sys.executable, "-S", str(tmp_path / "program.py")], free_port()
    )


def test_how_ranks_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause is told: not the rank that only lost another one, and nobody is waited for for ever."""
    lost = f"say(kind='{PeerLostError.__name__}', message='gone', exit_code=1); sys.exit(1)"
    assert outcome(tmp_path, "say(state='finished', rank=rank)", monkeypatch) == {"state": "finished", "rank": 0}
    stopped = "say(state='interrupted', signal=15); time.sleep(rank); sys.exit(143)"
    assert outcome(tmp_path, stopped, monkeypatch)["state"] == "interrupted"
    with pytest.raises(UserError, match="^Rank 1 of this run: no such file$"):
        program = f"if rank: say(kind='DataError', message='no such file', exit_code=2); sys.exit(2)\n{lost}"
        outcome(tmp_path, program, monkeypatch)
    with pytest.raises(RunError, match="Rank 1 of this run was ended by SIGKILL.*memory"):
        outcome(tmp_path, f"if rank: os.kill(os.getpid(), signal.SIGKILL)\n{lost}", monkeypatch)
    begin = time.monotonic()
    with pytest.raises(RunError, match=r"Rank 1 of this run ended with exit code 1(.|\n)*ZeroDivisionError"):
        outcome(tmp_path, "if rank: 1 / 0\ntime.sleep(60)", monkeypatch)
    assert time.monotonic() - begin < 20


def test_ranks_end_with_their_launcher(tmp_path: Path) -> None:
    """A launcher that is killed leaves no rank behind."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys, time\nfrom tunesmith.training.distributed.launch import end_with_launcher\n"
        "end_with_launcher()\nopen(sys.argv[1] + os.environ['RANK'], 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    code = (
        "import sys\nfrom tunesmith.training.distributed import launch\n"
        f"launch.run_ranks(launch.Plan(2, 1, 0, '127.0.0.1', None), {[sys.executable, str(program), f'{tmp_path}/pid']!r}, 1)"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    _wait_for(lambda: all(file.is_file() and file.read_text() for file in files), 60)
    started.kill()
    started.wait()

    def gone(process: int) -> bool:
        try:
            return "Z" in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True

    _wait_for(lambda: all(gone(int(file.read_text())) for file in files), 20)


def _wait_for(what: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.05)


def started(config: dict[str, Any], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """`tunesmith train` of a config in a process of its own."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{len(list(folder.iterdir()))}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "tunesmith", "train", str(file)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )


def ranks_of(process: int) -> list[int]:
    """The processes that a launcher has started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in children]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_stopped_resumed_and_killed(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    """SIGTERM: all ranks stop at one step, saved once. SIGKILL of a rank: the run ends soon, and says of whom."""
    run = RunFolder(tmp_path / "run")
    training = {**tiny_config["training"], "steps": 100_000, "batch_size": 2, "save_steps": 50_000, "device": "cpu"}
    config = {**tiny_config, "output": str(run.path), "training": training, "distributed": {"processes": 2}}
    process = started(config, tmp_path / "files")
    _wait_for(lambda: len(run.metric_lines()) > 3 or process.poll() is not None, 90)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert run.status["state"] == "interrupted" and run.status["signal"] == signal.SIGTERM
    (saved,) = steps(run.checkpoints)
    assert saved == run.status["step"]

    process = started(config, tmp_path / "files")
    _wait_for(lambda: len(run.metric_lines()) > saved + 3 or process.poll() is not None, 90)
    begin = time.monotonic()
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begin < 60 and process.returncode == 1
    assert f"Resuming from step {saved}" in said and "error: Rank 1 of this run was ended by SIGKILL" in said
    assert run.status["state"] == "failed" and "Rank 1" in run.status["reason"]
    assert steps(run.checkpoints) == [saved]


def test_two_machines(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    """Two launchers meet, each by another address of machine 0; the settings come from the environment of one."""
    port = str(free_port())
    training = {**tiny_config["training"], "batch_size": 2, "steps": 3, "device": "cpu"}
    config = {**tiny_config, "output": str(tmp_path / "run"), "training": training}
    first = {"processes": 1, "nodes": 2, "node_rank": 0, "address": "127.0.0.1", "port": int(port)}
    told = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "127.0.0.2", "MASTER_PORT": port}
    both = [
        started({**config, "distributed": first}, tmp_path / "a"),
        started({**config, "distributed": {"processes": 1}}, tmp_path / "b", **told),
    ]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda process: process.communicate(timeout=120)[1], both))
    assert [process.returncode for process in both] == [0, 0], said
    assert "2 ranks" in said[0] and "Finished" in said[0] and "step" not in said[1], "only rank 0 talks"
    assert "Machine 1 of 2: 1 of 2 ranks; they meet at 127.0.0.2" in said[1]
    assert RunFolder(tmp_path / "run").status["state"] == "finished"
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["ranks"] == 2
