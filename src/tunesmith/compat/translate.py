"""The flags of a published command -> our settings, and a line about each flag that is no setting of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.text import write
from ..data.slicing import Slicing
from ..errors import ConfigError
from ..locate import locate
from .launchers import Launch, read_launch
from .scripts import (
    DATA_FLAG,
    FLAGS,
    LORA,
    MAX_LENGTH,
    MINICPM,
    MINICPMV,
    NAMES,
    choose_script,
    objective_of,
    tuning_of,
)
from .words import read_words

SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup", "warmup_stable_decay")
BY_STEPS = 500
"""The published number of steps between logs, checkpoints and evaluations, where a flag does not say it."""


@dataclass(frozen=True)
class Translation:
    """A published command in our words: `settings` as in a YAML file, `notes` on what is not in it.

    `environment`: variables that the command sets. `flags`: which flag a setting came from, by its dotted name.
    """

    script: str
    settings: dict[str, Any]
    notes: list[str]
    environment: dict[str, str]
    flags: dict[str, str]

    def yaml(self) -> str:
        """Return the settings as a file for `tunesmith train`, with the notes as comments."""
        lines = [f"A command for {NAMES[self.script]}, in the words of `tunesmith train`.", *self.notes]
        return "".join(f"# {line}\n" for line in lines) + write(self.settings)


def translate(words: Sequence[str], script: str | None = None) -> Translation:
    """Return what a published command line means; `script`: which of the two, where the flags should not decide.

    Raises:
        ConfigError: what of it cannot be followed: a flag, a value, a combination.
    """
    launch = read_launch(words)
    given = read_words(launch.flags, FLAGS)
    values = {name: value for name, value in given.values.items() if value != ""}  # a shell variable that is empty
    script = choose_script(values, script)
    notes = [*launch.notes, *given.notes]
    for name, value in values.items():
        flag = FLAGS[name]
        if flag.refused and _is_more_than_off(value):
            shown = " ".join(value) if isinstance(value, list) else value
            raise ConfigError(f"--{name} {shown} is not supported; {flag.refused}")
        if flag.idle:
            notes.append(f"--{name}: no effect; {flag.idle}")
    direct = {flag.key: name for name, flag in FLAGS.items() if flag.key and name in values}
    for name in ("model_name_or_path", "output_dir", DATA_FLAG[script]):
        if name not in values:
            raise ConfigError(f"--{name} is missing.")
    settings: dict[str, Any] = {
        "model": values["model_name_or_path"],
        "output": values["output_dir"],
        "data": _data(script, values, notes),
        "tuning": tuning_of(script, values),
        "training": _training(values, notes),
    }
    for key, name in direct.items():
        section, dot, rest = key.partition(".")
        if dot:
            settings[section][rest] = values[name]
    if objective := objective_of(values, notes):
        settings["objective"] = objective
    if distributed := _distributed(values, launch, notes):
        settings["distributed"] = distributed
    if script == MINICPM and values.get("use_lora") and "lora_r" not in values:
        notes.append(
            f"LoRA's rank is {LORA[script]['rank']}, as in the last published script; the first had 8 (--lora_r 8)."
        )
    if script == MINICPMV:
        _check_pictures(values, notes)
    return Translation(script, settings, notes, launch.environment, direct)


def _is_more_than_off(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return any(text not in (False, 0) and str(text).lower() not in ("", "none", "false") for text in texts)


def _data(script: str, values: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the section `data`; an evaluation is only done where a strategy asks for it, as in the scripts."""
    data: dict[str, Any] = {"train": _file(values[DATA_FLAG[script]], "train.json", notes)}
    strategy, path = _evaluation(values), values.get("eval_data_path")
    if strategy != "no" and path is None:
        raise ConfigError(f"--eval_strategy is {strategy}, but --eval_data_path is missing.")
    if path is not None and strategy == "no":
        notes.append("--eval_data_path: nothing is evaluated, as in the published script without --eval_strategy.")
    elif path is not None:
        data["validation"] = _file(path, "dev.json", notes)
    data["max_length"] = MAX_LENGTH[script]
    if script == MINICPM:
        data["end_of_turn"] = "last"
    else:
        data["picture_roots"] = [".", *values.get("picture_roots", [])]
    sampling = values.get("train_sampling_strategy", "random")
    if sampling not in ("random", "group_by_length"):
        raise ConfigError(f"--train_sampling_strategy {sampling} is not supported; give random or group_by_length.")
    data["group_by_length"] = bool(values.get("group_by_length")) or sampling == "group_by_length"
    return data


def _file(path: str, name: str, notes: list[str]) -> str:
    """Return the file that is meant by a path: in a folder, the one of the published name."""
    inside = Path(path) / name
    if not inside.is_file():
        return path
    notes.append(f"'{path}' is a folder; its {name} is read.")
    return str(inside)


