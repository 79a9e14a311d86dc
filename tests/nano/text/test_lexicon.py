"""The word lists: whole rows, no word with two meanings in one column."""

from __future__ import annotations

from tunesmith.nano.text import lexicon


def test_rows_are_whole() -> None:
    for rows, width in ((lexicon.NOUNS, 4), (lexicon.OPPOSITES, 4), (lexicon.CAPITALS, 4), (lexicon.COLOURS, 4),
                        (lexicon.ANIMALS, 5), (lexicon.VERBS, 2)):  # fmt: skip
        assert all(len(row) == width and all(row[:2]) for row in rows)
    assert {noun[3] for noun in lexicon.NOUNS} == {*lexicon.KINDS, ""}


def test_translations_are_unambiguous() -> None:
    pairs = {(row[0], row[1]) for row in lexicon.NOUNS + lexicon.VERBS + lexicon.OPPOSITES}
    assert len({zh for zh, _ in pairs}) == len({en for _, en in pairs}) == len(pairs)


def test_the_calendar_is_whole() -> None:
    for names, number in ((lexicon.DAYS, 7), (lexicon.MONTHS, 12), (lexicon.SEASONS, 4)):
        assert all(len(found) == number for found in names.values())
