"""The account: every record is counted, bad ones are kept in little memory, places are found again."""

from __future__ import annotations

import numpy as np

from tunesmith.data.check.account import Account, Bad, BadRecords, Finding, Place
from tunesmith.data.check.measures import Probe
from tunesmith.data.check.tokens import Tokens
from tunesmith.data.flow import Done
from tunesmith.data.types import Conversation, Message, Origin
from tunesmith.errors import DataError, RecordError


def talk(number: int, question: str = "", answer: str = "Fine.", file: str = "a.jsonl") -> Conversation:
    messages = (Message("user", question or f"How are the {number} cats?"), Message("assistant", answer))
    return Conversation(messages, Origin(file, number, number + 1))


def bad(number: int, file: str = "a.jsonl") -> RecordError:
    return RecordError(Origin(file, number, number + 1), "output", "it is empty.", "Fill it in.")


def block(*conversations: Conversation, file: str = "a.jsonl", faults: tuple[RecordError, ...] = ()) -> Done:
    records = len(conversations) + len(faults)
    return Done(file, "alpaca", records, bad=list(faults), probed=Probe()(list(conversations), []))


def test_records_are_kept_or_bad() -> None:
    account = Account()
    account.add(block(talk(0), talk(2), faults=(bad(1),)))
    account.add(block(talk(3), faults=(bad(4), bad(5))))
    account.add(Done("b.jsonl", None, error=DataError("it is broken.")), validation=True)
    first, second = account.files
    assert (first.records, first.kept, first.format, first.validation) == (6, 3, "alpaca", False)
    assert [one.record for one in first.bad] == [1, 4, 5]
    assert next(iter(first.bad)) == Bad(1, 2, "output", "it is empty.", "Fill it in.")
    assert (second.records, second.kept, second.format, second.error) == (0, 0, None, "it is broken.")
    assert second.validation


def test_bad_records_share_their_texts() -> None:
    records = BadRecords()
    for number in range(1000):
        records.add(bad(number))
    records.add(RecordError(Origin("a", 1000), "input", "it is 5.", "Write a text."))
    assert len(records) == 1001
    assert len(records._texts) == 2
    assert list(records)[-1] == Bad(1000, None, "input", "it is 5.", "Write a text.")


def test_records_that_max_length_empties_are_bad() -> None:
    account = Account(16)
    done = block(talk(0), talk(2), faults=(bad(1), bad(3)))
    done.probed.tokens = Tokens(np.array([5, 90], np.int32), np.array([3, 4]), out=[(2, 3, 90)])
    account.add(done)
    assert [one.record for one in account.files[0].bad] == [1, 2, 3]
    fault = list(account.files[0].bad)[1]
    assert fault.reason == "nothing is left to learn from: the row has 90 tokens and is cut to max_length 16."
    assert account.files[0].kept == 1


def test_findings_name_the_first_places() -> None:
    account = Account()
    for start in (0, 3):
        account.add(block(*(talk(number, answer="{{name}}") for number in range(start, start + 3))))
    finding = account.found["unfilled_slots"]
    assert (finding.records, finding.times, len(finding.places)) == (6, 6, 5)
    assert finding.places[3] == Place("a.jsonl", 3, 4, "answer: {{name}}")


def test_copies_in_another_block_and_file_are_found_again() -> None:
    account = Account()
    account.add(block(talk(0), talk(1)))
    account.add(block(talk(2), talk(3, "How are the 1 cats?")))
    account.add(block(talk(0, "How are the 0 cats?", file="b.jsonl"), talk(9, file="b.jsonl"), file="b.jsonl"))
    account.add(block(talk(9, file="v.jsonl"), file="v.jsonl"), validation=True)
    found = {finding.kind: finding for finding in account.related()}
    assert found["copies"] == Finding(
        "copies",
        2,
        2,
        [Place("a.jsonl", 3, 4, "see record 1 (line 2)"), Place("b.jsonl", 0, 1, "see a.jsonl, record 0 (line 1)")],
    )
    assert found["validation_copies"].places == [Place("v.jsonl", 9, 10, "see b.jsonl, record 9 (line 10)")]


def test_tokens_are_added_up_without_validation() -> None:
    account = Account(64)
    for file, places in (("a", [3]), ("a", [1, 2, 3]), ("b", [4, 4]), ("v", [100])):
        done = block(file=file)
        done.probed.tokens = Tokens(np.array([10, 20], np.int32), np.array(places), plain_tokens=5, plain_labels=1)
        account.add(done, validation=file == "v")
    assert account.tokens.places.tolist() == [8, 6, 3]
    assert account.tokens.tokens == 3 * 35
    assert account.tokens.all_labels == 17 + 3
    assert account.lengths().values.tolist() == [10, 10, 10, 20, 20, 20]


def test_lengths_are_characters_without_a_model() -> None:
    account = Account()
    account.add(block(talk(0, "abc", "de"), talk(1, "a", "b")))
    account.add(block(talk(0, "a" * 9, file="v"), file="v"), validation=True)
    assert (account.lengths().unit, account.lengths().values.tolist()) == ("characters", [2, 5])


def test_records_unlike_the_others_in_length_stand_out() -> None:
    account = Account()
    usual = [talk(number, answer="A sentence that is as long as the others are. " * 2) for number in range(60)]
    account.add(block(*usual, talk(60, answer="Yes"), talk(61, answer="word " * 2000)))
    found = {finding.kind: finding for finding in account.outliers()}
    assert found["short_answers"].places == [Place("a.jsonl", 60, 61, "3 characters")]
    assert [place.record for place in found["very_long"].places] == [61]


def test_an_empty_account() -> None:
    account = Account()
    assert not list(account.related()) and not list(account.outliers())
    assert len(account.lengths().values) == 0


def test_a_length_that_nobody_asked_for_refuses_nothing() -> None:
    """Without --max-length the training's own is only assumed: what it leaves nothing of is a finding, not a fault."""
    account = Account(16, strict=False)
    done = block(talk(0), talk(2), faults=(bad(1),))
    done.probed.tokens = Tokens(np.array([5, 90], np.int32), np.array([3, 4]), out=[(2, 3, 90)])
    account.add(done)
    assert [one.record for one in account.files[0].bad] == [1] and account.files[0].kept == 2
    finding = account.found["gone_answers"]
    assert (finding.records, finding.places[0].record, finding.places[0].line) == (1, 2, 3)
    assert "Raise max_length (to 90" in finding.places[0].detail
