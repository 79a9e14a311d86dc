"""Adapters (PEFT files) on a base model: only on the base they belong to, and only when every tensor fits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import AdapterError, ModelError
from ..locate import locate
from .files import Stored, check_file, load_torch, opened, read_object, tensors_of
from .quantise import Quantisation
from .trained import load_trained
from .weights import IDENTITY, fingerprint, identity_of, one_line

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# Ways to start an adapter that change the base again, or read other files, when PEFT builds it.
_CHANGES_BASE = ("corda", "eva", "lora_ga", "loftq")


def base_of(folder: Path) -> Path:
    """Return the folder of the base model that an adapter names.

    Raises:
        AdapterError: it names none, or the base is not there; the message says how to give one.
    """
    names = [name for name in (_identity(folder).get("base"), _config(folder).get("base_model_name_or_path")) if name]
    for name in dict.fromkeys(str(name) for name in names):
        for place in (name, folder / name):
            try:
                return locate(place)
            except ModelError:
                continue
    said = f"its base model '{names[0]}' is not there" if names else "it does not say which base model it belongs to"
    raise AdapterError(
        f"The adapter in '{folder}' cannot be used alone: {said}. Give the base model's folder and the adapter: "
        f"tunesmith.load(BASE, adapter='{folder}')."
    )


def check_base(folder: Path, base: Path) -> None:
    """Check that an adapter belongs to a base model, as far as the adapter says.

    Raises:
        AdapterError: it was trained on another one; the message says what differs.
        ModelError: as `identity_of`.
    """
    identity = _identity(folder)
    if not identity or identity.get("base_fingerprint") == fingerprint(base):
        return
    differences = _differences(identity.get("base_identity"), identity_of(base))
    raise AdapterError(
        f"The adapter in '{folder}' was trained on another base model (there called '{identity.get('base')}') than "
        f"'{base}': {'; '.join(differences)}. Give the base it was trained on."
    )


def apply_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Return the model with the adapter on top, in eval mode, the adapter's tensors exactly as stored.

    So is what was trained in full beside it (`trained.py`).

    Raises:
        AdapterError: the adapter is damaged, or does not fit the model tensor for tensor.
    """
    from peft import PeftModel, get_peft_model_state_dict

    start = _config(folder).get("init_lora_weights")
    if isinstance(start, str) and start.lower() in _CHANGES_BASE:
        raise AdapterError(
            f"The adapter in '{folder}' was saved with init_lora_weights '{start}', which needs more than its files. "
            "Save it with PEFT's conversion to a plain LoRA (path_initial_model_for_weight_conversion) first."
        )
    stored = _stored(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT only warns of missing tensors; they are checked below
            peft_model = PeftModel.from_pretrained(model, str(folder), torch_device=str(model.device))
            # "auto" looks the base up on the hub, so it is left to adapters that hold more than LoRA
            embeddings = "auto" if any(".lora_" not in name for name in stored) else False
            loaded = get_peft_model_state_dict(peft_model, save_embedding_layers=embeddings)
    except Exception as error:  # PEFT raises many kinds for an adapter that it cannot use
        raise AdapterError(f"The adapter in '{folder}' does not fit the model: {one_line(error)}") from error
    faults = _faults(stored, {name: tuple(tensor.shape) for name, tensor in loaded.items()})
    if not faults:
        faults = [f"{name} is not what is stored" for name in _altered(folder, loaded)]
    if faults:
        raise AdapterError(
            f"The adapter in '{folder}' does not fit the model: {'; '.join(faults[:4])}"
            f"{f' and {len(faults) - 4} more' if len(faults) > 4 else ''}. The files are damaged or belong to another "
            "model."
        )
    load_trained(peft_model, folder, _identity(folder).get("trained_parts"))
    return peft_model.eval()


def quantisation_of(folder: Path) -> Quantisation | None:
    """Return how the base was held while the adapter was trained: quantised, or None.

    Raises:
        AdapterError: what the adapter says of it is not understood.
    """
    content = _identity(folder).get("quantisation")
    try:
        return None if content is None else Quantisation.read(content)
    except (TypeError, ValueError) as error:
        raise AdapterError(f"{folder / IDENTITY}: quantisation: {error}. Correct the file or fetch it again.") from None


def _identity(folder: Path) -> dict[str, Any]:
    return _object(folder / IDENTITY) if (folder / IDENTITY).is_file() else {}


def _config(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        raise AdapterError(f"'{folder}' is not an adapter folder: it has no {CONFIG}.")
    return _object(folder / CONFIG)


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except ModelError as error:
        raise AdapterError(str(error)) from None


def _file(folder: Path) -> Path:
    """Return the adapter's weight file."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise AdapterError(f"The adapter in '{folder}' has no weights: neither {_WEIGHTS[0]} nor {_WEIGHTS[1]} is there.")


def _stored(folder: Path) -> dict[str, Stored]:
    file = _file(folder)
    try:
        check_file(file)
        return tensors_of(file)
    except ModelError as error:
        raise AdapterError(str(error)) from None


def _faults(stored: dict[str, Stored], wanted: dict[str, tuple[int, ...]]) -> list[str]:
    missing = [f"{name} is missing" for name in sorted(set(wanted) - set(stored))]
    unknown = [f"{name} has no place in the model" for name in sorted(set(stored) - set(wanted))]
    shapes = [
        f"{name} is {list(stored[name].shape)} instead of {list(wanted[name])}"
        for name in sorted(set(wanted) & set(stored))
        if stored[name].shape != wanted[name]
    ]
    return [*missing, *unknown, *shapes]


def _altered(folder: Path, loaded: dict[str, torch.Tensor]) -> list[str]:
    """Name the tensors of the model that are not what the file holds."""
    file = _file(folder)
    if file.suffix == ".safetensors":
        with opened(file) as tensors:
            kept = {name: tensors.get_tensor(name) for name in loaded}
    else:
        kept = load_torch(file)
    return [name for name, tensor in loaded.items() if not torch.equal(tensor.cpu(), kept[name].to(tensor.dtype))]


def _differences(then: Any, now: dict[str, Any]) -> list[str]:
    if not isinstance(then, dict) or not isinstance(then.get("config"), dict):
        return ["its fingerprint is another one"]
    before, after = then["config"], now["config"]
    fields = [
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in sorted(set(before) | set(after))
        if before.get(key) != after.get(key)
    ]
    if fields:
        return [f"config.json: {', '.join(fields[:4])}{' ...' if len(fields) > 4 else ''}"]
    if then.get("tensors") != now["tensors"]:
        return ["the weights have other names, shapes or dtypes"]
    return ["the weights are others (same names and shapes, other files)"]
