"""The table of answers: aligned in both languages, and of rows that differ."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from tunesmith.nano.before_after import SHOWN, Row, chosen, summary, table


def rows() -> list[Row]:
    """Rows in two languages, right and wrong, long and short."""
    made: list[Any] = [
        (
            f"顾客留言：第{n}个耳机坏了，怎么办才好呢？\n应该转给哪个部门？",
            "质量",
            "我是一个很小的语言模型。" * n,
            "质量",
        )
        for n in range(1, 9)
    ]
    made += [(f"Who are you, number {n}?", f"I am {n % 3}.", "I do not know. " * n, f"I am {n % 4}.") for n in range(9)]
    return [Row(*row) for row in made]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_is_aligned_in_both_languages(width: int) -> None:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(table(rows()))
    lines = [line for line in capture.get().splitlines() if "✓" in line or "✗" in line]
    assert len(lines) == SHOWN
    assert len({cell_len(line[: line.find("✓") if "✓" in line else line.find("✗")]) for line in lines}) == 1
    assert all(cell_len(line) <= width for line in lines)
    assert any("right: I am" in line for line in lines) or width < 120


def test_the_chosen_rows_show_every_right_answer() -> None:
    assert {row.expected for row in chosen(rows(), 4)} == {"质量", "I am 0.", "I am 1.", "I am 2."}
    assert len(chosen(rows())) == SHOWN


def test_the_summary_counts() -> None:
    report = {"questions": 40, "match_before": 0.05, "match_after": 0.9, "loss_first": 5.123, "loss_last": 0.04}
    assert summary({**report, "seconds": 61.4}).splitlines() == [
        "Right answers: 2 of 40 before, 36 of 40 after training.",
        "Loss: 5.12 at the first step, 0.04 at the last. The whole demo took 61 s.",
    ]
