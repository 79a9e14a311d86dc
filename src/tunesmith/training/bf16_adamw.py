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
from typing import Any

import torch
from torch import Tensor

BF16_BITS = 16
"""How many bits of a float32 number bfloat16 leaves away."""


class Bf16AdamW(torch.optim.Optimizer):
    """AdamW on bfloat16 parameters; `rounding` is "kahan" or "stochastic".

    What is drawn at random depends on (seed, step, number of the tensor, what is rounded) alone, so a run that is
    resumed ends with the same bits.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        rounding: str,
        seed: int = 0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(groups, {"lr": 1e-3, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.kahan, self.seed = rounding == "kahan", seed
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
        state = self.state[parameter]
        if not state:
            kept = torch.float32 if self.kahan else torch.bfloat16
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter, dtype=kept)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=kept)
            if self.kahan:
                state["compensation"] = torch.zeros_like(parameter)
        state["step"] += 1
        (beta1, beta2), rate = group["betas"], group["lr"]
        gradient, exact = parameter.grad.float(), parameter.float()  # type: ignore[union-attr]
        if self.kahan:
            exact += state["compensation"]
        mean = state["exp_avg"].float().lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].float().mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        divisor = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        exact.mul_(1 - rate * group["weight_decay"]).addcdiv_(mean, divisor, value=-rate / (1 - beta1 ** state["step"]))
        if self.kahan:
            parameter.copy_(exact)
            state["compensation"].copy_(exact - parameter)
            return  # float32 moments were changed in place
        draw = torch.Generator(parameter.device)
        draw.manual_seed(((self.seed * 1_000_003 + state["step"]) * 1_000_003 + number) % 2**63)
        parameter.copy_(rounded_at_random(exact, draw))
        state["exp_avg"].copy_(rounded_at_random(mean, draw))
        state["exp_avg_sq"].copy_(rounded_at_random(square, draw))

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
