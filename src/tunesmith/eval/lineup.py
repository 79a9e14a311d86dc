"""The models of an evaluation, loaded one after the other; adapters of one base share it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.chats import model_type_of, with_template
from ..data.tokenizer import TextTokenizer
from ..models.adapter import apply_adapter, check_base, quantisation_of
from ..models.files import read_config
from ..models.load import Loaded, Place, fast_tokenizer, load, resolve, tokenizer_folder
from ..models.trained import stored_trained
from ..models.weights import fingerprint


@dataclass
class Lineup:
    """How models are loaded: `dtype`, `device` and `chat_template` as in `models.load`.

    `loads` counts the base models that were read.
    """

    dtype: str | None = None
    device: str | None = None
    chat_template: str | None = None
    loads: int = 0
    _place: Place | None = None
    _loaded: Loaded | None = None

    def load(self, name: str) -> Loaded:
        """Return a model, ready to answer; the one before it is gone then.

        Raises:
            UserError: as `models.load.load`.
        """
        place = resolve(name)
        held, self._loaded = self._loaded, None
        if held is not None and self._place is not None and _shared(self._place, place):
            model: Any = held.model
            base = model.unload() if self._place.adapter is not None else model
            self._loaded = self._dressed(held._replace(model=base), place)
        else:
            del held
            self.loads += 1
            self._loaded = load(name, dtype=self.dtype, device=self.device, chat_template=self.chat_template)
        self._place = place
        return self._loaded

    def fingerprint(self, name: str, loaded: Loaded) -> str:
        """Return the SHA-256 of what decides what a loaded model computes: base, adapter, dtype, device."""
        place = resolve(name)
        total = hashlib.sha256(f"{fingerprint(place.base)} {loaded.model.dtype} {loaded.model.device.type}".encode())
        for file in sorted(place.adapter.iterdir()) if place.adapter is not None else ():
            if file.is_file() and not file.name.startswith("."):
                total.update(file.name.encode())
                for block in _blocks(file):
                    total.update(block)
        return total.hexdigest()

    def _dressed(self, base: Loaded, place: Place) -> Loaded:
        """Return a base that is loaded already with the tokenizer and the adapter of another place."""
        kind = model_type_of(read_config(place.base))
        tokenizer = with_template(TextTokenizer.load(tokenizer_folder(place)), kind, self.chat_template)
        base = base._replace(tokenizer=fast_tokenizer(tokenizer))
        if place.adapter is None:
            return base
        check_base(place.adapter, place.base)
        model: Any = base.model
        return base._replace(model=apply_adapter(model, place.adapter))


def _shared(first: Place, second: Place) -> bool:
    """Tell whether both stand on one base as it is stored: no adapter changed it, and none wants it quantised."""
    if first.base.resolve() != second.base.resolve():
        return False
    adapters = [place.adapter for place in (first, second) if place.adapter is not None]
    return not any(stored_trained(folder) or quantisation_of(folder) for folder in adapters)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            yield block
