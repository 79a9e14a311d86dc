"""The report on the terminal: short when all is well, bad records first, advice with every finding."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from tunesmith.data.check.account import Account
from tunesmith.data.check.diagnosis import Diagnosis, Model
from tunesmith.data.check.measures import Probe
from tunesmith.data.check.report import print_report
from tunesmith.data.check.texts import Hits
from tunesmith.data.check.tokens import STEP, Tokens
from tunesmith.data.flow import Done
from tunesmith.data.types import Conversation, Message, Origin
from tunesmith.errors import DataError, RecordError


def shown(account: Account, model: Model | None = None, width: int = 100) -> str:
    stream = io.StringIO()
    print_report(Diagnosis(account, model), Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


def account(*pairs: tuple[str, str], max_length: int | None = None) -> Account:
    conversations = [
        Conversation((Message("user", question), Message("assistant", answer)), Origin("a.json", number, number + 1))
        for number, (question, answer) in enumerate(pairs)
    ]
    made = Account(max_length)
    made.add(Done("a.json", "alpaca", len(pairs), probed=Probe()(conversations, [])))
    return made


FINE = [(f"What is {n} plus 1?", f"It is {n + 1}.") for n in range(40)]


def with_tokens(lengths: list[int], max_length: int) -> Account:
    made = Account(max_length)
    measures = Probe()([], [])
    places = np.bincount(np.concatenate([np.arange(4, length) // STEP for length in lengths]))
    measures.tokens = Tokens(np.array(lengths, np.int32), places)
    lost = [length - max_length for length in lengths if length > max_length]
    first = [(0, f"{lost[0]} lost")] if lost else []
    measures.hits["cut_answers"] = Hits(len(lost), sum(lost), first)
    measures.record = measures.line = np.zeros(1, np.int64)
    made.add(Done("a.json", "alpaca", len(lengths), probed=measures))
    return made


def test_all_is_well_in_one_screen() -> None:
    text = shown(account(*FINE))
    assert text.startswith("40 records in 1 file: all can be used.\n  a.json: alpaca, 40 records\n")
    assert "Nothing conspicuous was found." in text
    assert "Answers     Latin script 100 %; all different" in text
    assert "Lengths     median 27, 95 % up to 27, longest 27 characters" in text
    assert "--model" in text
    assert len(text.splitlines()) < 16


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_keep_to_the_width_and_end_without_spaces(width: int) -> None:
    made = account(*FINE, ("a", "{{name}}"), ("a", "{{name}}"))
    made.add(
        Done("long name of a file.json", "alpaca", 1, bad=[RecordError(Origin("x", 0), "f", "why " * 30, "Mend.")])
    )
    for line in shown(made, width=width).splitlines():
        assert len(line) <= width
        assert line == line.rstrip()


def test_a_terminal_without_the_signs_gets_others() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_report(Diagnosis(account(*FINE, ("a", "{{name}}"))), Console(file=stream, width=80))
    stream.seek(0)
    assert "24 - 31 ####" in stream.read()


def test_bad_records_come_first_and_together() -> None:
    made = account(*FINE)
    faults = [RecordError(Origin("b.json", n, n + 5), "output", "it is empty.", "Fill it in.") for n in range(9)]
    faults.append(RecordError(Origin("b.json", 9), "input", "it is [5].", "Write a text."))
    made.add(Done("b.json", "alpaca", 10, bad=faults, unlearned=2))
    text = shown(made)
    assert text.startswith("50 records in 2 files: 10 records cannot be used.\n")
    assert "b.json: alpaca, 10 records, 10 bad, 2 not learned from (marked as bad answers)" in text
    assert "✗ b.json, record 0, line 5; record 1, line 6; record 2, line 7 and 6 more, field 'output': it" in text
    assert "✗ b.json, record 9, field 'input': it is [5]. Write a text." in text
    assert text.index("✗") < text.index("Answers")


def test_only_so_many_kinds_of_fault_are_named() -> None:
    made = account(*FINE)
    made.add(Done("b", "x", 30, bad=[RecordError(Origin("b", n), f"f{n}", "r.", "m.") for n in range(30)]))
    assert shown(made).count("✗") == 8
    assert "... and 22 more bad records with other faults; --json names all." in shown(made)


def test_a_broken_file_is_named() -> None:
    made = account(*FINE)
    made.add(Done("b.json", None, error=DataError("b.json, line 3: it is not UTF-8.")))
    text = shown(made)
    assert "1 file cannot be read to the end." in text
    assert "b.json: no known format, 0 records\n  b.json, line 3: it is not UTF-8.\n" in text


def test_a_finding_says_how_many_where_and_what_to_do() -> None:
    text = shown(account(*FINE, ("Who are you?", "I am {{name}}.")))
    assert (
        "! 1 record (2.4 %): slots that were never filled in.\n"
        "  The model learns to say them as they are. Put in what is meant.\n"
        "  record 40, line 41: answer: I am {{name}}.\n"
    ) in text


def test_tokens_and_a_max_length_that_cuts_nothing() -> None:
    text = shown(with_tokens([100] * 10, 1024), Model("m", 1024))
    assert "Tokens      1,000 an epoch, 960 of them learned (96 %)" in text
    assert "max_length  1,024 (as now) cuts nothing. 128 would do." in text


def test_a_max_length_that_cuts_nothing_is_not_lowered_for_a_few() -> None:
    text = " ".join(shown(with_tokens([200] * 1000 + [1000], 1024), Model("m", 1024)).split())
    assert "max_length 1,024 (as now) cuts nothing. 256 cuts 1 row and loses 0.4 % of the label tokens." in text


def test_cut_answers_and_a_better_max_length() -> None:
    text = shown(with_tokens([200] * 9 + [300], 256), Model("m", 256))
    assert "! 1 record (10 %): answers that max_length cuts (256): 44 label tokens (2.1 %) lost." in text
    assert "max_length  256 (as now) cuts 1 row. Proposed: 320, which cuts nothing." in text


def test_plain_texts_have_no_length_to_propose() -> None:
    made = Account(64)
    measures = Probe()([], [])
    measures.tokens = Tokens(np.zeros(0, np.int32), np.zeros(0, np.int64), plain_tokens=900, plain_labels=899)
    made.add(Done("a.txt", "text", 3, probed=measures))
    text = shown(made, Model("m", 64))
    assert "Tokens      900 an epoch, 899 of them learned (99.9 %)" in text
    assert "plain texts are cut into rows of max_length tokens and lose nothing" in text
    assert "max_length  " not in text


def test_a_model_that_sees_too_little() -> None:
    text = shown(with_tokens([200] * 9 + [300], 512), Model("m", 512, 256))
    assert "! 1 record (10 %): rows longer than the model was made for (256 tokens)." in text
    assert "Proposed: 256, which cuts 1 row and loses 2.1 % of the label tokens. The model sees no more than 256" in (
        " ".join(text.split())
    )
