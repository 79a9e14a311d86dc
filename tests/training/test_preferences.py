"""Whole answers: summed by segment, packed or not, scaled as the model's own logits are; the self-test tells if not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.data.collate import Collator, collate
from tunesmith.data.preferences import pair
from tunesmith.data.types import IGNORE, Example, Pack
from tunesmith.errors import SelfTestError
from tunesmith.models import auto
from tunesmith.models.family import Head
from tunesmith.models.load import Loaded, load
from tunesmith.models.segments import Packing, packing_of
from tunesmith.ops.preference import Answers
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.objective import Objective, self_test
from tunesmith.training.objectives import dpo, kto, orpo, sft
from tunesmith.training.preferences import Preferences, objective_of
from tunesmith.tuning import full, lora

METHODS = {"dpo": dpo, "kto": kto, "orpo": orpo}


@pytest.fixture
def loaded(tiny_model_folder: Path) -> Loaded:
    return load(tiny_model_folder, dtype=torch.float32)


def built(loaded: Loaded, method: Any, **settings: Any) -> Preferences:
    return objective_of(method.Config(**settings), loaded.model, loaded.family, Ranks())


def answer(prompt: list[int], length: int, **more: Any) -> Example:
    ids = torch.randint(3, 250, (length,)).tolist()
    return Example(prompt + ids, [IGNORE] * len(prompt) + ids, **more)


def pairs(weights: bool = False) -> list[Example]:
    made = []
    for number, (size, good, bad) in enumerate([(4, 3, 6), (1, 5, 1), (7, 2, 2), (3, 9, 4)]):
        prompt = torch.randint(3, 250, (size,)).tolist()
        first = answer(prompt, good, weight=(0.5, 2.0, 1.0, 0.0)[number] if weights else 1.0, liked=number % 2 == 0)
        made.append(replace(pair(first, answer(prompt, bad)), reference=(-3.0 * good, -4.0 * bad)))
    return made


def plain_logps(model: Any, example: Example) -> list[float]:
    """The definition: full logits of each half alone."""
    found = []
    for part in (slice(0, example.second), slice(example.second, None)):
        ids, labels = torch.tensor([example.input_ids[part]]), torch.tensor(example.labels[part])
        with torch.no_grad():
            logps = model(input_ids=ids).logits[0].log_softmax(-1)
        places = (labels != IGNORE).nonzero().flatten()
        found.append(sum(float(logps[n - 1, labels[n]]) for n in places))
    return found


def test_which_objective(loaded: Loaded) -> None:
    assert type(built(loaded, sft)) is Objective
    assert type(built(loaded, dpo)) is Preferences


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_those_of_the_plain_logits(method: str, loaded: Loaded) -> None:
    objective, examples = built(loaded, METHODS[method]), pairs(weights=True)
    logps, counts, weights = objective.answers(**collate(examples, 0))
    torch.testing.assert_close(logps.detach(), torch.tensor([plain_logps(loaded.model, one) for one in examples]))
    assert counts.tolist() == [[3, 6], [5, 1], [2, 2], [9, 4]] and weights.tolist() == [0.5, 2, 1, 0]
    assert objective.count(collate(examples, 0)) == 4
    if method != "kto":
        assert objective.count(collate([Pack(tuple(examples))], 0)) == 4


@pytest.mark.parametrize("method", METHODS)
def test_loss_is_a_weighted_sum_over_pairs_and_is_measured(method: str, loaded: Loaded) -> None:
    objective, examples = built(loaded, METHODS[method]), pairs()
    weighted = [replace(one, weight=weight) for one, weight in zip(examples, (0.5, 2.0, 1.0, 0.0), strict=True)]
    if method == "kto":  # its baseline is of the whole batch
        with torch.no_grad():
            objective(**collate(examples, 0))
            assert {name: int(own[1]) for name, own in objective.measures.items()} == {
                "reward_chosen": 2, "reward_rejected": 2, "reward_accuracy": 4,
            }  # fmt: skip
        return
    with torch.no_grad():
        each = [float(objective(**collate([one], 0))) for one in examples]
        assert float(objective(**collate(examples, 0))) == pytest.approx(sum(each), rel=1e-5)
        expected = 0.5 * each[0] + 2 * each[1] + each[2]
        assert float(objective(**collate(weighted, 0))) == pytest.approx(expected, rel=1e-5)
    assert {int(own[1]) for own in objective.measures.values()} == {12}


@pytest.mark.parametrize("kind", ["minicpm", "llama"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_packed_equals_unpacked(kind: str, tuning: str, method: str, loaded: Loaded) -> None:
    model, family = loaded.model, loaded.family
    if kind == "llama":
        sizes = {"vocab_size": 260, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
        model, family = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4)), auto.FAMILY
    assert packing_of(model) == Packing("segments")
    tuned = {"lora": lora, "full": full}[tuning]
    model = tuned.apply(model, family, tuned.Config())
    objective = objective_of(METHODS[method].Config(), model, family, Ranks()).train()
    examples = pairs(weights=True)
    found = []
    for batch in (collate(examples, 0), collate([Pack(tuple(examples[:3])), Pack((examples[3],))], 0)):
        objective.zero_grad()
        loss = objective(**batch)
        loss.backward()
        found.append((loss.detach(), {n: p.grad.clone() for n, p in objective.named_parameters() if p.requires_grad}))
    torch.testing.assert_close(found[0][0], found[1][0])
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][name], atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("moved", [2.0, -2.0])
def test_kto_measures_against_a_baseline_without_gradient(moved: float, loaded: Loaded) -> None:
    objective, batch = built(loaded, kto), collate(pairs(), 0)
    logps, counts, _ = objective.answers(**batch)
    logps[:, 1].sum().backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in objective.parameters())
    batch["reference_logps"] = logps.detach() - torch.tensor([1.0, moved])  # the others have gained that much
    answers = Answers(logps, counts, batch["reference_logps"], batch["liked"], max(moved, 0.0))
    torch.testing.assert_close(objective(**batch), kto.judge(answers, kto.Config()).losses_P.sum())


@pytest.mark.parametrize("method", METHODS)
def test_a_rank_without_rows_adds_nothing(method: str, loaded: Loaded) -> None:
    objective = built(loaded, METHODS[method])
    batch = Collator(0, pairs=True)([])
    loss = objective(**batch)
    loss.backward()
    assert float(loss.detach()) == 0 and objective.count(batch) == 0
    gradients = [p.grad for p in objective.parameters() if p.grad is not None]
    assert gradients and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("known", [True, False])
def test_self_test_passes_and_fails(method: str, known: bool, loaded: Loaded) -> None:
    family = loaded.family if known else replace(loaded.family, head=lambda model: None)
    objective = built(loaded._replace(family=family), METHODS[method])
    batch = collate(pairs(weights=True), 0)
    fast, plain = self_test(objective, batch, 1e-4)
    assert fast == pytest.approx(plain, rel=1e-5)
    # The fault that other tools have: the width is forgotten before the head.
    forgetful = loaded._replace(family=replace(loaded.family, head=lambda model: Head(model.lm_head)))
    with pytest.raises(SelfTestError):
        self_test(built(forgetful, METHODS[method]), batch, 1e-4)


def test_pictures_of_every_other_row() -> None:
    from tunesmith.training.preferences import _every_other

    batch = {
        "input_ids": torch.arange(8).view(4, 2),
        "image_bound": torch.tensor([[0, 1, 2], [1, 3, 4], [2, 5, 6], [3, 7, 8]]),
        "pixel_values": ["a", "b", "c", "d"],
    }
    second = _every_other(batch, 1)
    assert second["input_ids"].tolist() == [[2, 3], [6, 7]] and second["pixel_values"] == ["b", "d"]
    assert second["image_bound"].tolist() == [[0, 3, 4], [1, 7, 8]]
