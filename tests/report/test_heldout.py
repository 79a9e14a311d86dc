"""The rows that a run is judged by: those that it held out, or given ones; never those it learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.data.chats import load_chat
from tunesmith.errors import ConfigError, DataError
from tunesmith.nano import MODEL
from tunesmith.report.facts import Facts
from tunesmith.report.heldout import Wanted, of_files, of_run, spread
from tunesmith.runs import RECORDED


def test_spread() -> None:
    assert spread(3, 5) == [0, 1, 2] and spread(0, 5) == []
    assert spread(101, 3) == [0, 50, 100] and spread(9, 1) == [0]
    assert len(spread(1000, 50)) == 50


def test_the_rows_that_the_run_held_out(facts: Facts) -> None:
    part = of_run(facts, limit=3)
    assert part.whole == 4 and len(part.chosen) == 3
    assert len(part.records) == 3
    tokenizer, chat = load_chat(MODEL)
    rows = part.rows(chat, tokenizer, lambda records, share: None)
    assert len(rows) == 3 and {(row.origin.file, row.origin.record) for row in rows if row.origin} == part.chosen
    whole = of_run(facts, limit=9)
    assert part.chosen < whole.chosen and len(whole.chosen) == 4
    assert whole.rows(chat, tokenizer, lambda records, share: None).fingerprint != rows.fingerprint
    # the first validation row is the one that the round trip has recorded
    from safetensors.torch import load_file

    recorded = load_file(facts.folder / RECORDED)["0.input_ids"][0].tolist()
    assert min(rows, key=lambda row: row.origin.record if row.origin else 0).input_ids[: len(recorded)] == recorded


def test_rows_that_are_not_known_to_be_held_out_are_not_taken(facts: Facts) -> None:
    data = facts.config.data.model_copy(update={"validation_share": 0.0})
    with pytest.raises(ConfigError, match="held no rows out"):
        of_run(replace(facts, config=facts.config.model_copy(update={"data": data})), 3)
    with pytest.raises(ConfigError, match="have changed since the run"):
        of_run(replace(facts, data={**facts.data, "fingerprint": "another"}), 3)


def test_given_files(facts: Facts, rows: Callable[..., Path]) -> None:
    file = str(rows("given.json", *((f"Q {n}?", f"A {n}.") for n in range(7))))
    part = of_files(facts, Wanted(data=(file,), limit=2))
    assert part.whole == 7 and part.chosen == {(file, 0), (file, 6)}
    assert [question.expected.content for question in part.questions] == ["A 0.", "A 6."]
    bad = str(rows("bad.json", ("Q?", ""), ("Q?", "A.")))
    with pytest.raises(DataError, match=r"bad\.json"):
        of_files(facts, Wanted(data=(bad,)))
    assert of_files(facts, Wanted(data=(bad,), on_bad="skip")).whole == 1
