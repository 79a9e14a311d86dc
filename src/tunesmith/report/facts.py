"""What the folder of a run says about it: settings, how it ended, its machine, its data, its metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from .. import config as configuration
from ..errors import ConfigError, ModelError
from ..locate import locate
from ..models.files import Stored, stored_tensors, tensors_of
from ..runs import CONFIG, DATA, ENVIRONMENT, STATUS, RunFolder, read_json
from ..training.settings import TrainConfig

RESULTS = ("adapter", "model")
"""The folders of a run that may hold its result."""


@dataclass(frozen=True)
class Facts:
    """What is written in a run's folder; what a run has not come to is empty. `lines` are those of metrics.jsonl."""

    folder: Path
    config: TrainConfig
    text: str
    status: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    lines: list[dict[str, Any]]
    result: Path | None

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """Read the folder of a run, whatever state it is in.

        Raises:
            ConfigError: it is no run, or its settings are damaged.
        """
        check_run(folder)
        run = RunFolder(folder)
        return cls(
            folder,
            configuration.read(TrainConfig, folder / CONFIG),
            (folder / CONFIG).read_text(encoding="utf-8"),
            run.status,
            read_json(folder / ENVIRONMENT) or {},
            read_json(folder / DATA) or {},
            run.metric_lines(),
            next((folder / name for name in RESULTS if (folder / name).is_dir()), None),
        )

    @property
    def state(self) -> str:
        """How the run ended: finished, failed, interrupted, or running where nothing says that it has ended."""
        return str(self.status.get("state", "unknown"))

    def series(self, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of a figure of metrics.jsonl."""
        return [(line["step"], line[name]) for line in self.lines if isinstance(line.get(name), (int, float))]

    @property
    def seconds(self) -> float:
        """How long the logged steps took."""
        return sum(value for _, value in self.series("seconds"))

    @property
    def result_is_adapter(self) -> bool:
        """Whether the result stands on the base model."""
        return self.result is not None and self.result.name == "adapter"

    @property
    def base_fingerprint(self) -> str:
        """The fingerprint of the base model when the run began; empty if it was not recorded."""
        return str(self.environment.get("model", ""))

    @cached_property
    def parameters(self) -> tuple[int, int]:
        """The numbers stored in the result's files and in the base's; 0 where there are none, or no such folder here."""
        own = self.result.glob("*.safetensors") if self.result is not None else ()
        try:
            base = stored_tensors(locate(self.config.model))
        except ModelError:
            base = {}
        return _count(stored for file in own for stored in tensors_of(file).values()), _count(base.values())

    @property
    def validates(self) -> bool:
        """Whether rows were held out."""
        return bool(self.config.data.validation or self.config.data.validation_share)


def check_run(folder: Path) -> None:
    """See whether a folder is that of a run.

    Raises:
        ConfigError: it is not.
    """
    missing = [name for name in (CONFIG, STATUS) if not (folder / name).is_file()]
    if missing:
        what = f"it has no {' and no '.join(missing)}" if folder.is_dir() else "there is no such folder"
        raise ConfigError(f"'{folder}' is not the folder of a run: {what}. Give the output of a `tunesmith train`.")


def _count(tensors: Iterable[Stored]) -> int:
    return sum(prod(stored.shape) for stored in tensors)
