"""A section of a page is rewritten in place; what stands around it stays."""

from __future__ import annotations

from pathlib import Path

from tunesmith.bench.section import peak_bytes, where, write


def test_a_section_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write(page, "one", ["first", ""])
    write(page, "two", ["other", ""])
    page.write_text("before\n" + page.read_text() + "after\n")
    write(page, "one", ["second", ""])
    text = page.read_text()
    assert text.startswith("before\n<!-- one: begin -->\nsecond\n<!-- one: end -->")
    assert "first" not in text and "<!-- two: begin -->\nother\n<!-- two: end -->" in text and text.endswith("after\n")


def test_where_it_was_measured() -> None:
    line = where(("torch",), "threads: 1", 0.5, "tunesmith bench", "a GPU")
    assert "a GPU;" in line and "torch 2." in line and line.endswith("0.5. Command: `tunesmith bench`.")


def test_the_peak_is_more_than_python_alone() -> None:
    assert peak_bytes() > 50 * 2**20
