"""The loss curve is drawn from metrics.jsonl alone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from PIL import Image

from tunesmith.runs import RunFolder
from tunesmith.training.plot import draw_loss, smoothed


def test_curve_is_drawn(tmp_path: Path) -> None:
    lines = [{"step": n, "loss": 3 * math.exp(-n / 20), "learning_rate": 1e-3 * n / 60} for n in range(1, 60)]
    lines += [{"step": n, "eval_loss": 3.2 * math.exp(-n / 25)} for n in (0, 20, 40)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    png, svg = draw_loss(RunFolder(tmp_path))
    picture = Image.open(png).convert("RGB")
    assert picture.size == (1200, 675)
    colours = {colour for _, colour in picture.getcolors(2**20)}
    assert (37, 99, 235) in colours and (234, 88, 12) in colours  # training and validation
    assert svg.read_text().count("<path") > 10


def test_nothing_logged_draws_nothing(tmp_path: Path) -> None:
    assert draw_loss(RunFolder(tmp_path)) == [] and list(tmp_path.iterdir()) == []


def test_smoothing_is_an_average() -> None:
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smoothed([1.0, 3.0], weight=0.5) == pytest.approx([1.0, 7 / 3])
