"""The same loss and the same gradients, family by family: labels alone or all logits, rows packed or one by one.

Rows that share tokens are in `test_objective_shared.py`, packed text rows of MiniCPM and Llama in `test_objective.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.data.collate import PictureLoader, collate
from tunesmith.data.types import Example, Pack
from tunesmith.models import auto
from tunesmith.models.load import load
from tunesmith.models.segments import packing_of
from tunesmith.training.objective import Objective
from tunesmith.tuning import full, lora

from .test_objective_shared import rendered

NANO = {"minicpmv": "nano-minicpmv", "transnormer": "nano-transnormer"}
SIZES = {"vocab_size": 260, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip


def objective_of(kind: str, tuning: str, folder: Path, dtype: torch.dtype) -> Objective:
    """A family's smallest model (MiniCPM's is in `folder`), in training, all of whose adapters have a gradient."""
    method: Any = {"lora": lora, "full": full}[tuning]
    if kind == "llama":
        model: Any = LlamaForCausalLM(LlamaConfig(**SIZES, initializer_range=0.1))
        family = auto.FAMILY
    else:
        loaded = load(NANO.get(kind, folder), dtype=torch.float32)
        model, family = loaded.model, loaded.family
    objective = Objective(method.apply(model, family, method.Config()), family).train()
    with torch.no_grad():
        for name, parameter in objective.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)  # with zeros, as LoRA begins, A would have no gradient
    return objective.to(dtype)


def rows_of(kind: str, folder: Path) -> tuple[list[Example], PictureLoader | None]:
    """Rows of several lengths, some of whose tokens are learned, with weights; with pictures for a model that sees."""
    if kind == "minicpmv":
        records = []
        for name, size in (("a", (60, 40)), ("b", (40, 60)), ("c", (50, 50))):
            Image.effect_noise(size, 90).convert("RGB").save(folder / f"{name}.png")
            turns = [{"role": "user", "content": f"<image>\nWhat is on {name}?"}]
            turns.append({"role": "assistant", "content": f"noise, of {size[0]} and {size[1]}"[: 8 + len(records) * 5]})
            records.append({"image": f"{name}.png", "conversations": turns})
        made, _, loader = rendered(NANO[kind], records, folder)
    else:
        own, made, loader = torch.Generator().manual_seed(5), [], None
        for length in (12, 3, 19, 7):
            ids = torch.randint(3, 250, (length,), generator=own)
            labels = ids.masked_fill(torch.rand(length, generator=own) < 0.4, -100)
            labels[-1] = ids[-1]
            made.append(Example(ids.tolist(), labels.tolist()))
    for number, example in enumerate(made):
        example.weight = (1.0, 0.5, 3.0)[number % 3]
    return made, loader


def gradients(objective: Objective, loss: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    objective.zero_grad()
    loss.backward()
    grads = {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}
    return float(loss.detach()), grads


def assert_same(objective: Objective, one: torch.Tensor, other: torch.Tensor) -> None:
    """Both losses and all gradients are alike; where terms cancel out, what remains is rounding of large ones."""
    (loss, grads), (plain, expected) = gradients(objective, one), gradients(objective, other)
    tolerance = 1e-5 if one.dtype == torch.float32 else 2e-7  # float64; some norms compute in float32 all the same
    assert loss == pytest.approx(plain, rel=tolerance)
    learning = {name for name, p in objective.named_parameters() if p.requires_grad}
    assert grads.keys() == expected.keys() == learning and len(grads) > 10
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in grads.items():
        assert (gradient - expected[name]).norm() <= tolerance * (expected[name].norm() + 0.1 * largest), name
        assert gradient.any(), name


@pytest.mark.parametrize("kind", ["minicpm", *NANO, "llama"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_labels_alone_equal_all_logits(
    kind: str, tuning: str, dtype: torch.dtype, tmp_path: Path, tiny_model_folder: Path
) -> None:
    objective = objective_of(kind, tuning, tiny_model_folder, dtype)
    rows, loader = rows_of(kind, tmp_path)
    batch: Any = collate(rows, 0, loader)
    inputs = {name: value for name, value in batch.items() if name not in ("labels", "weights")}
    logits = objective.inner(**inputs, use_cache=False).logits[:, :-1].flatten(0, 1)
    each = cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="none")
    assert_same(objective, objective(**batch), (each * batch["weights"][:, 1:].flatten()).sum())


@pytest.mark.parametrize("kind", ["minicpmv", "transnormer"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_packed_rows_equal_rows_one_by_one(
    kind: str, tuning: str, dtype: torch.dtype, tmp_path: Path, tiny_model_folder: Path
) -> None:
    objective = objective_of(kind, tuning, tiny_model_folder, dtype)
    assert not isinstance(packing_of(objective.inner), str)
    rows, loader = rows_of(kind, tmp_path)
    packed: Any = collate([Pack(tuple(rows[:2])), Pack(tuple(rows[2:]))], 0, loader)
    alone: list[Any] = [collate([row], 0, loader) for row in rows]
    assert_same(objective, objective(**packed), sum((objective(**one) for one in alone), torch.zeros(())))
