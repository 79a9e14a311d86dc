"""How a model lies on the ranks: whole on each (one rank, DDP), shared out by FSDP2, or by DeepSpeed's ZeRO.

Whatever it is, a checkpoint holds the same: whole tensors by parameter name. So a run may go on over another number of
ranks, or shared out in another way.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ...edges import deepspeed
from ..objective import Objective, trainable_state
from ..settings import DistributedSettings
from .ranks import Ranks

Autocast = Callable[[], AbstractContextManager[Any]]
State = dict[str, Any]
"""An optimizer's state_dict, as torch makes it: the parameters stand as numbers, in the order of their groups."""
Groups = Sequence[Sequence[nn.Parameter]]
"""The parameters that an optimizer was built over, by its groups."""


class Whole:
    """The model is whole on each rank: one rank, or DDP, which accelerate does."""

    what = "the model is whole on each (DDP)"
    shared = False
    """Whether no rank holds all that was learned."""

    def __init__(self, ranks: Ranks, device: torch.device) -> None:
        self.ranks, self.device = ranks, device

    config: dict[str, Any] | None = None
    """DeepSpeed's configuration."""

    def share(self, objective: Objective) -> None:
        """Share the model out, before the trainer is built."""

    def wrapped(self, model: nn.Module, autocast: Autocast) -> nn.Module:
        """Return the model as the trainer's loop calls it; accelerate wraps one that comes back as it was."""
        return model

    def weights(self, objective: nn.Module) -> dict[str, Tensor]:
        """Return what learns, by name; every rank must ask."""
        return trainable_state(objective)

    def put_weights(self, objective: nn.Module, stored: dict[str, Tensor]) -> None:
        """Put weights that the model was built with into what else holds them: nothing here."""

    def optimizer_state(self, optimizer: torch.optim.Optimizer, groups: Groups) -> State:
        """Return the optimizer's state, put together; every rank must ask."""
        return optimizer.state_dict()

    def put_optimizer_state(self, optimizer: torch.optim.Optimizer, groups: Groups, stored: State) -> None:
        """Put back what `optimizer_state` gave, whatever form the run had then."""
        optimizer.load_state_dict(stored)


class Fsdp(Whole):
    """Every parameter is cut into as many parts as there are ranks (FSDP2); a layer is whole while it computes."""

    what, shared = "FSDP2 shares the weights out", True

    def share(self, objective: Objective) -> None:
        """Cut the parameters: those of each layer together, then the rest."""
        mesh = init_device_mesh(self.device.type, (self.ranks.world,))
        for layer in layers(objective):
            fully_shard(layer, mesh=mesh)
        fully_shard(objective, mesh=mesh, reshard_after_forward=False)

    def wrapped(self, model: nn.Module, autocast: Autocast) -> nn.Module:
        """Hide the model from accelerate, which would wrap it once more."""
        return _Hidden(model, autocast)

    def weights(self, objective: nn.Module) -> dict[str, Tensor]:
        """Return what learns, put together."""
        return {name: whole(tensor).cpu() for name, tensor in trainable_state(objective).items()}

    def optimizer_state(self, optimizer: torch.optim.Optimizer, groups: Groups) -> State:
        """Return torch's state, its tensors put together."""
        state = optimizer.state_dict()
        moments = {
            number: {key: whole(value).cpu() if isinstance(value, Tensor) else value for key, value in values.items()}
            for number, values in state["state"].items()
        }
        return {**state, "state": moments}

    def put_optimizer_state(self, optimizer: torch.optim.Optimizer, groups: Groups, stored: State) -> None:
        """Put back the state, cut as the parameters are."""
        parameters = [parameter for group in groups for parameter in group]
        moments = {
            number: {key: _cut_like(parameters[number], value) for key, value in values.items()}
            for number, values in stored["state"].items()
        }
        optimizer.load_state_dict({**stored, "state": moments})


