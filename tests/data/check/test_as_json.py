"""The JSON report is one valid object, with every bad record."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tunesmith.data.check.account import Account
from tunesmith.data.check.as_json import as_json
from tunesmith.data.check.diagnosis import Diagnosis, Model
from tunesmith.data.check.measures import Probe
from tunesmith.data.check.tokens import Tokens
from tunesmith.data.flow import Done
from tunesmith.data.types import Conversation, Message, Origin
from tunesmith.errors import DataError, RecordError


def content(account: Account, model: Model | None = None) -> dict[str, Any]:
    read = json.loads("".join(as_json(Diagnosis(account, model))))
    assert isinstance(read, dict)
    return read


def test_every_bad_record_is_named() -> None:
    account = Account()
    faults = [RecordError(Origin("数据.jsonl", n, n + 1), "output", f'it is "{n}".', "Fill it in.") for n in range(30)]
    good = Conversation((Message("user", "你好"), Message("assistant", "{{name}}")), Origin("数据.jsonl", 30, 31))
    account.add(Done("数据.jsonl", "alpaca", 31, bad=faults, probed=Probe()([good], []), unlearned=1))
    account.add(Done("b", None, error=DataError("it is broken.")), validation=True)
    made = content(account)
    first, second = made["files"]
    assert first["path"] == "数据.jsonl" and first["use"] == "training"
    assert (first["format"], first["records"], first["kept"], first["unlearned"]) == ("alpaca", 31, 1, 1)
    assert first["bad"][3] == {
        "index": 3,
        "line": 4,
        "field": "output",
        "reason": 'it is "3".',
        "mend": "Fill it in.",
    }
    assert len(first["bad"]) == 30 and "error" not in first
    assert second == {
        "path": "b",
        "use": "validation",
        "format": None,
        "records": 0,
        "kept": 0,
        "unlearned": 0,
        "error": "it is broken.",
        "bad": [],
    }
    assert (made["usable"], made["records"], made["kept"]) == (False, 31, 1)
    (finding,) = made["findings"]
    assert (finding["kind"], finding["level"], finding["records"]) == ("unfilled_slots", "warning", 1)
    assert finding["places"] == [{"path": "数据.jsonl", "index": 30, "line": 31, "detail": "answer: {{name}}"}]
    assert made["lengths"]["median"] == 10


def test_the_proposal_is_told() -> None:
    account = Account(64)
    measures = Probe()([], [])
    measures.tokens = Tokens(np.array([60, 90], np.int32), np.array([100, 26]))
    account.add(Done("a", "alpaca", 2, probed=measures))
    assert content(account, Model("m", 64, 80))["proposed_max_length"] == {
        "length": 80,
        "cut_rows": 1,
        "lost_label_tokens": 26,
        "cuts_nothing_from": 128,
        "limited_by_model": True,
    }


def test_nothing_at_all_is_valid_json() -> None:
    assert content(Account())["files"] == []
    made = content(Account(64), Model("m", 64))
    assert made["model"] == {"name": "m", "max_length": 64, "positions": None}
    assert made["proposed_max_length"] is None
