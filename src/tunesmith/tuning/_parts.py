"""Which parts of a model learn, and how: by adapters (lora), in full, or not at all (frozen).

A family names its parts by their paths; a parameter belongs to the part with the longest path that it lies under.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

from .. import lookup
from ..errors import ConfigError
from ..ops.loss import at_least_float32

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..models.family import Family

Targets = str | list[str]
"""Which layers get adapters, as PEFT takes it: "all-linear", a regular expression over full names, or names."""
NO_LAYER = "dummy-target-modules"
"""PEFT's word for an adapter without layers."""


def part_of(name: str, parts: Mapping[str, str]) -> str | None:
    """Return the part that a parameter or module belongs to, or None."""
    found = [(len(path), part) for part, path in parts.items() if name == path or name.startswith(f"{path}.")]
    return max(found)[1] if found else None


def check_ways(family: Family, ways: Mapping[str, str], usual: Mapping[str, str]) -> None:
    """Check that the model has the parts that are asked for, and that something learns.

    ways: part -> lora, full or frozen; usual: what they are when nothing is said.

    Raises:
        ConfigError: a part that the model does not have, or nothing learns.
    """
    for part, way in ways.items():
        if part not in family.parts and way != usual[part]:
            one = f"It has: {', '.join(family.parts)}." if family.parts else "It is one part; use method: lora or full."
            raise ConfigError(f"tuning.{part}: {way} - this model has no part '{part}' that learns by itself. {one}")
    if all(way == "frozen" for way in ways.values()):
        raise ConfigError(f"tuning: {', '.join(ways)} are all frozen, so nothing would learn.")


def layers_for(model: PreTrainedModel, family: Family, ways: Mapping[str, str], targets: Targets | None) -> Targets:
    """Return the layers that get adapters: those that `targets` names, in the parts that are to have some.

    Without `targets` they are the family's own choice, and every linear layer of a part that it says nothing about.

    Raises:
        ConfigError: `targets` names nothing in the model, or nothing in one of these parts.
    """
    usual = family.lora_targets if isinstance(family.lora_targets, str) else list(family.lora_targets)
    asked = usual if targets is None else targets
    if isinstance(asked, list):
        _check_names(model, asked)
    if not family.parts:
        return asked
    adapted = [part for part, way in ways.items() if way == "lora"]
    if not adapted:
        return NO_LAYER
    all_named = _matching(model, asked)
    chosen: list[str] = []
    for part in adapted:
        own = [name for name in all_named if part_of(name, family.parts) == part]
        linear = [name for name in linear_layers(model) if part_of(name, family.parts) == part]
        if not own and targets is not None:
            raise ConfigError(
                f"tuning.targets: nothing in the part '{part}' ({family.parts[part]}) is called so, but tuning.{part} is "
                f"lora. Its linear layers: {', '.join(sorted({_last(name) for name in linear}))}."
            )
        chosen += own or linear
    return asked if set(chosen) == set(all_named) and asked != "all-linear" else chosen


def let_learn(model: nn.Module, family: Family, ways: Mapping[str, str]) -> None:
    """Let the parts that are trained in full learn, in place and in float32.

    float32 whatever the base is: AdamW's small updates are lost in bfloat16 (at 1 they need to exceed 0.004), and
    float16's loss scaling does not take gradients in float16. All of a part learns, also what is fixed when the whole
    model is tuned (`Family.frozen`), as in the published LoRA script.
    """
    for name, parameter in model.named_parameters():
        part = part_of(name, family.parts)
        if part is not None and ways[part] == "full":
            parameter.data = at_least_float32(parameter.data)
            parameter.requires_grad_(True)


def linear_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of all linear layers but the head."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]


def _matching(model: PreTrainedModel, targets: Targets) -> list[str]:
    """Return the modules that PEFT would adapt for these targets."""
    if targets == "all-linear":
        return linear_layers(model)
    names = [name for name, _ in model.named_modules()]
    if isinstance(targets, list):
        return [name for name in names if any(name == target or name.endswith(f".{target}") for target in targets)]
    try:
        return [name for name in names if re.fullmatch(targets, name)]
    except re.error as error:
        raise ConfigError(f"tuning.targets: '{targets}' is not a regular expression: {error}.") from None


def _check_names(model: PreTrainedModel, targets: list[str]) -> None:
    names = [name for name, _ in model.named_modules()]
    missing = [one for one in targets if not any(name == one or name.endswith(f".{one}") for name in names)]
    if not missing:
        return
    linear = list(dict.fromkeys(_last(name) for name in linear_layers(model)))  # in the order of the model
    quoted = ", ".join(f"'{name}'" for name in missing)
    close = lookup.nearest(missing[0], linear) if len(missing) == 1 else ""
    joined = "".join(f" {name} is {parts} in one." for name in linear if (parts := _joined(name)))
    raise ConfigError(
        f"tuning.targets: this model has no layer{'s' if len(missing) > 1 else ''} {quoted}{close or '.'} "
        f"Its linear layers: {', '.join(linear)}.{joined} Write targets: [{', '.join(linear)}] or some of them, or "
        "leave targets out."
    )


def _joined(name: str) -> str:
    """Return what a layer holds whose name says that it is several in one: qkvu_proj, qkv_proj."""
    letters = name.partition("_")[0]
    if not letters.startswith("qkv"):
        return ""
    parts = [*letters[:3], *("the gate" if letter in "ug" else letter for letter in letters[3:])]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
