"""Curves: SVG that can stand in a page beside others, with numbers as text and colours of the style sheet."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from tunesmith.report.figures import INK, Curve, draw

LINE = [(step, 3.0 / step) for step in range(1, 40)]


def test_a_curve_is_an_element_of_the_page() -> None:
    svg = draw(Curve("loss", LINE, dots=[(0, 3.0), (39, 0.2)], smooth=True))
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg") and root.get("width") is None and root.get("viewBox")
    assert "".join(root.itertext()).split()[:2] == ["0", "10"]  # numbers are text
    for foreign in ("<style", "<metadata", "<?xml", "<!--", "font-family", *INK):
        assert foreign not in svg
    assert {"var(--first)", "var(--second)", "var(--quiet)", "var(--line)"} <= set(re.findall(r"var\(--\w+\)", svg))


def test_two_curves_share_no_name_and_one_is_always_the_same() -> None:
    first, second = (draw(Curve(name, LINE)) for name in ("grad_norm", "learning_rate"))
    names = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert names[0] and not names[0] & names[1]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', first))
    assert used <= names[0]
    assert draw(Curve("grad_norm", LINE)) == first


def test_a_single_value_is_seen() -> None:
    assert "<use" in draw(Curve("loss", [(1, 2.0)]))  # a marker: a line of one point shows nothing
    assert "<use" not in draw(Curve("loss", LINE))
