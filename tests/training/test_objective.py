"""The training path gives the plain loss; the self-test tells when it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tunesmith.errors import SelfTestError
from tunesmith.models.family import Head
from tunesmith.models.load import load
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


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_loss_and_gradients_equal_the_plain_ones(tuning: str, batch: dict, tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    method = {"lora": lora, "full": full}[tuning]
    objective = Objective(method.apply(loaded.model, loaded.family, method.Config()), loaded.family).train()
    loss = objective(**batch)
    loss.backward()
    fast = {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}
    objective.zero_grad()
    logits = objective.inner(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    plain = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum"
    )
    plain.backward()
    torch.testing.assert_close(loss, plain)
    assert fast.keys() == {n for n, p in objective.named_parameters() if p.requires_grad}
    for name, parameter in objective.named_parameters():
        if name in fast:
            torch.testing.assert_close(fast[name], parameter.grad, atol=2e-5, rtol=1e-4)


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


def test_trainable_state_has_each_tensor_once(tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    state = trainable_state(Objective(full.apply(loaded.model, loaded.family, full.Config()), loaded.family))
    assert "model.embed_tokens.weight" in state and "lm_head.weight" not in state  # tied
    assert all(not name.startswith("model.model.") for name in state)
