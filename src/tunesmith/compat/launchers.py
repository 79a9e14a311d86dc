"""The words in front of a published command: variables, `deepspeed`, `torchrun` or `python`, and the script's name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ..errors import ConfigError
from .words import Flag, read_words

_SCRIPTS = ("finetune.py", "finetune_dpo_trainer.py", "tunesmith.compat.finetune")
_VARIABLE = re.compile(r"[A-Za-z_]\w*=")
_SEVERAL = "start the command on each machine with `torchrun --nnodes ... --node_rank ...`."
_PLACE = {"master_addr": Flag("text", "address"), "master_port": Flag("int", "port")}

DEEPSPEED = {
    **_PLACE,
    "include": Flag("text"),
    "num_gpus": Flag("int", "processes"),
    "num_nodes": Flag("int", "nodes"),
    "no_local_rank": Flag("bool", idle="processes are numbered by tunesmith."),
    "hostfile": Flag("text", refused=_SEVERAL),
    "exclude": Flag("text", refused="name the GPUs that are to be used with --include."),
}
TORCHRUN = {
    **_PLACE,
    "nproc_per_node": Flag("int", "processes"),
    "nnodes": Flag("int", "nodes"),
    "node_rank": Flag("int", "node_rank"),
    "standalone": Flag("bool", idle="one machine is the default."),
}
PYTHON: dict[str, Flag] = {}
"""The options of the launchers; their keys are those of the section `distributed`."""


@dataclass(frozen=True)
class Launch:
    """What stands in front of the flags: `environment` variables, settings of `distributed`, things to be said.

    `flags` are the words behind the script's name. `distributed` is empty where one process is started.
    """

    flags: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    distributed: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_launch(words: Sequence[str]) -> Launch:
    """Return what the words in front of the flags mean, and the flags.

    Raises:
        ConfigError: another launcher or script, or an option of the launcher that cannot be followed.
    """
    rest, environment = list(words), {}
    while rest and _VARIABLE.match(rest[0]):
        name, _, value = rest.pop(0).partition("=")
        environment[name] = value
    if not rest or rest[0].startswith("--"):
        return Launch(rest, environment)
    options, flags = _at_script(rest)
    if not options:
        return Launch(flags, environment)
    table, options = _launcher(options)
    given = read_words(options, table)
    notes = [*given.notes]
    for name, value in given.values.items():
        if table[name].refused:
            raise ConfigError(f"--{name} {value} of the launcher is not supported; {table[name].refused}")
        if table[name].idle:
            notes.append(f"--{name}: no effect; {table[name].idle}")
    distributed: dict[str, Any] = {"processes": "auto"} if table is DEEPSPEED else {}
    distributed |= {table[name].key: value for name, value in given.values.items() if table[name].key}
    if "include" in given.values:
        numbers = _included(given.values["include"])
        distributed["processes"] = len(numbers)
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(numbers)
        notes.append(f"--include {given.values['include']}: CUDA_VISIBLE_DEVICES is set to {','.join(numbers)}.")
    if table is DEEPSPEED and distributed.get("nodes", 1) > 1:
        raise ConfigError(f"--num_nodes: this command starts processes on one machine; {_SEVERAL}")
    if distributed.get("processes", 1) == 1 and distributed.get("nodes", 1) == 1:
        distributed = {}
    return Launch(flags, environment, distributed, notes)


def _at_script(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words in front of the script's name, and those behind it.

    Raises:
        ConfigError: there is no such name.
    """
    for number, word in enumerate(words):
        if PurePath(word).name in _SCRIPTS:
            before = words[:number]
            if before and before[-1] in ("-m", "--module"):
                before.pop()
            return before, words[number + 1 :]
    other = next((word for word in words if word.endswith((".py", ".sh"))), None)
    if other:
        raise ConfigError(
            f"'{other}' is another script: `tunesmith finetune` takes the place of the published finetune.py. Give the "
            "words of the command that calls it."
        )
    raise ConfigError(
        f"'{words[0]}' is neither a flag nor the beginning of a command such as `torchrun ... finetune.py ...`."
    )


def _launcher(words: list[str]) -> tuple[dict[str, Flag], list[str]]:
    """Return the options that a launcher knows, and the words that are such options."""
    name, options = PurePath(words[0]).name, words[1:]
    if re.fullmatch(r"python[\d.]*", name):
        options = [word for word in options if word != "-u"]
        if options[:2] in (["-m", "torch.distributed.run"], ["-m", "torch.distributed.launch"]):
            return TORCHRUN, options[2:]
        return PYTHON, options
    if name in ("deepspeed", "torchrun"):
        return (DEEPSPEED if name == "deepspeed" else TORCHRUN), options
    raise ConfigError(f"'{words[0]}' is not known as a launcher. Known: deepspeed, torchrun, python.")


def _included(text: str) -> list[str]:
    """Return the numbers of the GPUs in DeepSpeed's `localhost:0,1`."""
    host, _, numbers = text.partition(":")
    found = numbers.split(",")
    if host not in ("localhost", "127.0.0.1") or "@" in text or not all(number.isdigit() for number in found):
        raise ConfigError(
            f"--include is '{text}', but must be GPUs of this machine, such as localhost:0,1. For several machines, {_SEVERAL}"
        )
    return found
