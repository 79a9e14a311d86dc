"""The optimisers, by name: each is built over the parameters that learn, with their weight decay and learning rate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer

from .bf16_adamw import GROUP, Bf16AdamW, Packing

if TYPE_CHECKING:
    from .objective import Objective
    from .settings import TrainConfig, TrainingSettings

_log = logging.getLogger("tunesmith")


class Learner(NamedTuple):
    """A parameter that learns, and how fast. `kind`: "matrix" (of a linear layer), "table" (of tokens) or "other"."""

    parameter: nn.Parameter
    decay: float
    rate: float
    kind: str


def learners(objective: Objective, decays: Mapping[str, float], rates: Mapping[str, float]) -> list[Learner]:
    """Return the parameters that learn, with their weight decay and learning rate (by their names in the objective).

    The head counts as a table, as it often is one with the embedding.
    """
    head = objective.inner.get_output_embeddings()
    kinds: dict[int, str] = {}
    for module in objective.modules():
        weight = getattr(module, "weight", None)
        if module is head or isinstance(module, nn.Embedding):
            kinds[id(weight)] = "table"
        elif isinstance(module, nn.Linear):
            kinds.setdefault(id(weight), "matrix")
    return [
        Learner(parameter, decays[name], rates[name], kinds.get(id(parameter), "other"))
        for name, parameter in objective.named_parameters()
        if parameter.requires_grad
    ]


def build(config: TrainConfig, learning: Sequence[Learner]) -> Optimizer:
    """Return the optimiser that the configuration asks for.

    Raises:
        MachineError: it needs a package that is not installed.
    """
    settings = config.training
    rounding = getattr(config.tuning, "master_weights", "float32")
    if rounding != "float32":
        betas = (settings.beta1, settings.beta2)
        if settings.optimizer != "adamw_8bit":
            return Bf16AdamW(groups(learning), rounding, settings.seed, betas, settings.epsilon)
        tables = [one for one in learning if one.kind == "table"]
        rest = [one for one in learning if one.kind != "table"]
        own = [*groups(rest), *({**group, "packed": False} for group in groups(tables))]
        return Bf16AdamW(own, rounding, settings.seed, betas, settings.epsilon, _eight_bits())
    return BUILDERS[settings.optimizer](settings, learning)


def groups(learning: Sequence[Learner]) -> list[dict[str, Any]]:
    """Return the parameters in torch's groups: one for each pair of weight decay and learning rate."""
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for one in learning:
        found.setdefault((one.decay, one.rate), []).append(one.parameter)
    return [{"params": own, "weight_decay": decay, "lr": rate} for (decay, rate), own in found.items()]


class Joined(Optimizer):
    """Several optimisers, each over its own parameters, as one: one list of groups, one step, one state."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        # The very dicts of the parts: what a schedule writes into them, the parts read.
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Let each part do its step. A closure is not supported."""
        if closure is not None:
            raise ValueError("a closure is not supported")
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the parts in torch's form: their parameters are numbered one after the other."""
        state: dict[int, Any] = {}
        found, first = [], 0
        for part in self.parts:
            own = part.state_dict()
            state |= {first + number: values for number, values in own["state"].items()}
            for group in own["param_groups"]:
                found.append({**group, "params": [first + number for number in group["params"]]})
            first += sum(len(group["params"]) for group in own["param_groups"])
        return {"state": state, "param_groups": found}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` of the same parts has returned."""
        left = list(state_dict["param_groups"])
        for part in self.parts:
            own, left = left[: len(part.param_groups)], left[len(part.param_groups) :]
            numbers = {number for group in own for number in group["params"]}
            values = {number: kept for number, kept in state_dict["state"].items() if number in numbers}
            part.load_state_dict({"state": values, "param_groups": own})
        self._share()


def _adamw(settings: TrainingSettings, learning: Sequence[Learner]) -> Optimizer:
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups(learning), betas=betas, eps=settings.epsilon, fused=True)


def _bitsandbytes(settings: TrainingSettings, learning: Sequence[Learner], bits: int, paged: bool) -> Optimizer:
    """Return bitsandbytes' AdamW; tables keep moments of 32 bits, since 8 are too few for rows that come rarely."""
    from ..edges import bitsandbytes

    if paged and any(one.parameter.device.type == "cpu" for one in learning):
        _log.warning("training.optimizer: %s pages on a GPU only; here its moments stay in memory.", settings.optimizer)
        paged = False
    options = {"betas": (settings.beta1, settings.beta2), "eps": settings.epsilon}
    tables = [one for one in learning if bits == 8 and one.kind == "table"]
    rest = [one for one in learning if bits != 8 or one.kind != "table"]
    own = [bitsandbytes.adamw(groups(rest), bits, paged, **options)] if rest else []
    return _joined([*own, *([bitsandbytes.adamw(groups(tables), 32, paged, **options)] if tables else [])])


def _eight_bits() -> Packing:
    from ..edges import bitsandbytes

    return bitsandbytes.EightBits(GROUP)


def _adafactor(settings: TrainingSettings, learning: Sequence[Learner]) -> Optimizer:
    """Return Adafactor (arXiv 1804.04235) with the given learning rate and schedule, without a first moment."""
    from transformers.optimization import Adafactor

    return Adafactor(groups(learning), scale_parameter=False, relative_step=False)


def _muon(settings: TrainingSettings, learning: Sequence[Learner]) -> Optimizer:
    """Return Muon for the matrices of linear layers and AdamW for the rest.

    Its update is scaled to the size that AdamW's has (arXiv 2502.16982), so that one learning rate suits both.
    """
    matrices = [one for one in learning if one.kind == "matrix"]
    rest = [one for one in learning if one.kind != "matrix"]
    own = [torch.optim.Muon(groups(matrices), adjust_lr_fn="match_rms_adamw")] if matrices else []
    return _joined([*own, *([_adamw(settings, rest)] if rest else [])])


def _joined(parts: list[Optimizer]) -> Optimizer:
    return parts[0] if len(parts) == 1 else Joined(parts)


BUILDERS: Mapping[str, Callable[[TrainingSettings, Sequence[Learner]], Optimizer]] = {
    "adamw": _adamw,
    "adamw_8bit": partial(_bitsandbytes, bits=8, paged=False),
    "paged_adamw": partial(_bitsandbytes, bits=32, paged=True),
    "paged_adamw_8bit": partial(_bitsandbytes, bits=8, paged=True),
    "adafactor": _adafactor,
    "muon": _muon,
}
