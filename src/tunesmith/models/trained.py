"""What was trained in full beside an adapter: tensors of the model itself, in a file of their own.

They are changed in place, without PEFT's copies (`modules_to_save`), and stored under the model's own names. Adapters
of the published MiniCPM-V 2.0 trainer have them in a torch file under PEFT's prefix; it is read and written too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import AdapterError, ModelError
from ..runs import share
from .files import Stored, check_file, load_torch, tensors_of

if TYPE_CHECKING:
    from peft import PeftModel

FILE = "trained_parts.safetensors"
"""The file beside an adapter that holds every tensor that was trained in full."""
PUBLISHED = "vpm_resampler_embedtokens.pt"
"""The same of the published trainer: the tower, the resampler and the embedding, trained or not."""
_PREFIX = "base_model.model."
_IN_PUBLISHED = ("vpm", "resampler", "embed_tokens")


def trained_in_full(model: nn.Module) -> dict[str, Tensor]:
    """Return what learns besides adapters, under the names of the model without PEFT's wrapper."""
    return {
        name: parameter.detach()
        for name, parameter in _inner(model).named_parameters()
        if parameter.requires_grad and not _of_adapter(name)
    }


def write_trained(model: nn.Module, folder: Path) -> None:
    """Write what learns besides the adapter into `folder`; no file where only the adapter learns."""
    if tensors := trained_in_full(model):
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(plain, folder / FILE, metadata={"format": "pt"})


def stored_trained(folder: Path) -> dict[str, Stored]:
    """Return the tensors trained in full of an adapter folder, by the model's names; none where there is no file.

    Raises:
        AdapterError: the file is damaged, or there is one of each kind.
    """
    file = _file(folder)
    if file is None:
        return {}
    try:
        check_file(file)
        return {name.removeprefix(_PREFIX): stored for name, stored in tensors_of(file).items()}
    except ModelError as error:
        raise AdapterError(str(error)) from None


def load_trained(model: nn.Module, folder: Path, listed: Any) -> None:
    """Put what was trained in full into the model.

    `listed`: the names that the adapter's own list says, or None where there is no list; a published file then must
    hold the tower, the resampler and the embedding whole. A tensor keeps its stored dtype or gets the model's,
    whichever is the wider: nothing that was learned is rounded away.

    Raises:
        AdapterError: the file is missing, damaged, or does not fit the model tensor for tensor.
    """
    stored, file = stored_trained(folder), _file(folder)
    inner = _inner(model)
    places = dict(inner.named_parameters())
    wanted = set(listed) if isinstance(listed, Mapping) else set()
    if listed is None and file is not None and file.name == PUBLISHED:
        if not stored:
            raise AdapterError(
                f"{file} is empty: the published trainer writes it so at the very end. Take the folder of its last "
                "step (checkpoint-...), which has both files whole."
            )
        wanted = {name for name in places if _is_published(name)}
    faults = [
        *(f"{name} is missing" for name in sorted(wanted - set(stored))),
        *(f"{name} has no place in the model" for name in sorted(set(stored) - set(places))),
        *(
            f"{name} is {list(stored[name].shape)} instead of {list(places[name].shape)}"
            for name in sorted(set(stored) & set(places))
            if stored[name].shape != tuple(places[name].shape)
        ),
    ]
    if faults:
        raise AdapterError(
            f"What was trained in full in '{folder}' ({FILE if file is None else file.name}) is not whole or does not "
            f"fit the model: {'; '.join(faults[:4])}{f' and {len(faults) - 4} more' if len(faults) > 4 else ''}. The "
            "files are damaged or belong to another model."
        )
    if file is not None:
        _put(places, load_torch(file) if file.name == PUBLISHED else load_file(file))


def write_published(model: PeftModel, adapter: Path, folder: Path) -> None:
    """Write a loaded adapter of MiniCPM-V 2.0 as the published trainer does: PEFT's two files and `PUBLISHED`.

    `adapter` is the folder that it was loaded from, `folder` a new one.

    Raises:
        AdapterError: something was trained that has no place in these files.
    """
    inner = _inner(model)
    trained = [name for name in stored_trained(adapter) if not _is_published(name)]
    adapted = [name for name, _ in inner.named_parameters() if _of_adapter(name) and _is_published(name)]
    held = {name: tensor.detach().cpu() for name, tensor in inner.state_dict().items() if _is_published(name)}
    if trained or adapted or not all(any(word in name for name in held) for word in _IN_PUBLISHED):
        what = (
            f"{(trained or adapted)[0]} has no place there" if trained or adapted else "this is another kind of model"
        )
        raise AdapterError(
            f"The adapter in '{adapter}' cannot be written in the layout of the published MiniCPM-V 2.0 trainer, which "
            f"holds LoRA on the language model and {', '.join(_IN_PUBLISHED)} trained in full: {what}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder), save_embedding_layers=False)  # else PEFT asks the hub what the base was
    torch.save({f"{_PREFIX}{name}": tensor.contiguous().clone() for name, tensor in held.items()}, folder / PUBLISHED)
    for file in folder.iterdir():
        share(file)


@torch.no_grad()
def _put(places: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        parameter = places[name.removeprefix(_PREFIX)]
        parameter.data = tensor.to(parameter.device, torch.promote_types(tensor.dtype, parameter.dtype))


def _file(folder: Path) -> Path | None:
    found = [folder / name for name in (FILE, PUBLISHED) if (folder / name).is_file()]
    if len(found) > 1:
        raise AdapterError(f"'{folder}' holds both {FILE} and {PUBLISHED}, which say the same thing. Take one away.")
    return found[0] if found else None


def _inner(model: nn.Module) -> nn.Module:
    """Return the model inside PEFT's wrapper."""
    get_base_model = getattr(model, "get_base_model", None)
    return get_base_model() if callable(get_base_model) else model


def _of_adapter(name: str) -> bool:
    return any(piece.startswith(("lora_", "modules_to_save")) for piece in name.split("."))


def _is_published(name: str) -> bool:
    return any(word in name for word in _IN_PUBLISHED)
