"""DeepSpeed with one rank, several times in one program: a group that it keeps, a file that contradicts the settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ZERO: dict[str, Any] = {
    "zero_optimization": {"stage": 2},
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
}
PROGRAM = """
import json, sys
from tunesmith.errors import ConfigError
from tunesmith.training.run import train

for config in json.load(open(sys.argv[1])):
    try:
        print("state", train(config).state)
    except ConfigError as error:
        print("refused", error)
"""


def test_twice_and_contradicted(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(ZERO), encoding="utf-8")
    (tmp_path / "bad.json").write_text(json.dumps({**ZERO, "gradient_clipping": 0.5}), encoding="utf-8")
    training = {**tiny_config["training"], "steps": 1, "device": "cpu"}
    configs = [
        {
            **tiny_config,
            "training": training,
            "output": str(tmp_path / f"run{number}"),
            "distributed": {"engine": "deepspeed", "config": str(tmp_path / name)},
        }
        for number, name in enumerate(("good.json", "good.json", "bad.json"))
    ]
    (tmp_path / "configs.json").write_text(json.dumps(configs), encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "configs.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [line for line in done.stdout.splitlines() if line.startswith(("state", "refused"))]
    assert said[:2] == ["state finished"] * 2
    assert "gradient_clipping=0.5" in said[2] and "max_grad_norm=1.0" in said[2]
    assert "1 rank; DeepSpeed shares out" in done.stderr
