"""Kernels for a loaded model: checked on this machine against the plain form before they are used."""

from __future__ import annotations

import torch
from torch import Tensor

from ..edges.fla import FlaAttention, Kernel, load_kernel
from ..errors import MachineError
from ..models.transnormer import TransnormerTokenMixer
from ..ops.lightning import Attend, Decay, Layout, block_attention, decay_rates

BOUND = 2**-5
"""How far the kernel may be from the block form, as a share of a head's largest number: four times the unit of bfloat16.

In float16, under Triton's interpreter, the bundled model's heads were apart by one unit of float16 (9.4e-4) at most.
"""
TOKENS = 160
"""Tokens of a row in the check: the kernel works in blocks of 64."""
_NAME = "TransNormerLLM's attention"


def use_kernel(model: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> str | None:
    """Let a TransNormerLLM on a GPU compute its attention with fla-core; return a sentence for the user.

    `device`: where the model is or will be; `dtype`: what it computes in. None: another model or no GPU; nothing is
    imported then. In bfloat16 alone: the kernel multiplies float32 in TF32, with 10 bits, and float16 may overflow,
    since the sums have no denominator and the kernel keeps them in the dtype of its input.
    """
    mixers = [module for module in model.modules() if isinstance(module, TransnormerTokenMixer)]
    if not mixers or device.type != "cuda":
        return None
    if dtype != torch.bfloat16:
        return f"{_NAME}: the block form; fla-core's kernel is used in bfloat16 alone."
    try:
        kernel = load_kernel()
    except MachineError as error:
        return f"{_NAME}: the block form; {error}."
    return install(mixers, kernel, device, dtype)


def install(mixers: list[TransnormerTokenMixer], kernel: Kernel, device: torch.device, dtype: torch.dtype) -> str:
    """Check the kernel with the head sizes and decays of all mixers; use it in all of them, or in none."""
    attend = FlaAttention(kernel, device.type, dtype)
    worst = 0.0
    for mixer in mixers:
        try:
            found = max(_differences(attend, mixer, device, dtype).items(), key=lambda item: item[1])
        except Exception as error:  # noqa: BLE001 - a compiler and a driver stand behind it
            reason = (str(error).strip().splitlines() or [""])[0]
            return f"{_NAME}: the block form; fla-core's kernel fails here ({type(error).__name__}: {reason})."
        if not found[1] <= BOUND:
            return (
                f"{_NAME}: the block form; fla-core's kernel differs from it in layer {mixer.layer} ({found[0]}: "
                f"{found[1]:.2g} of the largest number, at most {BOUND:.2g} is allowed)."
            )
        worst = max(worst, found[1])
    for mixer in mixers:
        mixer.attend = attend
    return f"{_NAME}: fla-core's kernel; it differs from the block form by {worst:.2g} of the largest number at most."


def _differences(
    attend: Attend, mixer: TransnormerTokenMixer, device: torch.device, dtype: torch.dtype
) -> dict[str, float]:
    """Return how far each result is from the block form's, for plain rows, and packed and padded ones after a state."""
    config, own = mixer.config, torch.Generator(device).manual_seed(mixer.layer)
    heads, width = config.decoder_attention_heads, config.head_dim
    size, finer = width, dtype
    if mixer.lrpe is not None:  # cosine and sine side by side, of float32 angles
        size, finer = 2 * width, torch.promote_types(dtype, torch.float32)
    rate_H = decay_rates(heads, mixer.layer, config.decoder_layers, device)

    def random(*shape: int, like: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(2, heads, *shape, generator=own, device=device).to(like)

    mask_BT = torch.ones(2, TOKENS, dtype=torch.int64, device=device)
    mask_BT[0, :5], mask_BT[0, 70:] = 0, 2
    mask_BT[1, 30:40], mask_BT[1, 150:] = 0, 0
    found = {}
    for rows, mask, before in (("plain rows", None, None), ("packed rows", mask_BT, random(size, width))):
        decay = Decay(rate_H, None if mask is None else Layout.of(mask))
        inputs = [random(TOKENS, size, like=finer), random(TOKENS, size, like=finer), random(TOKENS, width, like=dtype)]
        inputs += [] if before is None else [before]
        real_B1T1 = 1 if mask is None else (mask != 0)[:, None, :, None]  # the outputs of padding mean nothing
        asked = random(TOKENS, width, like=dtype).float() * real_B1T1, random(size, width)
        expected = _results(block_attention, inputs, decay, asked)
        for name, actual in _results(attend, inputs, decay, asked).items():
            plain = expected[name]
            if name == "output":
                actual, plain = actual * real_B1T1, plain * real_B1T1
            apart_H = (actual - plain).abs().amax((0, 2, 3)) / plain.abs().amax((0, 2, 3))
            found[f"{name}, {rows}"] = float(apart_H.nan_to_num(nan=torch.inf).max())
    return found


def _results(attend: Attend, inputs: list[Tensor], decay: Decay, asked: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Return output, last state and the gradients of query, key, value and first state, float32."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    query, key, value, *before = leaves
    with torch.enable_grad():
        output, state = attend(query, key, value, decay, before[0] if before else None)
        grads = torch.autograd.grad((output, state), leaves, asked)
    names = ("query's gradient", "key's gradient", "value's gradient", "first state's gradient")
    results = {"output": output, "state": state, **dict(zip(names, grads, strict=False))}
    return {name: x.detach().float() for name, x in results.items()}
