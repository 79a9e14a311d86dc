"""What stands in front of the flags: variables, launchers, the script's name."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.compat.launchers import Launch, read_launch
from tunesmith.errors import ConfigError

FLAGS = ["--seed", "1"]


@pytest.mark.parametrize(
    "front",
    [
        "",
        "finetune.py",
        "finetune/finetune.py",
        "python finetune.py",
        "python finetune_dpo_trainer.py",
        "python3.10 -u finetune.py",
        "python -m tunesmith.compat.finetune",
        "torchrun finetune.py",
        "torchrun --nproc-per-node=1 --master_port 6001 finetune.py",
        "torchrun --nproc_per_node 1 --module tunesmith.compat.finetune",
        "deepspeed --num_gpus 1 finetune.py",
        "deepspeed --num_gpus 1 --module tunesmith.compat.finetune",
    ],
)
def test_one_process(front: str) -> None:
    assert read_launch([*front.split(), *FLAGS]) == Launch(FLAGS)


@pytest.mark.parametrize(
    ("front", "distributed"),
    [
        ("deepspeed --num_gpus 2 --master_port 19888 finetune.py", {"processes": 2, "port": 19888}),
        ("deepspeed finetune.py", {"processes": "auto"}),
        ("torchrun --nproc_per_node 8 finetune.py", {"processes": 8}),
        (
            "torchrun --nproc_per_node 1 --nnodes 2 --node_rank 1 --master_addr 10.0.0.1 --master_port 6001 finetune.py",
            {"processes": 1, "nodes": 2, "node_rank": 1, "address": "10.0.0.1", "port": 6001},
        ),
        ("python -m torch.distributed.run --nproc_per_node 2 finetune.py", {"processes": 2}),
        ("/opt/bin/torchrun --nproc_per_node 2 finetune.py", {"processes": 2}),
    ],
)
def test_several_processes(front: str, distributed: dict[str, Any]) -> None:
    assert read_launch([*front.split(), *FLAGS]) == Launch(FLAGS, {}, distributed)


def test_variables_and_chosen_gpus() -> None:
    words = "HF_HOME=/data/hf HF_ENDPOINT=https://x deepspeed --include localhost:0,2 finetune.py --seed 1"
    found = read_launch(words.split())
    assert found.environment == {"HF_HOME": "/data/hf", "HF_ENDPOINT": "https://x", "CUDA_VISIBLE_DEVICES": "0,2"}
    assert found.distributed == {"processes": 2}
    assert found.notes == ["--include localhost:0,2: CUDA_VISIBLE_DEVICES is set to 0,2."]
    assert read_launch(["CUDA_VISIBLE_DEVICES=1", "--seed", "1"]) == Launch(FLAGS, {"CUDA_VISIBLE_DEVICES": "1"})


def test_what_has_no_effect_is_said() -> None:
    found = read_launch(["torchrun", "--standalone", "--nproc_per_node", "2", "finetune.py"])
    assert found.notes == ["--standalone: no effect; one machine is the default."]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("torchrun train.py --seed 1", "'train.py' is another script"),
        ("bash finetune_lora.sh", "'finetune_lora.sh' is another script.*words of the command that calls it"),
        ("lora", "'lora' is neither a flag nor the beginning of a command"),
        (
            "accelerate launch finetune.py",
            "'accelerate' is not known as a launcher. Known: deepspeed, torchrun, python",
        ),
        ("torchrun --nproc_per_nod 2 finetune.py", "no flag '--nproc_per_nod'; did you mean '--nproc_per_node'?"),
        ("torchrun --nproc_per_node gpu finetune.py", "--nproc_per_node is 'gpu', but must be a whole number"),
        ("deepspeed --include host1:0@host2:0 finetune.py", "must be GPUs of this machine"),
        ("deepspeed --include localhost finetune.py", "must be GPUs of this machine"),
        (
            "deepspeed --hostfile hosts finetune.py",
            "--hostfile hosts of the launcher is not supported; start the command",
        ),
        ("deepspeed --num_nodes 2 finetune.py", "--num_nodes: this command starts processes on one machine"),
        ("python -x finetune.py", "'-x' belongs to no flag"),
    ],
)
def test_what_cannot_be_followed(line: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_launch(line.split())
