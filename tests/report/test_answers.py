"""The sections that come from asking: figures in a table, answers beside each other, pictures inline; all escaped."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tunesmith.eval.compare import Difference, Interval
from tunesmith.eval.measure import Measure
from tunesmith.eval.report import Line
from tunesmith.report.answers import SHOWN, change, forgotten, judged
from tunesmith.report.measured import Measured

EVIL = "<script>alert(1)</script>"


def line(name: str, after: float, before: float, low: float = -1.0) -> Line:
    measure = Measure(name, np.ones((3, 2)), percent=name == "exact", about=f"what {name} is")
    gap = Difference(Interval(after - before, low, 2.0), 0.5)
    return Line("answer", measure, (Interval(after, 0.0, 1.0), Interval(before, 0.0, 1.0)), (gap,))


def row(number: int = 0, **more: Any) -> dict[str, Any]:
    after = {"answer": f"right {number}", "stopped": "stop", "metrics": {"exact": 1.0}}
    before = {"answer": f"wrong {EVIL}", "stopped": "length", "metrics": {"exact": 0.0}}
    prompt = [{"role": "system", "content": EVIL}, {"role": "user", "content": f"<image0> Who {EVIL}?"}]
    place = {"file": f"{EVIL}.json", "record": number}
    return {**place, "prompt": prompt, "expected": f"right {EVIL}", "models": [after, before], **more}


def test_figures_and_answers_side_by_side() -> None:
    lines = [line("loss", 0.5, 2.0), line("exact", 0.9, 0.1, low=0.2), line("rouge1", 1.0, 1.0)]
    found = Measured(lines, [row(number) for number in range(SHOWN + 2)], ["A note."], whole=40)
    html = "".join(judged(found, 128, []))
    assert EVIL not in html and "&lt;script&gt;" in html
    assert "Asked: 10 of the 40 records that the run held out" in html and "at most 128 tokens" in html
    assert html.index("10.0 %") < html.index("90.0 %") and "<b>+80.0 %" in html and "<b>−1.5" not in html
    assert "rouge1" not in html and "what exact is" in html and "A note." in html
    assert html.count("<article>") == SHOWN + 2 and "The other 2 answers" in html
    assert html.count("cut at the limit") == SHOWN + 2  # each answer of the base
    assert html.index("wrong") < html.index("right 0") and "✓" in html and "✗" in html
    given = "".join(judged(found, 128, ["a.json", f"{EVIL}.json"]))
    assert "of a.json, &lt;script&gt;" in given and EVIL not in given


def test_without_a_base_there_is_only_the_result() -> None:
    lines = [replace(line("exact", 0.9, 0.1), models=(Interval(0.9, 0.8, 1.0),), differences=())]
    alone = row(models=[row()["models"][0]])
    html = "".join(judged(Measured(lines, [alone], ["There is no 'before': gone."], 1), 128, []))
    assert "Before</span></h4>" not in html and "After</span>" in html and "gone" in html
    assert change(Measured(lines), "exact", percent=True) == "90 %"
    assert change(Measured([line("loss", 0.5, math.nan)]), "loss") == "– → 0.5"
    assert change(Measured(), "loss") == ""


def test_what_is_missing_says_why() -> None:
    missing = Measured(missing=f"No result {EVIL}.")
    for html in ("".join(judged(missing, 128, [])), "".join(forgotten(missing, missing))):
        assert "Not measured" in html and "No result &lt;script&gt;" in html and "<table" not in html


def test_what_was_forgotten() -> None:
    questions = Measured([line("loss", 3.0, 2.0), line("bleu", 1.0, 2.0)], [row()], whole=1)
    html = "".join(forgotten(questions, Measured([line("loss", 5.0, 4.0), line("perplexity", 9.0, 8.0)])))
    assert "loss of the reference answers" in html and "perplexity of the text" in html and "BLEU" not in html
    assert "1 of 1 answers changed" in html and EVIL not in html


def test_pictures_stand_inline_and_small(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 500), "red").save(tmp_path / "red.png")
    images = {"<image0>": str(tmp_path / "red.png"), "<image1>": f"{tmp_path}/{EVIL}.png"}
    html = "".join(judged(Measured([], [row(images=images)], whole=1), 128, []))
    assert EVIL not in html and "cannot be shown" in html
    assert "image0" not in html  # the picture itself stands in its place
    content = re.search(r'src="data:image/png;base64,([^"]+)" alt="" width="320" height="160"', html)
    assert content is not None
    with Image.open(io.BytesIO(base64.b64decode(content[1]))) as picture:
        assert picture.size == (320, 160)
