"""Count the bytes of LoRA, QLoRA and full fine-tuning against the plain recipe: what is held, not how long it takes.

Nano: a real step. MiniCPM-2B: weights and optimiser states of one and two real layers of its width, from which the
whole is calculated; what is kept for the backward pass from its whole 40 layers on tensors without data (torch's
FakeTensorMode). On nano, and on two layers of the 2B's width with LoRA, both ways must give the bytes of a real step, or
nothing is written. bfloat16 compute, on the CPU; no GPU is used. The plain recipe is PEFT's LoRA, or AdamW on all weights in float32, with the logits of all tokens.

    python bench/memory.py
    python bench/memory.py --model nano-minicpm --setting 1x64 --no-write
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import section
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tunesmith import config as configuration
from tunesmith.locate import locate
from tunesmith.models.files import read_config
from tunesmith.models.minicpm import FAMILY, MiniCPMConfig, MiniCPMForCausalLM
from tunesmith.models.quantise import held_bytes, quantise
from tunesmith.ops.loss import CHUNK_BYTES, label_loss
from tunesmith.training.checkpointing import compute_again
from tunesmith.training.in_backward import StepInBackward
from tunesmith.training.objective import Objective
from tunesmith.training.optimizers import build, learners
from tunesmith.training.settings import TrainConfig
from tunesmith.tuning import full, lora, qlora

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes")
SETTINGS = ("32x384", "80x128", "1x1024")
LOSS_BYTES = 4 * 4
"""Of a logit: itself, its log-softmax and the gradients of both, each float32."""
MINICPM_2B = MiniCPMConfig(
    vocab_size=122753,
    hidden_size=2304,
    intermediate_size=5760,
    num_hidden_layers=40,
    num_attention_heads=36,
    rms_norm_eps=1e-5,
    scale_emb=12,
    scale_depth=1.4,
    dim_model_base=256,
)

UNMASKED = "unmasked"
"""Causal attention whose mask is not written out: transformers does so for full rows, but cannot see it without data."""
AttentionInterface.register(UNMASKED, sdpa_attention_forward)
AttentionMaskInterface.register(UNMASKED, lambda *_, **__: None)


@dataclass(frozen=True)
class Method:
    """A way to tune. `tuning` and `training` are tunesmith's settings; `plain`: the logits of all tokens are made."""

    name: str
    tuning: tuple[tuple[str, Any], ...]
    training: tuple[tuple[str, Any], ...] = ()
    plain: bool = False

    @property
    def kind(self) -> str:
        """Which weights learn: "lora", "qlora" or "full"."""
        kind: str = dict(self.tuning)["method"]
        return kind

    @property
    def in_backward(self) -> bool:
        """Tell whether one gradient is held at a time."""
        return "optimizer_in_backward" in dict(self.training)


_ONE = (("optimizer_in_backward", True), ("max_grad_norm", 0.0))
_FULL = ("method", "full")
_PEFT = (("method", "lora"), ("fused", False))
METHODS = (
    Method("plain: LoRA", _PEFT, plain=True),
    Method("tunesmith: LoRA", (("method", "lora"),)),
    Method("tunesmith: QLoRA, NF4", (("method", "qlora"),)),
    Method("plain: full, float32", (_FULL,), plain=True),
    Method("tunesmith: full, float32", (_FULL,)),
    Method("tunesmith: full, float32, adamw_8bit", (_FULL,), (("optimizer", "adamw_8bit"),)),
    Method("tunesmith: full, bf16 + kahan, in backward", (_FULL, ("master_weights", "kahan")), _ONE),
    Method("tunesmith: full, bf16 + stochastic, in backward", (_FULL, ("master_weights", "stochastic")), _ONE),
    Method(
        "tunesmith: full, bf16 + stochastic, adamw_8bit, in backward",
        (_FULL, ("master_weights", "stochastic")),
        (*_ONE, ("optimizer", "adamw_8bit")),
    ),
)
AIMS = (("tunesmith: LoRA", 7.0), ("tunesmith: QLoRA", 3.0), ("tunesmith: full", 14.0))
"""At 1 x 1024 tokens: how a method's name begins, and the GiB that its sum is to stay under."""


