"""Two adapters beside each other: settings, layers, and logits on rows of data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.adapters.compare import LAST, compare, logits_apart, same_base
from tunesmith.adapters.folder import Adapter
from tunesmith.errors import AdapterError, DataError
from tunesmith.models.load import load

Make = Callable[..., Path]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    talks = [[("Who are you?", "I am Pip."), ("Say 2.", "2")], [("你好", "你好，很高兴见到你。")]]
    lines = [
        {
            "messages": [
                {"role": role, "content": text}
                for pair in talk
                for role, text in zip(("user", "assistant"), pair, strict=True)
            ]
        }
        for talk in talks
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return str(tmp_path / "rows.jsonl")


def test_an_adapter_beside_itself_and_another(make: Make) -> None:
    a, b = Adapter.of(make("a")), Adapter.of(make("b", 2, rank=2, targets=["q_proj", "v_proj"]))
    same = compare(a, a)
    assert same.same_base is True and not same.settings and same.trained == (0, 0)
    assert all(layer.cosine == pytest.approx(1) for layer in (same.whole, *same.layers)) and len(same.layers) == 14
    sizes = [layer.norms[0] for layer in same.layers]
    assert sizes == sorted(sizes, reverse=True)
    assert same.whole.norms[0] == pytest.approx(math.sqrt(sum(size**2 for size in sizes)))
    other = compare(a, b)
    assert set(other.settings) == {"r", "target_modules"} and other.settings["r"] == (4, 2)
    alone = [layer for layer in other.layers if layer.norms[1] is None]
    assert len(alone) == 10 and all(layer.cosine is None for layer in alone)
    both = [layer for layer in other.layers if layer.norms[1] is not None]
    assert all(abs(layer.cosine) < 0.5 for layer in both) and abs(other.whole.cosine) < 0.5


def test_the_base_is_compared(make: Make, other_base: Callable[..., Path]) -> None:
    a, b = Adapter.of(make("a")), Adapter.of(make("b", base=other_base("base", change=True)))
    assert compare(a, b).same_base is False
    assert "was trained on another base" not in same_base([a, a]) and "on another base" in same_base([a, b])
    (b.folder / "tunesmith.json").unlink()
    unsaid = Adapter.of(b.folder)
    assert compare(a, unsaid).same_base is None
    assert "on another base" in same_base([a, unsaid]) and same_base([unsaid, unsaid]) == ""


def test_logits_on_rows(make: Make, rows: str, tiny_model_folder: Path) -> None:
    a, b = str(make("a")), str(make("b", 2))
    none = logits_apart((a, a), [rows], 16, "cpu")
    assert none.rows == 2 and none.largest == none.mean == none.changed == 0
    found = logits_apart((a, b), [rows], 1, "cpu")
    assert found.rows == 1 and 0 < found.mean < found.largest
    loaded = [load(one, device="cpu") for one in (a, b)]
    from tunesmith.models.rows import first_rows

    ids = first_rows([rows], loaded[0], 1, 1024)[0].inputs["input_ids"]
    with torch.no_grad():
        both: list[Any] = [one.model(input_ids=ids).logits[0, -LAST:] for one in loaded]
    assert found.positions == min(LAST, ids.shape[1])
    assert found.largest == pytest.approx(float((both[0] - both[1]).abs().max()))
    assert found.changed == int((both[0].argmax(-1) != both[1].argmax(-1)).sum())


def test_rows_that_cannot_be_compared(make: Make, rows: str, tmp_path: Path) -> None:
    a = str(make("a"))
    with pytest.raises(AdapterError, match="models with other vocabularies cannot be compared"):
        logits_apart((a, "nano-minicpm"), [rows], 2, "cpu")
    with pytest.raises(DataError, match="nothing"):
        logits_apart((a, a), [str(tmp_path / "nothing.json")], 2, "cpu")
