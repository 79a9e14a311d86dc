"""The first stage: facts are true to the scene, and tower and resampler learn while the language model does not."""

from __future__ import annotations

import pytest
import torch

from tunesmith.nano import look, pretrain_vision
from tunesmith.nano.pictures.scene import Scene, Thing


def test_facts_of_a_scene() -> None:
    box = (0, 0, 9, 9)
    things = (Thing("ring", "red", "left", box), Thing("star", "blue", "right", box))
    assert look.facts(Scene("two", (70, 70), "pink", things)) == {
        "background pink", "2 things", "red", "blue", "ring", "star", "left", "right",
        "left red", "left ring", "right blue", "right star",
    }  # fmt: skip
    letter = Scene("glyph", (70, 70), "grey", (Thing("letter", "black", "top", box, "K"),))
    assert {"K", "letter", "top letter", "1 things"} <= look.facts(letter)
    assert len(set(look.FACTS)) == len(look.FACTS)


def test_pictures_and_facts_are_a_function_of_the_seed() -> None:
    model = pretrain_vision.build(0)
    one, two = look.Looking(model, 2), look.Looking(model, 2)
    (pixels, facts_BF), (again, same_BF) = one.pictures(4), two.pictures(4)
    assert all(torch.equal(first, second) for first, second in zip(pixels, again, strict=True))
    assert torch.equal(facts_BF, same_BF) and facts_BF.shape == (4, len(look.FACTS))
    assert not torch.equal(facts_BF, one.pictures(4)[1])
    loss, right = one.loss(4)
    assert loss.isfinite() and 0.0 <= right <= 1.0


def test_only_the_vision_side_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "ROWS", 4)
    model = pretrain_vision.build(0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    done = look.learn_to_see(look.Looking(model, 0), 2, 0.001)
    assert done["looks"] == 8 and done["look_loss"] > 0
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and not any(name.startswith("llm.") or name == "resampler.pos_embed" for name in changed)
