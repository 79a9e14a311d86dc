"""Tables: ratios to plain, failures and other losses named, and the words around them."""

from __future__ import annotations

import pytest
from rich.console import Console

from tunesmith.bench.figures import Case, Failure, Measured, figures
from tunesmith.bench.lineup import LADDER, OWN, PLAIN, SIDES
from tunesmith.bench.report import (
    HEADER,
    STEPS_HEADER,
    Compared,
    about,
    cells,
    conclusions,
    ladder_cells,
    markdown,
    table,
    warnings,
)

from .conftest import measured


@pytest.fixture
def compared(case: Case) -> Compared:
    results: dict[str, list[Measured | Failure]] = {side.name: [measured(case, 1.0)] for side in SIDES}
    results[OWN] = [measured(case, 0.1, peak=2**18), measured(case, 0.2, peak=2**18)]
    results["trl"] = [measured(case, 0.5, loss=3.0)]
    results["llamafactory"] = [Failure("no such | thing")]
    return Compared(case, results, figures(case, SIDES, results))


def test_rows_of_the_table(compared: Compared) -> None:
    rows = {row[0]: row for row in cells(compared)}
    assert all(len(row) == len(HEADER) for row in rows.values())
    assert rows[PLAIN][1:4] == ["3.00", "1.00", "1.00"]
    assert rows[OWN][1] == "22.50 (15.00 to 30.00)" and rows[OWN][2] == "7.50" and rows[OWN][6] == "0.25"
    assert set(rows["llamafactory"][1:]) == {"failed"}
    assert [row[1] for row in cells(compared, spread=False)][-1] == "22.50"


def test_what_is_said(compared: Compared) -> None:
    said = warnings(compared)
    assert said[0] == "llamafactory failed: no such | thing"
    assert said[1].startswith("trl has another mean loss") and len(said) == 2
    found = conclusions(compared)
    assert "at most 0.0e+00" in found[0]
    assert "7.50 times the samples/s (6.67 by processor time), 0.25 of the peak memory" in found[1]
    assert len(found) == 2  # no peer is left that could be the best
    text = about(compared, "some pairs", 2)
    assert "some pairs" in text and "the first 1 not counted; 2 repeats" in text and "batches of 3" in text


def test_the_best_peer_is_the_fastest_with_the_same_loss(case: Case) -> None:
    results = {side.name: [measured(case, 0.8 if side.name == "llamafactory" else 1.0)] for side in SIDES}
    said = conclusions(Compared(case, results, figures(case, SIDES, results)))
    assert "best peer (llamafactory): 0.80 times" in said[-1]


def test_rungs_are_compared_with_the_first(case: Case) -> None:
    results = {side.name: [measured(case, 1 / (number + 1))] for number, side in enumerate(LADDER)}
    rows = ladder_cells(Compared(case, results, figures(case, LADDER, results)))
    assert all(len(row) == len(STEPS_HEADER) for row in rows)
    assert [row[3] for row in rows] == [f"{number + 1:.2f}" for number in range(len(LADDER))]


def test_both_forms_of_a_table() -> None:
    lines = markdown(("", "b"), [["x", "a | b"]])
    assert lines == ["|  | b |", "| --- | --- |", "| x | a \\| b |"]
    screen = Console(width=80, record=True)
    row = ["plain, less padding", "1.00", "1.00", "1.00", "2.0", "10,000", "1.00", "11.78862"]
    screen.print(table("a case", HEADER, [row]))
    text = screen.export_text()
    assert "a case" in text and all(cell in text for cell in row[1:])  # nothing is cut on a narrow terminal
