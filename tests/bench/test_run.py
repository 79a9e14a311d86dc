"""Which cases are measured, and when nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tunesmith.bench.figures import Case, Failure, Measured
from tunesmith.bench.lineup import LADDER, OWN, PLAIN, SIDES
from tunesmith.bench.measure import Bench, Terms
from tunesmith.bench.run import DEFAULT, Outputs, bench, cases
from tunesmith.errors import ConfigError, RunError

from .conftest import measured

TERMS = Terms(repeats=1, threads=1, device="cpu")


def test_cases() -> None:
    assert cases(None, None) == list(DEFAULT)
    assert cases(["pairs", "long"], None) == [("pairs", "nano"), ("long", "nano")]
    assert cases(None, ["100m"])[0] == ("advert", "100m") and len(cases(None, ["100m"])) == 4
    with pytest.raises(ConfigError, match="--dataset 'pair'; did you mean 'pairs'"):
        cases(["pair"], None)
    with pytest.raises(ConfigError, match="--size '7b'"):
        cases(None, ["7b"])


@pytest.fixture
def losses(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, float | None]:
    """The mean loss that each side comes to; None fails. Nothing is run."""
    told: dict[str, float | None] = {}

    def one(self: Bench, case: Case, models: Any, side: Any) -> Measured | Failure:
        loss = told.get(side.name, 2.0)
        return Failure("no paper", ["some line"]) if loss is None else measured(case, 1.0, loss)

    monkeypatch.setattr(Bench, "prepare", lambda *_: (case, {}))
    monkeypatch.setattr(Bench, "_measure", one)
    return told


def outputs(folder: Path) -> Outputs:
    return Outputs("tunesmith bench", folder / "raw.json", folder / "page.md", folder / "plot.png")


def test_all_that_is_asked_for_is_written(losses: dict[str, float | None], tmp_path: Path) -> None:
    losses["trl"] = None
    bench([("pairs", "nano")], SIDES, TERMS, outputs(tmp_path), Console(quiet=True))
    page, raw = (tmp_path / "page.md").read_text(), json.loads((tmp_path / "raw.json").read_text())
    assert "### pairs x nano" in page and "trl failed: no paper" in page and "(plot.png)" in page
    (found,) = raw["cases"]
    assert found["sides"][OWN][0]["steps"][1]["processor_seconds"] == 0.5 and found["mean_losses"][PLAIN] == 2.0
    assert found["sides"]["trl"][0]["reason"] == "no paper" and (tmp_path / "plot.png").stat().st_size > 1000


@pytest.mark.parametrize(("side", "loss", "reason"), [(OWN, 2.1, "not that of the plain"), (PLAIN, None, "some line")])
def test_no_page_without_a_comparison(
    losses: dict[str, float | None], tmp_path: Path, side: str, loss: float | None, reason: str
) -> None:
    losses[side] = loss
    with pytest.raises(RunError, match=reason):
        bench([("pairs", "nano")], SIDES, TERMS, outputs(tmp_path), Console(quiet=True))
    assert not (tmp_path / "page.md").exists() and (tmp_path / "raw.json").is_file()


@pytest.mark.usefixtures("losses")
def test_the_ablation_has_its_own_section(tmp_path: Path) -> None:
    for sides, ladder in ((SIDES, False), (LADDER, True)):
        bench([("pairs", "nano")], sides, TERMS, outputs(tmp_path), Console(quiet=True), ladder)
    page = (tmp_path / "page.md").read_text()
    assert page.index("tunesmith bench: end") < page.index("tunesmith bench --ablation: begin")
    assert "+ shared prefixes" in page
