"""Source: what is exported, and how: the run, its base, the loaded model, and the settings of the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.chats import model_type_of
from ..errors import ModelError
from ..models.files import read_config, stored_dtype, stored_tensors
from ..models.load import resolve
from ..runs import STATUS, read_json

if TYPE_CHECKING:
    import torch

    from ..models.load import Loaded, Place

Advance = Callable[[int], None]
"""Told a number of bytes."""


@dataclass(frozen=True)
class Settings:
    """What the user can choose; None: the target's own choice. Sizes in bytes.

    `dtype`: of the written weights. `shard_size`: of one weight file at most. `quant`: the number format of a GGUF
    file. `layout`: of an adapter, "peft" or "published" (MiniCPM-V 2.0). `device`: where the model is loaded,
    `compute`: the dtype it is held in there (float32). `data`: files of the user's own whose first `rows` rows the export
    is compared on as well.
    """

    dtype: str | None = None
    shard_size: int | None = None
    quant: str | None = None
    layout: str | None = None
    device: str | None = None
    compute: str | None = None
    data: tuple[str, ...] | None = None
    rows: int | None = None


@dataclass(frozen=True)
class Source:
    """A finished run (or an adapter, or a model): `name` as the user calls it, `run` its folder if it is a run.

    `config` is the content of the base's config.json; `place` says where base and adapter lie.
    """

    name: str
    place: Place
    run: Path | None
    config: dict[str, Any]
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def of(cls, name: str | Path, settings: Settings) -> Source:
        """Find out what `name` is, without loading it.

        Raises:
            ModelError: no such thing, an unfinished run, or one that has failed.
            AdapterError: an adapter whose base is not there.
        """
        place = resolve(name)
        run = Path(name).expanduser()
        status = read_json(run / STATUS)
        if isinstance(status, dict) and status.get("state") == "failed":
            raise ModelError(
                f"The run '{name}' is marked as failed: {status.get('reason', 'no reason is given')} What it left is "
                "not exported. Mend the cause and run the same training command again."
            )
        return cls(str(name), place, run if status else None, read_config(place.base), settings)

    @property
    def model_type(self) -> str:
        """The model_type of the base."""
        return model_type_of(self.config) or ""

    @property
    def stored_dtype(self) -> torch.dtype:
        """The dtype that most of the base's numbers are stored in."""
        return stored_dtype(stored_tensors(self.place.base))


@dataclass(frozen=True)
class Written:
    """What a target is given to write: the source, its loaded model, and the dtype of the weights to write.

    `exact`: the model is held in float32.

    `tell` gets the bytes that were written since it was called last; what should be said to the user goes to `notes`.
    """

    source: Source
    loaded: Loaded
    dtype: torch.dtype
    exact: bool
    tell: Advance
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What a clean process is to read: a folder, the target's name, the base of an adapter, and how to compute.

    `bound`: the largest difference of logits that is allowed, relative to the largest logit of the row.
    """

    folder: str
    target: str
    base: str
    dtype: str
    bound: float
