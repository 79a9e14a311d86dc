"""The training path gives the plain loss; the self-test tells when it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.data.collate import collate
from tunesmith.data.types import Example, Pack
from tunesmith.errors import SelfTestError
from tunesmith.models import auto
from tunesmith.models.family import Family, Head
from tunesmith.models.load import load
from tunesmith.models.segments import Packing, packing_of
from tunesmith.training.objective import Objective, self_test, trainable_state
from tunesmith.tuning import full, lora


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Three padded rows with labels in places."""
    ids = torch.randint(3, 250, (3, 12))
    mask = torch.ones_like(ids)
    mask[1, 7:], mask[2, 4:] = 0, 0
    labels = ids.masked_fill((mask == 0) | (torch.rand(3, 12) < 0.5), -100)
    labels[:, 0], labels[:, 3] = -100, ids[:, 3]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def test_self_test_passes_and_fails(batch: dict, tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    objective = Objective(loaded.model, loaded.family)
    fast, plain = self_test(objective, batch, 1e-4)
    assert fast == pytest.approx(plain, rel=1e-5)
    # The fault that other tools have: the width is forgotten before the head.
    forgetful = replace(loaded.family, head=lambda model: Head(model.lm_head))
    with pytest.raises(SelfTestError, match="training path gives the loss"):
        self_test(Objective(loaded.model, forgetful), batch, 1e-4)
    with torch.no_grad():
        loaded.model.lm_head.weight[5] = float("nan")
    with pytest.raises(SelfTestError, match="nan"):
        self_test(objective, batch, 1e-4)


def test_unknown_head_uses_the_model_itself(batch: dict, tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    known = Objective(loaded.model, loaded.family)
    unknown = Objective(loaded.model, replace(loaded.family, head=lambda model: None))
    assert unknown.head is None
    torch.testing.assert_close(known(**batch), unknown(**batch))


# --- packed rows -----------------------------------------------------------------------------------------------------

LENGTHS = ((9, 1, 14, 4), (12, 7), (5,))


def examples(weights: bool = False) -> list[list[Example]]:
    """Rows of random examples, labels in places, some with a weight."""
    made = []
    for lengths in LENGTHS:
        made.append([])
        for length in lengths:
            ids = torch.randint(3, 250, (length,))
            labels = ids.masked_fill(torch.rand(length) < 0.4, -100)
            weight = (0.5, 1.0, 3.0)[len(made[-1]) % 3] if weights else 1.0
            made[-1].append(Example(ids.tolist(), labels.tolist(), weight=weight))
    return made


def packed(rows: list[list[Example]]) -> Any:
    return collate([Pack(tuple(row)) for row in rows], pad_id=0)


def model_of(kind: str, folder: Path) -> tuple[Any, Family]:
    """MiniCPM or Llama, both with grouped queries."""
    if kind == "minicpm":
        loaded = load(folder, dtype=torch.float32)
        return loaded.model, loaded.family
    sizes = {"vocab_size": 260, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.1)
    return LlamaForCausalLM(config), auto.FAMILY


def gradients(objective: Objective, batches: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
    """The summed loss of some batches and the gradients of what learns."""
    objective.zero_grad()
    total = sum(objective(**batch) for batch in batches)
    total.backward()
    return float(total.detach()), {n: p.grad.clone() for n, p in objective.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", ["minicpm", "llama"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("attention", ["segments", "sdpa"])
@pytest.mark.parametrize("variant", ["plain", "weights", "checkpointing", "double"])
def test_packed_equals_unpacked(kind: str, tuning: str, attention: str, variant: str, tiny_model_folder: Path) -> None:
    model, family = model_of(kind, tiny_model_folder)
    assert packing_of(model) == Packing("segments")
    model.set_attn_implementation(attention)
    method = {"lora": lora, "full": full}[tuning]
    objective = Objective(method.apply(model, family, method.Config()), family).train()
    if variant == "double":
        objective.double()
    with torch.no_grad():
        for name, parameter in objective.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)  # with zeros, as LoRA begins, A would have no gradient
    if variant == "checkpointing":
        enable = getattr(objective.inner, "activation_checkpointing_enable", None)  # transformers 5.23
        (enable or objective.inner.gradient_checkpointing_enable)({"use_reentrant": False})
    rows = examples(weights=variant == "weights")
    loss, grads = gradients(objective, [packed(rows)])
    plain, expected = gradients(objective, [collate([example], 0) for row in rows for example in row])
    tolerance = 1e-10 if variant == "double" else 1e-5
    assert loss == pytest.approx(plain, rel=tolerance)
    for name, gradient in grads.items():
        assert (gradient - expected[name]).norm() <= tolerance * expected[name].norm() + 1e-12, name
    assert len(grads) > 10 and all(gradient.any() for gradient in grads.values())


@pytest.mark.parametrize("head", [True, False])
def test_self_test_of_packed_rows_passes_and_fails(head: bool, tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    assert isinstance(packing_of(loaded.model), Packing)
    family = loaded.family if head else replace(loaded.family, head=lambda model: None)
    objective = Objective(loaded.model, family)
    batch = packed(examples(weights=True))
    fast, plain = self_test(objective, batch, 1e-4)
    assert fast == pytest.approx(plain, rel=1e-5)
    with pytest.raises(SelfTestError):  # a model that does not keep its segments apart
        objective.inner.takes_segments = True
        self_test(objective, batch, 1e-4)


def test_weights_scale_what_each_row_contributes(batch: dict, tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    objective = Objective(loaded.model, loaded.family)
    rows = [{key: value[row : row + 1] for key, value in batch.items()} for row in range(3)]
    weights = torch.tensor([0.5, 0.0, 2.0])[:, None].expand_as(batch["labels"])
    with torch.no_grad():
        each = [float(objective(**row)) for row in rows]
        expected = pytest.approx(0.5 * each[0] + 2 * each[2], rel=1e-5)
        assert float(objective(**batch, weights=weights)) == expected
        assert float(objective.reference(**batch, weights=weights)) == expected


def test_trainable_state_has_each_tensor_once(tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    state = trainable_state(Objective(full.apply(loaded.model, loaded.family, full.Config()), loaded.family))
    assert "model.embed_tokens.weight" in state and "lm_head.weight" not in state  # tied
    assert all(not name.startswith("model.model.") for name in state)
