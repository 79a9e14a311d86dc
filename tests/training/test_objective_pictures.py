"""The training path with pictures: the published loss, packed rows, and the self-test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import pad

from tunesmith.errors import SelfTestError
from tunesmith.models.load import load
from tunesmith.models.minicpmv import FAMILY, MiniCPMVConfig, MiniCPMVForCausalLM
from tunesmith.models.segments import packing_of
from tunesmith.training.objective import Objective, self_test
from tunesmith.tuning import full, lora

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2" / "finetune_batch"
LORA = lora.Config(rank=4)


@pytest.fixture
def model() -> Any:
    """The golden model in float32."""
    config = MiniCPMVConfig.from_dict(json.loads((GOLDEN / "config.json").read_text(encoding="utf-8")))
    made = MiniCPMVForCausalLM(config)
    made.load_state_dict(load_file(GOLDEN / "weights.safetensors"))
    return made.eval()


@pytest.fixture
def batch() -> dict[str, Any]:
    """The golden batch of three rows with pictures of several sizes; labels are aligned with the ids."""
    tensors = load_file(GOLDEN / "batch.safetensors")
    bounds = [pad(tensors[f"image_bound.{row}"], (1, 0), value=row) for row in range(3)]
    raw = [tensors[f"slice_uint8.{row}.{number}"] for row in range(3) for number in range(len(bounds[row]))]
    return {
        "input_ids": tensors["input_ids"],
        "attention_mask": tensors["attention_mask"].long(),
        "labels": pad(tensors["labels"][:, :-1], (1, 0), value=-100),
        "pixel_values": [((one.float() / 255 - 0.5) / 0.5).permute(2, 0, 1) for one in raw],
        "image_bound": torch.cat(bounds),
    }


def packed(batch: dict[str, Any]) -> dict[str, Any]:
    """The same rows as segments of one row, a text of its own behind them, and padding."""
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    starts = torch.tensor([0, *lengths]).cumsum(0)
    text = torch.arange(200, 209)
    ids = [*(row[:length] for row, length in zip(batch["input_ids"], lengths, strict=True)), text]
    labels = [
        *(row[:length] for row, length in zip(batch["labels"], lengths, strict=True)),
        pad(text[1:], (1, 0), value=-100),
    ]
    bounds = batch["image_bound"].clone()
    bounds[:, 1:] += starts[bounds[:, 0], None]
    bounds[:, 0] = 0
    return {
        "input_ids": pad(torch.cat(ids), (0, 4))[None],
        "labels": pad(torch.cat(labels), (0, 4), value=-100)[None],
        "attention_mask": pad(torch.cat([torch.full((len(x),), n) for n, x in enumerate(ids, 1)]), (0, 4))[None],
        "position_ids": pad(torch.cat([torch.arange(len(x)) for x in ids]), (0, 4))[None],
        "pixel_values": batch["pixel_values"],
        "image_bound": bounds,
    }


def gradients(objective: Objective, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    objective.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}


def test_the_published_loss_and_gradients(model: Any, batch: dict[str, Any]) -> None:
    facts = json.loads((GOLDEN / "case.json").read_text(encoding="utf-8"))
    objective = Objective(full.apply(model, FAMILY, full.Config()), FAMILY).train()
    objective.requires_grad_(True)  # recorded with the resampler's position code too
    count = int((batch["labels"] != -100).sum())
    loss = objective(**batch) / count
    assert float(loss.detach()) == pytest.approx(facts["loss"], abs=1e-5)
    found = gradients(objective, loss)
    for name, norm in facts["grad_l2_norms"].items():
        assert float(found[f"model.{name}"].norm()) == pytest.approx(norm, rel=5e-5), name


@pytest.mark.parametrize("method", ["full", "lora"])
def test_packed_rows_and_the_plain_path_give_the_same(method: str, model: Any, batch: dict[str, Any]) -> None:
    assert not isinstance(packing_of(model), str)
    tuned: Any = full.apply(model, FAMILY, full.Config()) if method == "full" else lora.apply(model, FAMILY, LORA)
    objective = Objective(tuned, FAMILY).train()
    with torch.no_grad():
        for name, parameter in objective.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    row = packed(batch)
    together = gradients(objective, objective(**row))
    text = {"input_ids": row["input_ids"][:, -13:-4], "labels": row["labels"][:, -13:-4]}
    apart = objective(**batch) + objective(**text, attention_mask=torch.ones(1, 9, dtype=torch.int64))
    for name, gradient in gradients(objective, apart).items():
        assert (gradient - together[name]).norm() <= 1e-4 * gradient.norm() + 1e-9, name
    for one in (batch, row):
        fast, plain = self_test(objective, one, 1e-5)
        assert fast == pytest.approx(plain, rel=1e-5)


def test_the_self_test_sees_a_picture_in_a_wrong_place(model: Any, batch: dict[str, Any]) -> None:
    objective = Objective(model, FAMILY)
    wrong = packed(batch)
    wrong["image_bound"][-1, 1:] = torch.tensor([300, 316])  # the last segment begins at 307
    with pytest.raises(SelfTestError):
        self_test(objective, wrong, 1e-5)


def test_pictures_are_not_dropped_without_a_word(model: Any, batch: dict[str, Any], tiny_model_folder: Path) -> None:
    text = load(tiny_model_folder, dtype=torch.float32)
    with pytest.raises(TypeError, match="MiniCPMForCausalLM takes no image_bound, pixel_values"):
        Objective(text.model, text.family)(**{**batch, "input_ids": batch["input_ids"] % 200})
    with pytest.raises(TypeError, match="MiniCPMVForCausalLM takes no pixels"):
        Objective(model, FAMILY)(**batch, pixels=[])
