"""The loss is that of the trainer's evaluation, packed or not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith import train
from tunesmith.data.chat import RenderOptions
from tunesmith.data.collate import collate
from tunesmith.data.picture_files import PictureFiles
from tunesmith.errors import RunError
from tunesmith.eval import likelihood
from tunesmith.eval.desk import Desk
from tunesmith.eval.source import Source
from tunesmith.eval.tasks import perplexity
from tunesmith.models.load import Loaded, load
from tunesmith.models.segments import packing_of
from tunesmith.nano import DATA
from tunesmith.training.objective import Objective


def test_it_is_the_trainers_evaluation_loss(tmp_path: Path, desk: Callable[[str], Desk]) -> None:
    test = str(DATA / "test.json")
    result = train(
        {
            "model": "nano-minicpm",
            "output": str(tmp_path / "run"),
            "data": {"train": str(DATA / "train.json"), "validation": test, "max_length": 128},
            "tuning": {"method": "lora", "rank": 4},
            "training": {
                "steps": 4,
                "learning_rate": 4e-3,
                "device": "cpu",
                "precision": "fp32",
                "report_to": [],
                "verify": False,
            },
        }
    )
    lines = [line for line in (result.folder / "metrics.jsonl").read_text().splitlines() if "eval_loss" in line]
    wanted = json.loads(lines[-1])["eval_loss"]
    loaded = load(result.folder, dtype="float32", device="cpu")
    source = Source([test], RenderOptions(max_length=128))
    outcome = perplexity.run(loaded, source, perplexity.Config(), desk("perplexity"))
    loss, raised = outcome.measures
    assert loss.value == pytest.approx(wanted, rel=1e-5)
    assert raised.value == pytest.approx(math.exp(wanted), rel=1e-5)
    assert len(outcome.rows) == 40 and outcome.rows[3]["record"] == 3


def test_packs_and_batches_agree(
    nano: Loaded, data: str, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packed = perplexity.run(nano, Source([data]), perplexity.Config(), desk("perplexity"))
    monkeypatch.setattr(perplexity, "packing_of", lambda model: "not with this one")
    other = Desk(tmp_path, "model", "perplexity")
    alone = perplexity.run(nano, Source([data]), perplexity.Config(tokens=1), other)
    assert packed.measures[0].value == pytest.approx(alone.measures[0].value, rel=1e-5)
    assert [r["tokens"] for r in packed.results] == [r["tokens"] for r in alone.results]
    assert not isinstance(packing_of(nano.model), str)  # else both ways were one


def test_rows_that_do_not_fit_are_cut_and_that_is_said(
    nano: Loaded, records: Callable[..., str], desk: Callable[[str], Desk]
) -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "red blue " * 3000}]
    outcome = perplexity.run(nano, Source([records({"messages": talk})]), perplexity.Config(), desk("perplexity"))
    (note,) = outcome.notes
    assert "1 rows are cut" in note
    assert outcome.results[0]["tokens"] < nano.model.config.max_position_embeddings


def test_a_second_start_computes_nothing(
    nano: Loaded, data: str, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = perplexity.run(nano, Source([data]), perplexity.Config(), desk("perplexity"))

    def fail(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(likelihood.Likelihood, "logps", fail)
    again = perplexity.run(nano, Source([data]), perplexity.Config(), desk("perplexity"))
    assert again.results == first.results


def test_a_loss_that_is_no_number_is_named(
    nano: Loaded, data: str, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = likelihood.Likelihood.logps
    monkeypatch.setattr(likelihood.Likelihood, "logps", lambda self, items: [x * math.nan for x in whole(self, items)])
    with pytest.raises(RunError, match=r"test\.jsonl, record 0: the loss is nan"):
        perplexity.run(nano, Source([data]), perplexity.Config(), desk("perplexity"))


def test_pictures_count_as_in_training(desk: Callable[[str], Desk]) -> None:
    loaded = load("nano-minicpmv", dtype="float32", device="cpu")
    file, roots = str(DATA / "pictures" / "train.json"), PictureFiles((str(DATA / "pictures"),))
    outcome = perplexity.run(loaded, Source([file], pictures=roots), perplexity.Config(), desk("perplexity"))
    model = likelihood.Likelihood(loaded)
    rows = Source([file], pictures=roots).rows(model.chat, model.tokenizer, lambda records, share: None)
    objective = Objective(loaded.model, loaded.family)
    assert model._loader is not None
    for row, result in zip(rows, outcome.results, strict=True):
        assert row.pictures
        batch = collate([row], model.tokenizer.pad_id, model._loader)
        assert result["loss"] == pytest.approx(float(objective.reference(**batch).detach()), rel=1e-4)
