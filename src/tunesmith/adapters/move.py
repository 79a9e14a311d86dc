"""move(): an adapter onto another base of the same shape, in a new folder; refused where it cannot mean the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..aside import free_place, written_aside
from ..data.chats import model_type_of
from ..errors import AdapterError, ConfigError
from ..models.adapter import CONFIG, apply_adapter, base_of
from ..models.files import read_config, read_object
from ..models.load import load_model, resolve
from ..models.trained import FILE, PUBLISHED
from ..models.weights import IDENTITY, fingerprint, identity_of, write_adapter_identity
from ..runs import write_json
from .folder import BESIDE, WEIGHTS, Adapter

ARCHITECTURE = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_experts",
)
"""Of config.json: what makes another architecture, even where all shapes of the adapter fit."""
_SHOWN = 6


def move(name: str, base: str, output: str | Path, other_weights: bool = False) -> Path:
    """Write a copy of an adapter that belongs to `base`; the source is not touched. Return the new folder.

    `other_weights`: also onto a base with other weights than those it was trained on.

    Raises:
        ConfigError: `base` is an adapter, the folder exists, or the weights are others and that is not asked for.
        AdapterError: it does not fit: architecture, layer names or shapes differ, each named. ModelError: no such base.
        MachineError: no space.
    """
    adapter, place = Adapter.of(name), resolve(base)
    adapter.check_sound()
    if place.adapter is not None:
        raise ConfigError(f"--to '{base}' is an adapter itself. Give the folder of a whole model.")
    _check_architecture(adapter, place.base)
    model = load_model(place.base, device="cpu")
    _check_shapes(adapter, model, base)
    if not other_weights:
        _check_weights(adapter, place.base, base)
    folder = free_place(output, "--output")
    with written_aside(folder, "--output") as aside:
        for file in (*WEIGHTS, FILE, PUBLISHED, *BESIDE):
            if (adapter.folder / file).is_file():
                shutil.copyfile(adapter.folder / file, aside / file)
        write_json(aside / CONFIG, {**adapter.config, "base_model_name_or_path": str(place.base.resolve())})
        write_adapter_identity(aside, place.base, base, adapter.identity.get("quantisation"))
        before = {"moved_from": {key: adapter.identity.get(key) for key in ("base", "base_fingerprint")}}
        write_json(aside / IDENTITY, {**read_object(aside / IDENTITY), **before})
        apply_adapter(model, aside)  # tensor for tensor, as whoever loads it will
    return folder


def _check_architecture(adapter: Adapter, base: Path) -> None:
    """Compare the new base's config with that of the old one, as far as it is known."""
    then, now = _config_then(adapter), read_config(base)
    kinds = (adapter.identity.get("family") or model_type_of(then), model_type_of(now))
    faults = [f"the model_type was {kinds[0]} and is {kinds[1]}"] if kinds[0] and kinds[0] != kinds[1] else []
    for key in ARCHITECTURE if then else ():
        if then.get(key) != now.get(key):
            faults.append(f"{key} was {then.get(key)} and is {now.get(key)}")
    if faults:
        raise AdapterError(
            f"The adapter '{adapter.name}' cannot be moved to '{base}', which has another architecture than the base it "
            f"was trained on: {'; '.join(faults)}."
        )


def _check_shapes(adapter: Adapter, model: Any, base: str) -> None:
    """Compare every layer and every tensor trained in full with the new base; each fault is named, up to some."""
    places = {name: tuple(tensor.shape) for name, tensor in model.named_parameters(remove_duplicate=False)}
    wanted: dict[str, tuple[int, ...]] = {f"{layer}.weight": pair.shape for layer, pair in adapter.pairs.items()}
    wanted |= {name: stored.shape for name, stored in adapter.trained.items()}
    faults = [
        f"there is no {name}" if name not in places else f"{name} is {list(places[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if places.get(name) != tuple(shape)
    ]
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise AdapterError(
            f"The adapter '{adapter.name}' does not fit '{base}': {'; '.join(faults[:_SHOWN])}{more}. An adapter goes "
            "onto a base with the same layers of the same shapes only."
        )


def _check_weights(adapter: Adapter, base: Path, called: str) -> None:
    known = adapter.identity.get("base_fingerprint")
    if known == fingerprint(base):
        return
    then, now = _config_then(adapter), identity_of(base)["config"]
    apart = [
        f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in now if then and then.get(key) != now[key]
    ]
    what = f" Its config differs as well: {'; '.join(apart[:_SHOWN])}." if apart else ""
    whose = (
        f"has other weights than '{adapter.identity.get('base')}', the base it was trained on"
        if known
        else "may have other weights than the base it was trained on, which the adapter does not say (it has no "
        f"{IDENTITY})"
    )
    raise ConfigError(
        f"The adapter '{adapter.name}' fits '{called}' by its shapes, but this base {whose}.{what} What an adapter adds "
        "was learned on top of those weights: on others it may do less, or harm, and nothing here can tell. If that is "
        "what you want, say --other-weights, and measure the result: tunesmith eval NEW DATA --baseline OLD."
    )


def _config_then(adapter: Adapter) -> dict[str, Any]:
    """Return the config of the base that the adapter was trained on, from its identity or from that base itself."""
    known = adapter.identity.get("base_identity")
    if isinstance(known, dict) and isinstance(known.get("config"), dict):
        return dict(known["config"])
    try:
        return dict(identity_of(base_of(adapter.folder))["config"])
    except AdapterError:  # the base is not there, so nothing is known of it
        return {}
