"""finetune(): run the command line of a published finetune.py; `python -m tunesmith.compat.finetune` stands for it."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import config
from ..errors import ConfigError
from ..runs import CONFIG, replacing
from ..training.settings import TrainConfig
from .translate import Translation, translate

if TYPE_CHECKING:
    from ..training.run import RunResult

FILE = "finetune.yaml"
"""In the run folder: the command in our words."""


def read_settings(translation: Translation) -> TrainConfig:
    """Return the settings of a translated command, checked.

    Raises:
        ConfigError: a value is out of range; names the flag.
    """
    try:
        return config.read(TrainConfig, translation.settings)
    except ConfigError as error:
        named = ", ".join(f"{key} is --{flag}" for key, flag in translation.flags.items() if f"{key} is " in str(error))
        raise ConfigError(f"{error} ({named})" if named else str(error)) from None


def finetune(words: Sequence[str], script: str | None = None) -> RunResult:
    """Train as a published command line says, and return how the run ended; says on stderr what it means here.

    `words`: the flags, or the whole command (`torchrun ... finetune.py --flags`). `script`: minicpm or minicpmv, where
    the flags should not decide. Variables that the command sets are set for this process.

    Raises:
        ConfigError: something in the command cannot be followed. Others: as `tunesmith.train`.
    """
    translation = translate(words, script)
    settings = read_settings(translation)
    os.environ.update(translation.environment)
    from ..training.arguments import choose_device  # heavy: only when a run begins
    from ..training.run import train

    if settings.training.precision == "fp16" and choose_device(settings).type == "cpu":
        translation.settings["training"]["precision"] = "auto"
        translation.notes.append("--fp16: there is no GPU here, so everything is computed in float32.")
        settings = read_settings(translation)
    if os.environ.get("RANK", "0") != "0":  # one of several processes that a launcher has started
        return train(settings)
    print(translation.yaml(), file=sys.stderr, flush=True)
    try:
        return train(settings)
    except ConfigError as error:
        anew = " Here that is --overwrite_output_dir." if "training.resume=never" in str(error) else ""
        raise ConfigError(f"{error}{anew}") from None
    finally:
        run = Path(settings.output)
        if (run / CONFIG).is_file() and (run / CONFIG).read_text(encoding="utf-8") == config.dump(settings):
            with replacing(run / FILE) as stream:
                stream.write(translation.yaml())


if __name__ == "__main__":  # what torchrun and deepspeed start
    sys.argv[1:1] = ["finetune"]
    runpy.run_module("tunesmith", run_name="__main__", alter_sys=True)
