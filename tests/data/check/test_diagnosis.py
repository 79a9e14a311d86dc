"""What the account comes to: usable or not, findings in their order, languages."""

from __future__ import annotations

import pytest

from tunesmith.data.check.account import Account
from tunesmith.data.check.advice import ADVICE
from tunesmith.data.check.diagnosis import Diagnosis, Model
from tunesmith.data.check.measures import Probe
from tunesmith.data.flow import Done
from tunesmith.data.types import Conversation, Message, Origin
from tunesmith.errors import DataError, RecordError


def diagnosis(*pairs: tuple[str, str], model: Model | None = None) -> Diagnosis:
    conversations = [
        Conversation((Message("user", question), Message("assistant", answer)), Origin("a", number))
        for number, (question, answer) in enumerate(pairs)
    ]
    account = Account(None if model is None else model.max_length)
    account.add(Done("a", "alpaca", len(pairs), probed=Probe()(conversations, [])))
    return Diagnosis(account, model)


def test_all_is_usable_when_no_record_is_bad_and_no_file_broken() -> None:
    made = diagnosis(("a", "b"))
    assert made.usable and (made.records, made.kept) == (1, 1)
    made.account.add(Done("b", None, error=DataError("broken")))
    assert not made.usable
    other = diagnosis(("a", "b"))
    other.account.add(Done("a", "alpaca", 1, bad=[RecordError(Origin("a", 1), "x", "y", "z")]))
    assert not other.usable and (other.records, other.kept) == (2, 1)


def test_findings_stand_in_the_order_of_the_advice() -> None:
    made = diagnosis(("a", "b"), ("a", "b"), ("a", "x\x00"), ("b", "{{name}}"), ("c", " nan"))
    kinds = [finding.kind for finding in made.findings]
    assert kinds == [
        "unfilled_slots",
        "hollow_answers",
        "copies",
        "control_characters",
        "other_answers",
        "spaces_around",
    ]
    assert kinds == sorted(kinds, key=list(ADVICE).index)


@pytest.mark.parametrize(("others", "told"), [(1, True), (10, False)])
def test_another_language_is_told_where_it_is_rare(others: int, told: bool) -> None:
    pairs = [(f"第{n}个问题是什么？", f"这是第{n}个答案。") for n in range(20)]
    pairs += [(f"第{n}句怎么说？", f"Number {n}.") for n in range(20, 20 + others)]
    made = diagnosis(*pairs)
    assert ("other_language" in [finding.kind for finding in made.findings]) is told
    assert made.languages == [("Chinese", 20), ("Latin script", others)]


def test_a_max_length_beyond_the_model_is_found() -> None:
    made = diagnosis(("a", "b"), model=Model("m", 1024, 512))
    assert not made.findings, "no row is that long"
    assert made.proposal is None


def test_the_variety_of_answers() -> None:
    assert diagnosis(("a", "x"), ("b", "y")).variety == "all different"
    made = diagnosis(("a", "yes"), ("b", "no"), ("c", "yes"), ("d", "yes"))
    assert made.variety == "2 different, the most frequent in 75 % of the records"
