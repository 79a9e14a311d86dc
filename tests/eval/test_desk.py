"""What is done is kept, whatever happens next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.eval.desk import Desk


def test_results_are_known_the_next_time(desk: Callable[[str], Desk]) -> None:
    with desk("answer").journal("rows", {"seed": 0}) as journal:
        assert journal.known == {}
        journal.add({3: {"answer": "好\nI"}, 1: {"answer": ""}})
        journal.add({2: {"answer": "\ud800"}})  # half a character
    with desk("answer").journal("rows", {"seed": 0}) as journal:
        assert journal.known == {1: {"answer": ""}, 2: {"answer": "\ud800"}, 3: {"answer": "好\nI"}}


@pytest.mark.parametrize("torn", [b'{"row": 7, "ans', b'{"row": 7, "answer": "whole, but without its end"}', b"\xff\n"])
def test_a_torn_line_is_cut_away(desk: Callable[[str], Desk], tmp_path: Path, torn: bytes) -> None:
    with desk("answer").journal("rows") as journal:
        journal.add({0: {"answer": "a"}})
    with journal.path.open("ab") as stream:
        stream.write(torn)
    with desk("answer").journal("rows") as journal:
        assert journal.known == {0: {"answer": "a"}}
        journal.add({1: {"answer": "b"}})
    with desk("answer").journal("rows") as journal:
        assert set(journal.known) == {0, 1}


def test_other_rows_settings_tasks_and_models_have_their_own(desk: Callable[[str], Desk], tmp_path: Path) -> None:
    other = Desk(tmp_path / "answers", "another model", "answer")
    for here, what in ((desk("answer"), "rows"), (desk("answer"), "others"), (desk("choice"), "rows"), (other, "rows")):
        with here.journal(what) as journal:
            assert not journal.known
            journal.add({0: {}})
    assert len(list((tmp_path / "answers").iterdir())) == 4


def test_two_at_once_are_refused(desk: Callable[[str], Desk]) -> None:
    with desk("answer").journal("rows"), pytest.raises(ConfigError, match="written by another process"):  # noqa: SIM117
        with desk("answer").journal("rows"):
            pass