@dataclass(frozen=True)
class Held:
    """Bytes that are there whatever the batch is."""

    weights: int
    gradients: int
    states: int

    @property
    def sum(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.states


def changed(shape: MiniCPMConfig, layers: int, words: int) -> MiniCPMConfig:
    """Return the same model with another number of layers and of words."""
    return MiniCPMConfig(**{**shape.to_dict(), "num_hidden_layers": layers, "vocab_size": words})


def settings(method: Method) -> TrainConfig:
    """Return tunesmith's configuration of a method."""
    content = {"model": "-", "output": "-", "data": {"train": "-"}}
    return configuration.read(
        TrainConfig, {**content, "tuning": dict(method.tuning), "training": dict(method.training)}
    )


def make(shape: MiniCPMConfig, method: Method, device: str) -> nn.Module:
    """Return a model with random weights (none on "meta") as it is tuned: what is frozen is bfloat16."""
    with torch.device(device):
        model: Any = MiniCPMForCausalLM(shape).bfloat16()
        model.tie_weights()
    tuning: Any = settings(method).tuning
    if method.kind == "qlora":
        quantise(model, FAMILY, qlora.quantisation(tuning), torch.device(device))
    adapted: nn.Module = {"lora": lora, "qlora": qlora, "full": full}[method.kind].apply(model, FAMILY, tuning)
    return adapted.train()


def without_data(model: nn.Module) -> None:
    """Put parameters of the same sizes on the CPU in the place of those on "meta"; under FakeTensorMode."""
    made: dict[int, tuple[nn.Parameter, nn.Parameter]] = {}
    for module in model.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            new = made.setdefault(
                id(old), (nn.Parameter(torch.empty(old.shape, dtype=old.dtype), old.requires_grad), old)
            )
            setattr(module, name, new[0])


def kept(objective: Objective, inputs: dict[str, Any]) -> tuple[Tensor, int]:
    """Return the hidden states and the bytes kept for the backward pass, each storage once, without the parameters."""
    own = {parameter.untyped_storage()._cdata for parameter in objective.parameters()}
    found: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            found[storage._cdata] = storage  # held, so that no other takes its address
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        hidden = objective.states(**inputs)
    return hidden, sum(storage.nbytes() for storage in found.values())


def kept_without_data(shape: MiniCPMConfig, method: Method, rows: int, tokens: int, again: bool) -> int:
    """Return what a model of this shape keeps for the backward pass; a quantised base keeps what the base itself does."""
    frozen = Method("", _PEFT)
    model = make(shape, frozen if method.kind == "qlora" else method, "meta")
    if again:
        compute_again(Objective(model, FAMILY).inner)
    model.config._attn_implementation = UNMASKED  # type: ignore[union-attr]
    with FakeTensorMode():
        without_data(model)
        ids = torch.zeros((rows, tokens), dtype=torch.int64)
        return kept(Objective(model, FAMILY), {"input_ids": ids, "attention_mask": None})[1]  # type: ignore[arg-type]


def state_bytes(optimizer: Any) -> int:
    """Return the bytes of an optimiser's states, each storage once."""
    parts = getattr(optimizer, "parts", [optimizer])
    tensors = [x for part in parts for state in part.state.values() for x in state.values() if isinstance(x, Tensor)]
    return sum({x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}.values())


def real_step(shape: MiniCPMConfig, method: Method, rows: int, tokens: int, again: bool = False) -> tuple[Held, int]:
    """Do a training step on random tokens; return what was held and what was kept for the backward pass."""
    torch.manual_seed(0)
    model = make(shape, method, "cpu")
    if again:
        compute_again(Objective(model, FAMILY).inner)
    objective = Objective(model, FAMILY)
    names = [name for name, _ in objective.named_parameters()]
    optimizer = build(settings(method), learners(objective, dict.fromkeys(names, 0.0), dict.fromkeys(names, 1e-4)))
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    seen: list[int] = []

    def look(_: Tensor) -> None:
        seen.append(sum(one.grad.numel() * one.grad.element_size() for one in learning if one.grad is not None))

    handles = [parameter.register_post_accumulate_grad_hook(look) for parameter in learning]
    stepping = StepInBackward(objective, optimizer) if method.in_backward else None
    ids = torch.randint(shape.vocab_size, (rows, tokens))
    hidden, saved = kept(objective, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    assert objective.head is not None
    heads = [parameter for parameter in objective.head.module.parameters() if parameter.requires_grad]
    with torch.autocast("cpu", torch.bfloat16):
        loss = label_loss(hidden, ids, objective.head, heads)
    (loss / ids.numel()).backward()
    for handle in handles:
        handle.remove()
    if stepping is None:
        optimizer.step()
    return Held(held_bytes(objective), max(seen), state_bytes(optimizer)), saved


def calculated(shape: MiniCPMConfig, method: Method) -> Held:
    """Return what a model holds, from real steps with 1 and 2 layers, and with 256 and 512 words.

    Weights and states grow evenly with both. The gradients, of which the largest alone counts where the optimiser steps
    in the backward pass, follow from the sizes.
    """
    small, deep, wide = (
        real_step(changed(shape, layers, words), method, 1, 8)[0] for layers, words in ((1, 256), (2, 256), (1, 512))
    )
    layers, words = shape.num_hidden_layers - 1, shape.vocab_size - 256

    def whole(one: int, two: int, more: int) -> int:
        return one + layers * (two - one) + words * (more - one) // 256

    plain = Method("", (("method", "lora"),)) if method.kind == "qlora" else method
    learning = [x for x in make(shape, plain, "meta").parameters() if x.requires_grad]
    sizes = [parameter.numel() * parameter.element_size() for parameter in learning]
    return Held(
        whole(small.weights, deep.weights, wide.weights),
        max(sizes) if method.in_backward else sum(sizes),
        whole(small.states, deep.states, wide.states),
    )


def all_calculated(shape: MiniCPMConfig) -> dict[Method, Held]:
    """Return what a model holds by every method; a plain recipe's settings are those of a method of tunesmith."""
    ways = {(method.tuning, method.training): method for method in METHODS}
    done = {way: calculated(shape, method) for way, method in ways.items()}
    return {method: done[method.tuning, method.training] for method in METHODS}


def loss_bytes(shape: MiniCPMConfig, method: Method, positions: int) -> int:
    """Return what the head and the loss need on top while they are computed, from the sizes.

    Plain: the logits of all positions. tunesmith: those of one chunk, and the gradient of the hidden states. A head
    that learns: autocast's copy of a float32 matrix; and in tunesmith its gradient as kept from the forward pass, in
    float32 (`ops/loss.py`).
    """
    words, table = shape.vocab_size, shape.vocab_size * shape.hidden_size
    master = dict(method.tuning).get("master_weights", "float32") == "float32"
    found = 2 * table if method.kind == "full" and master else 0
    if method.plain:
        return found + LOSS_BYTES * positions * words
    if method.kind == "full":
        found += 4 * table
    chunk = min(positions, max(16, CHUNK_BYTES // (4 * words)))
    return found + LOSS_BYTES * chunk * words + 2 * positions * shape.hidden_size


def compare(shape: MiniCPMConfig, fixed: dict[Method, Held], rows: int, tokens: int) -> None:
    """Check that what is calculated and counted without data are the bytes of real steps; else end with an error."""
    for method, counted in fixed.items():
        if method.plain:
            continue  # the same step as tunesmith's, but for head and loss
        for again in (False, True):
            held, saved = real_step(shape, method, rows, tokens, again)
            other = counted, kept_without_data(shape, method, rows, tokens, again)
            if (held, saved) != other:
                sys.exit(f"{method.name}, {rows} x {tokens} tokens: a real step has {held}, {saved}; counted: {other}")
        print(f"{method.name}: the calculated bytes are those of a real step", flush=True)


def report(
    shape: MiniCPMConfig, fixed: dict[Method, Held], asked: Sequence[tuple[int, int]], unit: tuple[str, int]
) -> list[str]:
    """Return the tables of a model, and for MiniCPM-2B's which aims are met."""
    name, size = unit

    def cells(*values: float) -> str:
        return " | ".join(f"{value / size:,.2f}" for value in values)

    lines = [f"| {name} | weights | gradients at their peak | optimiser states | sum |"]
    lines.append("| --- |" + " --- |" * 4)
    for method, held in fixed.items():
        lines.append(f"| {method.name} | {cells(held.weights, held.gradients, held.states, held.sum)} |")
    aims: list[str] = []
    for rows, tokens in asked:
        lines += ["", f"{rows} x {tokens} tokens; without and with gradient checkpointing:", ""]
        lines.append(f"| {name} | kept: without | kept: with | head and loss | sum: without | sum: with | / plain |")
        lines.append("| --- |" + " --- |" * 6)
        base = (0, 0)
        sums: dict[str, tuple[int, int]] = {}
        floors: dict[str, tuple[int, int]] = {}
        for method, held in fixed.items():
            one, two = (
                kept_without_data(changed(shape, layers, shape.vocab_size), method, rows, tokens, False)
                for layers in (1, 2)
            )
            off = kept_without_data(shape, method, rows, tokens, False)
            on = kept_without_data(shape, method, rows, tokens, True) + two - one
            extra = loss_bytes(shape, method, rows * tokens)
            sums[method.name] = (held.sum + off + extra, held.sum + on + extra)
            floors[method.name] = (held.weights + held.states + off, held.weights + held.states + on)
            base = sums[method.name] if method.plain else base
            ratio = ", ".join(f"{mine / other:.2f}" for mine, other in zip(sums[method.name], base, strict=True))
            lines.append(f"| {method.name} | {cells(off, on, extra, *sums[method.name])} | {ratio} |")
        if (rows, tokens) == (1, 1024):
            aims = judged(sums, floors) if shape is MINICPM_2B else []
    return [*lines, "", *aims]


def judged(sums: dict[str, tuple[int, int]], floors: dict[str, tuple[int, int]]) -> list[str]:
    """Return a line for each aim: whether the smallest sums of its methods stay under it.

    `floors`: weights, optimiser states and what is kept for the backward pass, which all exist at one time.
    """
    lines = ["Against the aims at 1 x 1024 tokens, by the smallest of these calculated sums (in brackets: weights,"]
    lines += ["optimiser states and what is kept alone, which exist at one time):", ""]
    for begin, aim in AIMS:
        names = [name for name in sums if name.startswith(begin)]
        found = []
        for column, how in enumerate(("without checkpointing", "with")):
            best = min(names, key=lambda name: sums[name][column])
            value, floor = sums[best][column] / 2**30, floors[best][column] / 2**30
            found.append(f"{how} {value:.2f} ({floor:.2f}) GiB, {'met' if value < aim else 'missed'}")
        lines.append(f"- {begin.removeprefix('tunesmith: ')}, under {aim} GiB: {'; '.join(found)}.")
    return [*lines, ""]


def main() -> None:
    """Count, compare and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("nano-minicpm", "minicpm-2b"), help="only this one; nothing is written")
    parser.add_argument("--setting", action="append", help="rows x tokens; several times for several")
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT 0.21 asks transformers 5.23 by an old name
    load = os.getloadavg()[0]
    asked = [tuple(map(int, one.split("x"))) for one in options.setting or SETTINGS]
    nano = MiniCPMConfig(**read_config(locate("nano-minicpm")))
    lines = ["## Memory: bytes counted against the plain recipe", ""]
    conditions = "computed in bfloat16 (autocast), adapters of rank 16 on all linear layers in float32, every row full"
    lines += [section.where(PACKAGES, conditions, load, "python bench/memory.py"), "", ABOUT, ""]
    if options.model != "minicpm-2b":
        fixed = all_calculated(nano)
        compare(nano, fixed, *asked[-1])
        lines += ["### nano-minicpm, counted", "", *report(nano, fixed, asked, ("MiB", 2**20))]
    if options.model != "nano-minicpm":
        part = changed(MINICPM_2B, 2, 256)
        compare(part, {METHODS[1]: calculated(part, METHODS[1])}, 1, 1024)
        fixed = all_calculated(MINICPM_2B)
        lines += ["### MiniCPM-2B's shape, calculated (2,724,880,896 weights, 40 layers)", ""]
        lines += report(MINICPM_2B, fixed, asked, ("GiB", 2**30))
    print("\n".join(lines))
    if not (options.no_write or options.model or options.setting):
        section.write("memory", lines)


ABOUT = """\
Nothing here was measured on a GPU: these are bytes of tensors, without the CUDA context, the allocator's gaps, libraries
and the workspace of kernels (QLoRA: one matrix unpacked). The working copies of the optimiser while it updates a tensor
are not counted either, on any side; "bf16" makes about six in float32 of a block of rows of the tensor in hand, 16 MiB each
at most. Weights and optimiser states are those of real steps; for MiniCPM-2B they are calculated from real
steps with 1 and 2 layers of its width and 256 and 512 words. What is kept for the backward pass is what autograd saves in
the decoder, each storage once, parameters not counted, on tensors without data; with checkpointing one layer computed
again is added. Real steps gave the same bytes, or this would not be here: nano-minicpm at the last setting below by every
method of tunesmith, and two layers of MiniCPM-2B's width with LoRA at 1 x 1024, all without and with checkpointing. QLoRA
keeps what the plain LoRA keeps. Head and loss are computed from sizes: four float32 numbers a logit, of all positions (plain) or of
a chunk. The sums add each of these parts at its largest although not all exist at one time. Rows are full and every token
is a label: what less padding and fewer labels save comes on top. In the last column each sum is divided by that of the
plain recipe above it, without and with checkpointing."""


if __name__ == "__main__":
    main()