class Zero(Whole):
    """DeepSpeed's ZeRO: the optimizer, the gradients and the weights are shared out, as its stage says."""

    shared = True  # with stages 1 and 2 the weights are whole, but may be rounded; the exact ones are shared out

    def __init__(self, ranks: Ranks, device: torch.device, config: dict[str, Any]) -> None:
        super().__init__(ranks, device)
        self.config: dict[str, Any] = config
        self.stage = deepspeed.stage(config)
        self.what = f"DeepSpeed shares out, ZeRO stage {self.stage}"

    def share(self, objective: Objective) -> None:
        """Cut the parameters, with stage 3; stages 1 and 2 share out when training begins."""
        if self.stage < 3:
            return
        # The loss takes the labels in pieces, on one rank more than on another. Each call of a module puts its weights
        # together, which all ranks must do together; so here the output matrix is whole while the objective computes.
        if objective.head is not None and type(objective.head.module) is nn.Linear:
            matrix = _Matrix(objective.head.module)
            objective.head = replace(objective.head, module=matrix)
            deepspeed.cut(objective, self.config, list(matrix.parameters()))
        else:
            objective.head = None  # the model's own logits, in one piece
            deepspeed.cut(objective, self.config, [])

    def weights(self, objective: nn.Module) -> dict[str, Tensor]:
        """Return the exact float32 weights, which the optimizer holds."""
        return {name: deepspeed.exact(parameter) for name, parameter in _learning(objective)}

    def put_weights(self, objective: nn.Module, stored: dict[str, Tensor]) -> None:
        """Put the exact weights back into the optimizer."""
        deepspeed.put_exact((parameter, stored[name]) for name, parameter in _learning(objective))

    def optimizer_state(self, optimizer: torch.optim.Optimizer, groups: Groups) -> State:
        """Return the state that torch's optimizer over the same parameters would have."""
        deepspeed.link(optimizer)
        numbers = itertools.count()
        kept = [
            {**{key: value for key, value in group.items() if key != "params"}, "params": [next(numbers) for _ in own]}
            for group, own in zip(optimizer.param_groups, groups, strict=True)
        ]
        parameters = [parameter for group in groups for parameter in group]
        moments = {number: deepspeed.moments(optimizer, one) for number, one in enumerate(parameters)}
        return {"state": moments, "param_groups": kept}

    def put_optimizer_state(self, optimizer: torch.optim.Optimizer, groups: Groups, stored: State) -> None:
        """Put back a state, cut as ZeRO holds it."""
        parameters = [parameter for group in groups for parameter in group]
        deepspeed.put_moments(optimizer, [(parameters[number], values) for number, values in stored["state"].items()])
        for group, kept in zip(optimizer.param_groups, stored["param_groups"], strict=True):
            group.update({key: value for key, value in kept.items() if key != "params"})


class _Matrix(nn.Module):
    """A linear layer that is no part of the model, with the same parameters."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, hidden_ND: Tensor) -> Tensor:
        return nn.functional.linear(hidden_ND, self.weight, self.bias)


class _Hidden(nn.Module):
    """A model that looks after itself."""

    def __init__(self, module: nn.Module, autocast: Autocast) -> None:
        super().__init__()
        self.module, self.autocast = module, autocast

    def forward(self, **inputs: Any) -> Tensor:
        with self.autocast():
            loss: Tensor = self.module(**inputs)
        return loss


def form_of(settings: DistributedSettings | None, ranks: Ranks, device: torch.device) -> tuple[Whole, list[str]]:
    """Return how the model of a run lies on its ranks, and what is to be said of it.

    Raises:
        MachineError: DeepSpeed is asked for and not installed.
        ConfigError: its configuration cannot be used.
    """
    if settings is None or settings.engine == "ddp":
        return Whole(ranks, device), []
    if settings.engine == "fsdp":
        return Fsdp(ranks, device), []
    deepspeed.prepare(device.type)
    if settings.config is not None:
        config, notes = deepspeed.read(Path(settings.config), device.type)
    else:
        config, notes = deepspeed.configuration(settings.stage, settings.offload, device.type)
    return Zero(ranks, device, config), notes


def layers(objective: Objective) -> list[nn.Module]:
    """Return the blocks that the model names as not to be cut through, the inner ones first."""
    names = set(getattr(objective.inner, "_no_split_modules", None) or ())
    found = [module for module in objective.modules() if type(module).__name__ in names]
    return found[::-1] or list(getattr(objective.inner.get_decoder(), "layers", ()))


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor put together from the parts of all ranks; a plain one as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _cut_like(parameter: Tensor, value: Any) -> Any:
    """Return a moment of a parameter cut as it is; anything else as it stands."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    mesh = parameter.device_mesh
    return distribute_tensor(value.to(mesh.device_type), mesh, parameter.placements, src_data_rank=None)


def _learning(objective: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(n.removeprefix("model."), p) for n, p in objective.named_parameters() if p.requires_grad]
