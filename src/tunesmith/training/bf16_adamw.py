"""AdamW for weights in bfloat16 alone, without a float32 copy: with Kahan compensation, or stochastic rounding.

bfloat16 has 8 bits of precision, so an update of less than about 1/512 of a weight is rounded away: plain AdamW stands still
at small learning rates. "kahan" keeps what was rounded away in a second bfloat16 number and adds it the next time; the
moments are float32 (14 bytes a weight with its gradient, against 16 with float32 weights). "stochastic" rounds up or
down at random, with probabilities that make the mean right, the moments too (8 bytes a weight).

Sources: arXiv 2010.06192 for both ways; AdamW arXiv 1711.05101.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor

BF16_BITS = 16
"""How many bits of a float32 number bfloat16 leaves away."""
MOMENTS, SCALE = ("exp_avg", "exp_avg_sq"), "_scale"
GROUP = 256
"""Numbers that have a scale of their own where moments are packed into 8 bits (arXiv 2110.02861)."""
SMALLEST = 4096
"""Tensors of fewer numbers are not packed, as in bitsandbytes' own optimisers."""
BLOCK = 2**22
"""Numbers that are updated at one time, in whole rows: there are about six float32 copies of them, 100 MB."""


class Packing(Protocol):
    """How numbers are held in 8 bits, in groups of GROUP that have one scale each."""

    def pack(self, exact: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
        """Return float32 numbers in 8 bits (uint8, of the same shape) and their scales (float32, one dimension)."""

    def unpack(self, codes: Tensor, scales: Tensor, signed: bool) -> Tensor:
        """Return them in float32 again; of scales that are 0, zeros."""


class Bf16AdamW(torch.optim.Optimizer):
    """AdamW on bfloat16 parameters; `rounding` is "kahan" or "stochastic".

    With `packing` the moments are held in 8 bits, but for groups that say "packed": False, small tensors, and tensors
    with rows of more than BLOCK / GROUP numbers.

    Large tensors are updated in blocks of rows, so that float32 copies of a whole one are never made. What is drawn at
    random depends on (seed, step, number of the tensor, block) alone, so a run that is resumed ends with the same bits.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        rounding: str,
        seed: int = 0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        packing: Packing | None = None,
    ) -> None:
        super().__init__(groups, {"lr": 1e-3, "betas": betas, "eps": eps, "weight_decay": 0.0, "packed": True})
        self.kahan, self.seed, self.packing = rounding == "kahan", seed, packing
        wrong = {p.dtype for group in self.param_groups for p in group["params"]} - {torch.bfloat16}
        if wrong:
            raise ValueError(f"only bfloat16 parameters can be trained so, not {', '.join(map(str, wrong))}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. A closure is not supported."""
        if closure is not None:
            raise ValueError("a closure is not supported")
        number = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group, number)
                number += 1

    def _update(self, parameter: Tensor, group: dict[str, Any], number: int) -> None:
        row = max(1, parameter[0].numel()) if parameter.ndim else 1
        rows = max(1, BLOCK // row)
        rows -= rows % GROUP if rows > GROUP else 0  # so that all blocks but the last are whole groups
        state = self.state[parameter]
        if not state:
            fit = parameter.numel() >= SMALLEST and rows >= GROUP
            state.update(self._start(parameter, self.packing is not None and group["packed"] and fit))
        state["step"] += 1
        draw = torch.Generator(parameter.device)
        draw.manual_seed(((self.seed * 1_000_003 + state["step"]) * 1_000_003 + number) % 2**63)
        parts = {"weight": parameter, "gradient": parameter.grad, **state}
        cut = {
            name: torch.atleast_1d(part).split(rows * row // GROUP if name.endswith(SCALE) else rows)
            for name, part in parts.items()
            if isinstance(part, Tensor)
        }
        for pieces in zip(*cut.values(), strict=True):
            self._update_block(dict(zip(cut, pieces, strict=True)), group, state["step"], draw)

    def _start(self, parameter: Tensor, packed: bool) -> dict[str, Any]:
        """Return the state before the first step."""
        kept = torch.uint8 if packed else torch.float32 if self.kahan else torch.bfloat16
        state: dict[str, Any] = {"step": 0}
        for name in MOMENTS:
            state[name] = torch.zeros_like(parameter, dtype=kept)
            if packed:
                state[name + SCALE] = parameter.new_zeros(-(-parameter.numel() // GROUP), dtype=torch.float32)
        if self.kahan:
            state["compensation"] = torch.zeros_like(parameter)
        return state

    def _update_block(self, block: dict[str, Tensor], group: dict[str, Any], step: int, draw: torch.Generator) -> None:
        """Update rows of a tensor and of its state in place."""
        (beta1, beta2), rate = group["betas"], group["lr"]
        gradient, exact = block["gradient"].float(), block["weight"].float()
        if self.kahan:
            exact += block["compensation"]
        mean, square = (self._moment(block, name) for name in MOMENTS)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        divisor = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        exact.mul_(1 - rate * group["weight_decay"]).addcdiv_(mean, divisor, value=-rate / (1 - beta1**step))
        if self.kahan:
            block["weight"].copy_(exact)
            block["compensation"].copy_(exact - block["weight"])
        else:
            block["weight"].copy_(rounded_at_random(exact, draw))
        for name, value in zip(MOMENTS, (mean, square), strict=True):
            self._keep_moment(block, name, value, draw)

    def _moment(self, block: dict[str, Tensor], name: str) -> Tensor:
        """Return a moment in float32: the kept one itself, if it is so."""
        if self.packing is None or name + SCALE not in block:
            return block[name].float()
        return self.packing.unpack(block[name], block[name + SCALE], name == MOMENTS[0])

    def _keep_moment(self, block: dict[str, Tensor], name: str, value: Tensor, draw: torch.Generator) -> None:
        if self.packing is not None and name + SCALE in block:
            codes, scales = self.packing.pack(value, name == MOMENTS[0])
            block[name].copy_(codes)
            block[name + SCALE].copy_(scales)
        elif block[name].dtype == torch.bfloat16:
            block[name].copy_(rounded_at_random(value, draw))
        # one in float32 was changed in place

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a state over as it is; torch's own way would round the moments to the dtype of the weights."""
        super().load_state_dict(dict(state_dict))
        numbers = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for number, parameter in zip(numbers, parameters, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                kept = value.to(parameter.device, copy=True) if isinstance(value, Tensor) else value
                self.state[parameter][name] = kept


def rounded_at_random(exact: Tensor, draw: torch.Generator) -> Tensor:
    """Return a float32 tensor in bfloat16, each number rounded up or down so that its mean is the number itself.

    Random bits are added to those that bfloat16 leaves away, which are then cut: the carry rounds up as often as they
    are large.
    """
    noise = torch.randint(2**BF16_BITS, exact.shape, generator=draw, dtype=torch.int32, device=exact.device)
    return (exact.view(torch.int32) + noise).bitwise_and_(-(2**BF16_BITS)).view(torch.float32).bfloat16()
