"""Rows that share tokens: loss and gradients of the forest are those of the rows one by one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.data.chat import Answers, RenderOptions
from tunesmith.data.chats import load_chat
from tunesmith.data.collate import PictureLoader, collate
from tunesmith.data.flow import Work
from tunesmith.data.pipeline import Preparation
from tunesmith.data.types import IGNORE, Example, Pack
from tunesmith.errors import SelfTestError
from tunesmith.locate import locate
from tunesmith.models import auto
from tunesmith.models.load import load
from tunesmith.models.segments import packing_of
from tunesmith.models.tree import why_no_tree
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.objective import Objective, self_test
from tunesmith.training.objectives import dpo, orpo
from tunesmith.training.preferences import Preferences
from tunesmith.tuning import full, lora


def objective_of(kind: str, folder: Path, tuning: str = "full") -> Objective:
    """MiniCPM or Llama, both with grouped queries, or linear attention; ready for a forest."""
    if kind == "minicpm":
        loaded = load(folder, dtype=torch.float32)
        model, family = loaded.model, loaded.family
    elif kind == "transnormer":
        loaded = load("nano-transnormer", dtype=torch.float32)
        model, family = loaded.model, loaded.family
    else:
        sizes = {"vocab_size": 260, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
        config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.1)
        model, family = LlamaForCausalLM(config), auto.FAMILY
    assert why_no_tree(model, 256) is None
    method = {"lora": lora, "full": full}[tuning]
    objective = Objective(method.apply(model, family, method.Config()), family).train()
    with torch.no_grad():
        for name, parameter in objective.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)  # with zeros, as LoRA begins, A would have no gradient
    return objective


def gradients(objective: Objective, batches: list[Any]) -> tuple[float, dict[str, torch.Tensor]]:
    """The summed loss of some batches and the gradients of what learns."""
    objective.zero_grad()
    total = sum(objective(**batch) for batch in batches)
    total.backward()
    return float(total.detach()), {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}


def assert_same(objective: Objective, shared: Any, alone: list[Any], tolerance: float = 1e-5) -> None:
    """The forest gives what the rows give one by one."""
    assert "tree" in shared
    loss, grads = gradients(objective, [shared])
    plain, expected = gradients(objective, alone)
    assert loss == pytest.approx(plain, rel=tolerance)
    assert grads.keys() == expected.keys() and len(grads) > 10
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in grads.items():  # where terms cancel out, what remains is rounding of the large ones
        assert (gradient - expected[name]).norm() <= tolerance * (expected[name].norm() + 0.1 * largest), name
    assert objective.count(shared) == sum(objective.count(batch) for batch in alone)


def family_rows(weights: bool = False) -> list[Example]:
    """A system prompt, two questions behind it with several answers each, one row twice, and a stranger."""
    own = torch.Generator().manual_seed(3)

    def draw(count: int) -> list[int]:
        return torch.randint(3, 250, (count,), generator=own).tolist()

    system, rows = draw(30), []
    for answers in (3, 1, 2):
        asked = system + draw(18)
        rows += [(asked, answer) for answer in (draw(5), draw(5), draw(9))[:answers]]
    rows += [rows[0], (draw(20), draw(4)), (system, draw(1))]
    return [
        Example(asked + answer, [IGNORE] * len(asked) + answer, weight=(0.5, 1.0, 3.0)[n % 3] if weights else 1.0)
        for n, (asked, answer) in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", ["minicpm", "llama", "transnormer"])
@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("variant", ["plain", "weights", "packed", "checkpointing", "double", "no head", "labels"])
def test_shared_equals_one_by_one(kind: str, tuning: str, variant: str, tiny_model_folder: Path) -> None:
    objective = objective_of(kind, tiny_model_folder, tuning)
    rows = family_rows(weights=variant == "weights")
    if variant == "double":
        objective.double()
    if variant == "no head":
        objective.head = None
    if variant == "labels":  # other labels than inputs, on shared tokens too, as where a turn's end is taught
        rows = [replace(row, labels=[n % 7 + 3 if n % 4 else IGNORE for n in range(len(row.labels))]) for row in rows]
    if variant == "checkpointing":
        enable = getattr(objective.inner, "activation_checkpointing_enable", None)  # transformers 5.23
        (enable or objective.inner.gradient_checkpointing_enable)({"use_reentrant": False})
    items: list[Any] = [Pack(tuple(rows[:5])), Pack(tuple(rows[5:]))] if variant == "packed" else rows
    shared = collate(items, 0, share=True)
    assert int(sum(length * count for _, length, count in shared["tree"])) < sum(len(r.input_ids) for r in rows) / 2
    # the norms are float32 in a float64 model too: a sum is rounded there once, or each of its parts
    assert_same(objective, shared, [collate([row], 0) for row in rows], 2e-7 if variant == "double" else 1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(1, 25)), min_size=2, max_size=9))
def test_random_tries(tiny_model_folder: Path, cuts: list[tuple[int, int, int]]) -> None:
    """Each row goes on from some place of one before it."""
    own, rows = torch.Generator().manual_seed(1), [[5] * 20]
    for other, kept, more in cuts:
        rows.append(rows[other % len(rows)][:kept] + torch.randint(3, 250, (more,), generator=own).tolist())
    examples = [Example(row, [IGNORE, *(n if n % 3 else IGNORE for n in row[1:])]) for row in rows]
    shared = collate(examples, 0, share=True)
    objective = objective_of("minicpm", tiny_model_folder)
    if "tree" in shared and objective.count(shared):
        assert_same(objective, shared, [collate([example], 0) for example in examples])


def rendered(
    model: str, records: list[dict[str, Any]], folder: Path, answers: Answers = "good"
) -> tuple[Any, int, Any]:
    """Rows of the data path, the padding token, and what opens pictures."""
    (folder / "rows.json").write_text(json.dumps(records), encoding="utf-8")
    tokenizer, chat = load_chat(locate(model))
    rows = Preparation(Work(chat, tokenizer, RenderOptions(512, answers=answers))).run([str(folder / "rows.json")])
    slicing = getattr(chat, "slicing", None)
    return list(rows), tokenizer.pad_id, PictureLoader(slicing) if slicing is not None else None


def test_rows_of_the_data_path(tmp_path: Path) -> None:
    system = "Answer in one word, and only from what is said. " * 3
    records = [
        {
            "messages": [
                {"role": "user", "content": f"{system}{said} Is it {word}?"},
                {"role": "assistant", "content": yes},
            ]
        }
        for said in ("The house is red.", "It has rained all day, and nobody went out.")
        for word, yes in (("red", "yes"), ("wet", "perhaps"))
    ]
    rows, pad, _ = rendered("nano-minicpm", records, tmp_path)
    loaded = load("nano-minicpm", dtype=torch.float32)
    assert why_no_tree(loaded.model, 512) is None
    objective = Objective(full.apply(loaded.model, loaded.family, full.Config()), loaded.family)
    assert_same(objective, collate(rows, pad, share=True), [collate([row], pad) for row in rows])


def test_a_picture_that_rows_share_is_looked_at_once(tmp_path: Path) -> None:
    for name, size in (("a", (60, 40)), ("b", (40, 60))):
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"{name}.png")
    records = [
        {"image": f"{name}.png", "conversations": [{"role": "user", "content": f"<image>\nWhat is {asked}?"},
                                                   {"role": "assistant", "content": asked[::-1]}]}
        for name, asked in (("a", "here"), ("b", "here"), ("a", "there"), ("b", "on the left"), ("a", "seen"))
    ]  # fmt: skip
    rows, pad, loader = rendered("nano-minicpmv", records, tmp_path)
    loaded = load("nano-minicpmv", dtype=torch.float32)
    assert why_no_tree(loaded.model, 512) is None
    objective = Objective(full.apply(loaded.model, loaded.family, full.Config()), loaded.family)
    shared = collate(rows, pad, loader, share=True)
    seen: list[int] = []
    real = objective.inner.seen
    objective.inner.seen = lambda pictures: seen.append(len(pictures)) or real(pictures)  # type: ignore[func-returns-value]
    objective(**shared)
    del objective.inner.seen
    assert len(shared["pixel_values"]) == 5 and seen == [2]
    assert_same(objective, shared, [collate([row], pad, loader) for row in rows])
    fast, plain = self_test(objective, shared, 1e-4)  # type: ignore[arg-type]
    assert fast == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("method", [dpo, orpo], ids=["dpo", "orpo"])
def test_two_answers_to_a_prompt(method: Any, tmp_path: Path, tiny_model_folder: Path) -> None:
    asked = "Which of these is larger, the sun or the moon? " * 2
    records = [
        {"prompt": asked + more, "chosen": good, "rejected": bad}
        for more, good, bad in (("Say it.", "the sun", "the moon is"), ("Tell!", "the sun is", "neither"))
    ]
    rows, pad, _ = rendered(str(tiny_model_folder), records, tmp_path, "pairs")
    rows = [replace(row, reference=(-3.0, -4.5)) for row in rows]
    loaded = load(tiny_model_folder, dtype=torch.float32)
    assert why_no_tree(loaded.model, 512) is None
    model = full.apply(loaded.model, loaded.family, full.Config())
    objective = Preferences(model, loaded.family, method, method.Config(), Ranks())
    shared = collate(rows, pad, share=True)
    assert_same(objective, shared, [collate([row], pad) for row in rows], 5e-5)
    packs: Any = [Pack(tuple(rows))]
    assert_same(objective, collate(packs, pad, share=True), [collate([row], pad) for row in rows], 5e-5)
    fast, plain = self_test(objective, shared, 1e-4)  # type: ignore[arg-type]
    assert fast == pytest.approx(plain, rel=1e-5)


def test_the_self_test_finds_a_wrong_tree(tiny_model_folder: Path) -> None:
    objective = objective_of("minicpm", tiny_model_folder)
    batch: Any = collate(family_rows(), 0, share=True)
    fast, plain = self_test(objective, batch, 1e-4)
    assert fast == pytest.approx(plain, rel=1e-5)
    wrong = [(-1, length, count) for _, length, count in batch["tree"]]  # nobody sees what is shared
    with pytest.raises(SelfTestError, match="training path gives the loss"):
        self_test(objective, {**batch, "tree": wrong}, 1e-4)


def test_batches_without_a_tree_stay_as_they_are(tiny_model_folder: Path) -> None:
    """A model that was switched computes padded and packed rows as before."""
    rows = family_rows()
    objective = objective_of("minicpm", tiny_model_folder)
    other = load(tiny_model_folder, dtype=torch.float32)
    assert not isinstance(packing_of(other.model), str)
    plain = Objective(full.apply(other.model, other.family, full.Config()), other.family)
    packs: Any = [Pack(tuple(rows))]
    for items in (rows, packs):
        torch.testing.assert_close(objective(**collate(items, 0)), plain(**collate(items, 0)))


def test_no_picture_reaches_a_model_that_does_not_see(tiny_model_folder: Path) -> None:
    objective = objective_of("minicpm", tiny_model_folder)
    batch: Any = {**collate(family_rows(), 0, share=True), "pixel_values": [], "image_bound": torch.zeros(0, 3)}
    with pytest.raises(TypeError, match=re.escape("takes no image_bound, pixel_values")):
        objective(**batch)
