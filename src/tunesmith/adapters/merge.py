"""merge(): several adapters of one base become one, by PEFT's own ways; the sum is checked from the written file."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..aside import free_place, written_aside
from ..errors import AdapterError, ConfigError, RoundTripError
from ..models.adapter import base_of, check_base
from ..models.load import load
from ..models.weights import IDENTITY, one_line, write_adapter_identity
from ..runs import write_json
from .compare import same_base
from .folder import BESIDE, Adapter
from .overlap import squares

METHODS = (
    "cat", "linear", "svd", "ties", "dare_linear", "dare_ties", "magnitude_prune",
    "ties_svd", "dare_linear_svd", "dare_ties_svd", "magnitude_prune_svd",
)  # fmt: skip
"""PEFT's `combination_type`. `cat` is exact; the others change the sum, on purpose (ties, dare, prune) or by rank."""
SAME_RANK = ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune")
"""They combine the matrices A and B themselves, so these must have the same shapes."""
EXACT = 1e-5
"""How far `cat` may be from the weighted sum, relative to it: float32."""
_RESULT = "default"


@dataclass(frozen=True)
class Plan:
    """How adapters are merged. `weights`: one each; empty for equal shares that add up to 1.

    `density`: the share of numbers that ties, dare and prune keep. `rank`: of the result, for the ways with svd; None
    for the largest of the sources. `seed`: what dare draws from. `device`: where it is computed.
    """

    method: str = "cat"
    weights: tuple[float, ...] = ()
    density: float = 0.5
    rank: int | None = None
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Merged:
    """The new folder, the rank of the result, and how far it is from the weighted sum of all dW, relative to that."""

    folder: Path
    rank: int
    apart: float
    notes: list[str]


def merge(names: Sequence[str], output: str | Path, plan: Plan) -> Merged:
    """Write one adapter that stands for several; the sources and their base stay as they are.

    Raises:
        ConfigError: settings that do not go together, or a folder that exists.
        AdapterError: adapters that cannot be merged, each reason named. ModelError: a run without a result.
        RoundTripError: `cat` did not give the sum.
        MachineError: no space.
    """
    adapters = [Adapter.of(name) for name in names]
    weights = plan.weights or (1 / max(len(adapters), 1),) * len(adapters)
    _check_plan(plan, adapters, weights)
    _check_adapters(adapters, plan.method)
    base = base_of(adapters[0].folder)
    for adapter in adapters:
        check_base(adapter.folder, base)
    folder, first = free_place(output, "--output"), adapters[0]
    with written_aside(folder, "--output") as aside:
        _combine(base, adapters, weights, plan, aside)
        notes = _copy_beside(adapters, aside)
        called = str(first.identity.get("base") or base)
        write_adapter_identity(aside, base, called, first.identity.get("quantisation"))
        sources = [{"adapter": one.name, "weight": weight} for one, weight in zip(adapters, weights, strict=True)]
        identity = json.loads((aside / IDENTITY).read_text(encoding="utf-8"))
        settings = {"method": plan.method, "density": plan.density, "seed": plan.seed}
        write_json(aside / IDENTITY, {**identity, "merged_from": sources, "merged_by": settings})
        made = Adapter.of(aside)
        apart = _apart(made, adapters, weights)
        if plan.method == "cat" and not apart <= EXACT:
            raise RoundTripError(
                f"The merged adapter is not the weighted sum of its sources: it differs by {apart:.3g} of it. Nothing is "
                "left of it. Please report this."
            )
        rank = max(pair.rank for pair in made.pairs.values())
    return Merged(folder, rank, apart, notes)


def _check_plan(plan: Plan, adapters: Sequence[Adapter], weights: Sequence[float]) -> None:
    if len(adapters) < 2:
        raise ConfigError("Two or more adapters are needed to merge.")
    if plan.method not in METHODS:
        raise ConfigError(f"--method {plan.method}: known are {', '.join(METHODS)}.")
    if len(weights) != len(adapters):
        raise ConfigError(f"--weights: {len(weights)} weights for {len(adapters)} adapters. Give one for each.")
    if not all(math.isfinite(weight) and weight != 0 for weight in weights):
        raise ConfigError("--weights: each must be a number other than 0; leave an adapter out instead.")
    if not 0 < plan.density <= 1:
        raise ConfigError(f"--density {plan.density}: it must be more than 0 and at most 1.")
    if plan.rank is not None and not plan.method.endswith("svd"):
        raise ConfigError(f"--rank goes with the methods that end in svd; the method '{plan.method}' has its own rank.")


