"""Sample and the small readers of tables: what is held out is a fixed property of the key."""

from __future__ import annotations

from random import Random

from tunesmith.nano.text.turns import Sample, ask, other, table, turns, words


def test_a_share_of_the_keys_is_held_out() -> None:
    held = [ask("t", "q", "a", key=str(number)).held_out for number in range(4000)]
    assert 0.03 < sum(held) / len(held) < 0.07
    assert held == [ask("other", "x", "y", key=str(number)).held_out for number in range(4000)]
    assert not any(Sample("t", turns("q", "a")).held_out for _ in range(3))


def test_turns_alternate() -> None:
    assert [turn["role"] for turn in turns("a", "b", "c")] == ["user", "assistant", "user"]
    assert ask("t", "q", "a").answer == "a"


def test_tables_and_words() -> None:
    assert table("\n    a | b|\n            c;d\n    e|f|\n") == [["a", "b", "c;d"], ["e", "f", ""]]
    assert words("a b") == ["a", "b"]
    assert words("\n  a b\n  c\n") == ["a b", "c"]
    assert {other(Random(seed), "abc", "a") for seed in range(20)} == {"b", "c"}
