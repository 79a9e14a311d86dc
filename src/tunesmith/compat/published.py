"""Published: a loaded model with methods that the published classes have, and what the examples load it with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.tokenizer import TextTokenizer
from ..errors import ConfigError
from ..generate.decode import Voice
from ..locate import locate
from ..models.load import fast_tokenizer, load

if TYPE_CHECKING:
    from ..models.load import Loaded

P = TypeVar("P", bound="Published")
WITHOUT_EFFECT = {
    "trust_remote_code",
    "low_cpu_mem_usage",
    "local_files_only",
    "use_safetensors",
    "use_fast",
    "attn_implementation",
    "revision",
}
"""What `from_pretrained` may be told although nothing depends on it here."""
_SAME_MODEL = {"to", "cuda", "cpu", "half", "float", "bfloat16", "eval", "train", "requires_grad_"}


class Published:
    """A loaded model; what its class does not have itself is asked of the model.

    `model` is that model (with its adapter, if any), and `loaded` the whole of what was loaded.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Wrap what `tunesmith.load` has returned."""
        self.loaded = loaded
        self.model: Any = loaded.model
        self._voice = Voice(loaded)

    @classmethod
    def from_pretrained(  # noqa: PYI019 - Python 3.10 has no Self
        cls: type[P],
        name_or_path: str | Path,
        *,
        torch_dtype: Any = None,
        dtype: Any = None,
        device_map: Any = None,
        **others: Any,
    ) -> P:
        """Load a model folder, an adapter or a run, as `tunesmith.load` does: without remote code, in eval mode.

        `torch_dtype` or its newer name `dtype`: None and "auto" = as stored, or float32 where the device has no fast
        form of it. `device_map`: None and "auto" = the GPU if there is one. `trust_remote_code` is read and never
        obeyed.

        Raises:
            ModelError: as `tunesmith.load`, or a model of another kind.
            ConfigError: an argument that is not known here.
        """
        if unknown := sorted(set(others) - WITHOUT_EFFECT):
            raise ConfigError(f"from_pretrained does not know '{unknown[0]}'. Known: dtype, torch_dtype, device_map.")
        kind, device = dtype if dtype is not None else torch_dtype, device_map
        if isinstance(device, Mapping):
            if len(set(device.values())) != 1:
                raise ConfigError("device_map: the model is not split here. Name one device, for example 'cuda'.")
            device = next(iter(device.values()))
        device = f"cuda:{device}" if isinstance(device, int) else device
        return cls(
            load(name_or_path, dtype=None if kind == "auto" else kind, device=None if device == "auto" else device)
        )

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "loaded", "_voice"):  # not there yet: a copy is being made
            raise AttributeError(name)
        found = getattr(self.model, name)
        if name not in _SAME_MODEL:
            return found

        @wraps(found)
        def call(*args: Any, **kwargs: Any) -> Published:
            found(*args, **kwargs)
            return self

        return call


class AutoTokenizer:
    """Stands for transformers' class of this name in the published examples."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **others: Any) -> Any:
        """Return the tokenizer of a folder as transformers' own class, with the ids that training and chat use.

        Raises:
            ModelError: there is no such folder, or no tokenizer in it. ConfigError: an argument that is not known here.
        """
        if unknown := sorted(set(others) - WITHOUT_EFFECT):
            raise ConfigError(f"from_pretrained does not know '{unknown[0]}': a tokenizer is read as it is stored.")
        return fast_tokenizer(TextTokenizer.load(locate(name_or_path)))