def _check_adapters(adapters: Sequence[Adapter], method: str) -> None:
    """Refuse what PEFT would merge into something else than the sum, or not at all.

    Raises:
        AdapterError: says which adapter, why, and what can be done.
    """
    for one in adapters:
        one.check_sound()
        if one.trained or one.config.get("modules_to_save"):
            raise AdapterError(
                f"Beside the adapter '{one.name}' whole tensors of the model were trained ({', '.join(_some(one))}). Two "
                "trainings of one tensor have no sum that is known to be right, so this is refused. Train with LoRA "
                "alone to merge, or export each as a model of its own: tunesmith export RUN --target merged."
            )
        if one.config.get("use_dora") or one.config.get("bias", "none") != "none":
            kind = (
                "DoRA, which also scales each row of a weight" if one.config.get("use_dora") else "trained with biases"
            )
            raise AdapterError(f"The adapter '{one.name}' is {kind}: that part has no sum. Only plain LoRA is merged.")
        if others := sorted(name for name in one.tensors if ".lora_" not in name):
            raise AdapterError(f"The adapter '{one.name}' holds more than LoRA ({others[0]}), which has no sum.")
    if why := same_base(adapters):
        raise AdapterError(f"Adapters of different bases cannot be merged: {why}.")
    if any(one.identity.get("quantisation") != adapters[0].identity.get("quantisation") for one in adapters):
        raise AdapterError(
            "Some of these adapters were trained on a quantised base and others not, or otherwise quantised (qlora). A "
            "merged one would belong to none of these bases. Merge those that were trained alike."
        )
    ranks = {one.name: max(pair.rank for pair in one.pairs.values()) for one in adapters}
    if method in SAME_RANK and len({pair.rank for one in adapters for pair in one.pairs.values()}) > 1:
        said = ", ".join(f"'{name}' {rank}" for name, rank in ranks.items())
        raise AdapterError(
            f"--method {method} combines the matrices A and B themselves, so all must have one rank ({said}). Choose cat "
            f"(exact; the ranks add up) or svd."
        )
    kinds = {type(one.config.get("target_modules")) for one in adapters}
    if len(kinds) > 1:
        raise AdapterError(
            "Some of these adapters name their layers in a list, others by one regular expression; PEFT merges no such "
            "mixture. Write the same kind into target_modules of each adapter_config.json (in a copy)."
        )


def _combine(base: Path, adapters: Sequence[Adapter], weights: Sequence[float], plan: Plan, folder: Path) -> None:
    """Let PEFT merge on the loaded base, and write the result into `folder`."""
    from peft import PeftModel

    plain = load(base, dtype="float32", device=plan.device).model  # PEFT rounds the result to the base's dtype
    names = [f"source{number}" for number in range(len(adapters))]  # a bare number would be taken for a layer's
    model: Any = None
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")  # PEFT only warns of missing tensors; they are compared below
            torch.manual_seed(plan.seed)
            for name, adapter in zip(names, adapters, strict=True):
                if model is None:
                    model = PeftModel.from_pretrained(plain, str(adapter.folder), adapter_name=name)
                else:
                    model.load_adapter(str(adapter.folder), adapter_name=name)
                _check_loaded(model, name, adapter)
            # PEFT gives the result the settings of the first, and rsLoRA's would scale it once more
            model.peft_config[names[0]].use_rslora = False
            model.add_weighted_adapter(
                names,
                list(weights),
                _RESULT,
                combination_type=plan.method,
                svd_rank=plan.rank,
                svd_full_matrices=False,
                density=plan.density,
            )
            model.save_pretrained(str(folder), selected_adapters=[_RESULT], save_embedding_layers=False)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise AdapterError(f"PEFT cannot merge these adapters: {one_line(error)}") from error
    (folder / "README.md").unlink(missing_ok=True)  # a form that PEFT leaves to be filled in


def _check_loaded(model: Any, name: str, adapter: Adapter) -> None:
    """Compare what PEFT has loaded with the file, both ways.

    Raises:
        AdapterError: a layer is missing, or other tensors are in its place.
    """
    held = {
        layer.removeprefix("base_model.model."): module
        for layer, module in model.named_modules()
        if name in getattr(module, "lora_A", ()) or name in getattr(module, "lora_embedding_A", ())
    }
    faults = sorted(set(held) ^ set(adapter.pairs))
    for layer in set(held) & set(adapter.pairs):
        pair, module = adapter.pairs[layer], held[layer]
        halves = (
            (module.lora_embedding_A, module.lora_embedding_B) if pair.embedding else (module.lora_A, module.lora_B)
        )
        found = [half[name] if pair.embedding else half[name].weight for half in halves]
        same = all(torch.equal(one.cpu(), half.to(one.dtype)) for one, half in zip(found, pair[:2], strict=True))
        if not same or not math.isclose(float(module.scaling[name]), pair.scale, rel_tol=1e-6):
            faults.append(layer)
    if faults:
        raise AdapterError(
            f"The adapter '{adapter.name}' does not fit its base: {', '.join(faults[:4])}"
            f"{f' and {len(faults) - 4} more' if len(faults) > 4 else ''}. The files are damaged or belong to another model."
        )


def _apart(made: Adapter, adapters: Sequence[Adapter], weights: Sequence[float]) -> float:
    """Return |dW - S| / |S| over all layers, S the weighted sum of what the sources add."""
    above = below = 0.0
    for layer in {*made.pairs, *(name for one in adapters for name in one.pairs)}:
        sources = [(w, one.pairs[layer]) for w, one in zip(weights, adapters, strict=True) if layer in one.pairs]
        apart, size = squares(made.pairs.get(layer), sources)
        above, below = above + apart, below + size
    return math.sqrt(above / below) if below else 0.0


def _copy_beside(adapters: Sequence[Adapter], folder: Path) -> list[str]:
    """Copy tokenizer and chat template of the first adapter, and say where others have other ones."""
    first, notes = adapters[0], []
    for name in BESIDE:
        file = first.folder / name
        if file.is_file():
            shutil.copyfile(file, folder / name)
        content = file.read_bytes() if file.is_file() else None
        for other in adapters[1:]:
            theirs = other.folder / name
            if (theirs.read_bytes() if theirs.is_file() else None) != content:
                notes.append(f"'{other.name}' has another {name} than '{first.name}'; that of the first is kept.")
    return notes


def _some(adapter: Adapter) -> list[str]:
    names = sorted(adapter.trained) or [str(name) for name in adapter.config.get("modules_to_save") or ()]
    return [*names[:3], *(["..."] if len(names) > 3 else [])]