def _training(values: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the section `training`, but what is one flag's value word for word."""
    settings: dict[str, Any] = {"learning_rate": 5e-5}  # transformers' default
    if values.get("max_steps", -1) > 0:
        settings["steps"] = values["max_steps"]
    settings |= _schedule(values)
    settings["precision"] = _precision(values)
    if values.get("use_cpu") or values.get("no_cuda"):
        settings["device"] = "cpu"
    settings["logging_steps"] = BY_STEPS
    if values.get("logging_strategy", "steps") != "steps":
        notes.append(f"--logging_strategy {values['logging_strategy']}: metrics are written by --logging_steps.")
    settings |= _strategies(values, notes)
    loggers = values.get("report_to", ["all"])
    if loggers != ["all"]:
        settings["report_to"] = loggers
    if values.get("overwrite_output_dir"):
        settings["resume"] = "never"
        notes.append("--overwrite_output_dir: a run that is in the folder already is kept under another name.")
    return settings


def _schedule(values: dict[str, Any]) -> dict[str, Any]:
    schedule = values.get("lr_scheduler_type", "linear")
    if schedule not in SCHEDULES:
        raise ConfigError(f"--lr_scheduler_type {schedule} is not supported. Supported: {', '.join(SCHEDULES)}.")
    steps, ratio = values.get("warmup_steps", 0), values.get("warmup_ratio", 0.0)
    if schedule == "constant":  # transformers' constant has no warm-up, whatever the flags say
        steps, ratio = 0, 0.0
    warmup = {"warmup_ratio": ratio} if ratio and not steps else {"warmup_steps": steps}
    return {"schedule": schedule, **warmup}


def _precision(values: dict[str, Any]) -> str:
    if values.get("bf16") and values.get("fp16"):
        raise ConfigError("--bf16 and --fp16 contradict each other. Keep one of them.")
    return "bf16" if values.get("bf16") else "fp16" if values.get("fp16") else "fp32"


def _strategies(values: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return when is evaluated and saved, and which weights are the result."""
    settings: dict[str, Any] = {}
    if _evaluation(values) == "steps":
        settings["eval_steps"] = values.get("eval_steps", values.get("logging_steps", BY_STEPS))
    saving = _one_of("save_strategy", values.get("save_strategy", "steps"))
    if saving == "steps":
        settings["save_steps"] = values.get("save_steps", BY_STEPS)
    elif saving == "no":
        notes.append("--save_strategy no: a checkpoint is kept all the same, so that the run can be resumed.")
    limit = values.get("save_total_limit", 0)
    if limit > 0:
        settings["keep_checkpoints"] = limit
    else:
        notes.append("Without --save_total_limit the newest two checkpoints are kept; they only serve to resume a run.")
    best = values.get("load_best_model_at_end", False)
    metric = values.get("metric_for_best_model", "loss")
    if best and metric.removeprefix("eval_") != "loss":
        raise ConfigError(f"--metric_for_best_model {metric} is not supported: weights are compared by their loss.")
    if best and _evaluation(values) == "no":
        raise ConfigError("--load_best_model_at_end needs an evaluation: give --eval_strategy and --eval_data_path.")
    settings["result"] = "best" if best else "last"
    return settings


def _evaluation(values: dict[str, Any]) -> str:
    """Return steps, epoch or no."""
    new, old = values.get("eval_strategy"), values.get("evaluation_strategy")
    if new is not None and old is not None and new != old:
        raise ConfigError("--eval_strategy and --evaluation_strategy are one setting, and contradict each other here.")
    return _one_of("eval_strategy", new or old or "no")


def _one_of(name: str, value: str) -> str:
    if value not in ("steps", "epoch", "no"):
        raise ConfigError(f"--{name} is '{value}', but must be steps, epoch or no.")
    return value


def _distributed(values: dict[str, Any], launch: Launch, notes: list[str]) -> dict[str, Any]:
    """Return the section `distributed`, empty where one process does it all without DeepSpeed."""
    path = values.get("deepspeed")
    whole = next((name for name in ("qlora", "q_lora", "use_dpo") if values.get(name)), None)
    if path is not None and whole is not None:
        notes.append(
            f"--deepspeed: no effect; with --{whole} the model is whole on each process. '{path}' is not read."
        )
        path = None
    if path is None:
        return {**launch.distributed, "engine": "ddp"} if launch.distributed else {}
    if not Path(path).is_file():
        raise ConfigError(
            f"--deepspeed: there is no file '{path}'. It is looked for in the folder in which the command is run; for one "
            "process, the flag can be left out."
        )
    processes: dict[str, Any] = {} if "RANK" in os.environ else {"processes": 1}  # else a launcher has started them
    return {**processes, **launch.distributed, "engine": "deepspeed", "config": path}


def _check_pictures(values: dict[str, Any], notes: list[str]) -> None:
    """Check what the flags say of pictures against the model, whose own settings count.

    Raises:
        ConfigError: they disagree, or it is not MiniCPM-V 2.0.
    """
    kind = values.get("llm_type", "minicpm")
    if kind != "minicpm":
        raise ConfigError(f"--llm_type {kind} is another network than MiniCPM-V 2.0, which alone is native here.")
    if "llm_type" in values:
        notes.append("--llm_type: no effect; the model's own config.json says what it is.")
    asked = {name: values[name] for name in ("max_slice_nums", "scale_resolution") if name in values}
    if not asked:
        return
    file = locate(values["model_name_or_path"]) / "config.json"
    try:
        slicing = Slicing.of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from None
    for name, value in asked.items():
        own = getattr(slicing, name)
        if value != own:
            raise ConfigError(
                f"--{name} is {value}, but {file} says {own}. Pictures are cut as the model says, in training and in "
                f"chat; to change it, write {value} into a copy of the folder's config.json, or leave the flag out."
            )
        notes.append(f"--{name}: no effect; it is what the model's config.json says.")
