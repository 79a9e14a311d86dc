"""The page: no network, no script, both languages without JavaScript; files of others are not written over."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.report.facts import Facts
from tunesmith.report.measured import Measured
from tunesmith.report.page import Card, check, write

EVIL = "<script>alert(1)</script>"
NOTHING = Measured(missing="It was not asked.")


class Reader(HTMLParser):
    """Collects the elements of a page, and checks that each is closed in turn."""

    EMPTY = ("meta", "input", "img", "br", "path", "use")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def card(facts: Facts, **more: object) -> Card:
    return Card(facts, NOTHING, NOTHING, NOTHING, 128, [str(facts.folder)], **more)  # type: ignore[arg-type]


def test_the_page_needs_no_network_and_no_script(facts: Facts) -> None:
    evil = replace(facts, folder=Path(f"runs/{EVIL}"), config=facts.config.model_copy(update={"model": EVIL}))
    html = "".join(card(evil).html())
    page = Reader(html)
    assert not {"script", "link", "iframe", "object", "form"} & {tag for tag, _ in page.found}
    for _, attributes in page.found:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "://" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", html)
    policy = next(a["content"] for tag, a in page.found if tag == "meta" and a.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None and policy is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"style-src-elem 'sha256-{digest}'" in policy


def test_both_languages_and_which_is_shown_first(facts: Facts) -> None:
    html = "".join(card(facts, language="zh").html())
    radios = {a["id"]: "checked" in a for tag, a in Reader(html).found if tag == "input"}
    assert radios == {"en": False, "zh": True}
    assert "#en:checked ~ * .zh, #zh:checked ~ * .en { display: none; }" in html
    counts = [
        len(re.findall(f'<span class="{name}" lang="{tag}">', html)) for name, tag in (("en", "en"), ("zh", "zh-CN"))
    ]
    assert counts[0] == counts[1] > 50


def test_the_figures_at_the_top(facts: Facts) -> None:
    lines = [{"step": 0, "eval_loss": 7.434}, {"step": 2, "eval_loss": 0.5}, {"step": 4, "eval_loss": 0.75}]
    html = "".join(card(replace(facts, lines=lines)).html())
    assert "<dd>7.43 → 0.5<small>" in html  # the best one is the result
    assert "Answers exactly right" not in html  # not measured


def test_files_of_others_are_left_alone(tmp_path: Path, facts: Facts) -> None:
    target = tmp_path / "card.html"
    write(target, card(facts))
    write(target, card(facts, language="zh"))  # a card may be replaced
    target.write_text("<html>my thesis</html>")
    with pytest.raises(ConfigError, match="is no report card"):
        write(target, card(facts))
    with pytest.raises(ConfigError, match="is a folder"):
        check(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        check(tmp_path / "nowhere" / "card.html")


def test_a_page_that_breaks_off_leaves_no_file(tmp_path: Path, facts: Facts) -> None:
    broken = replace(
        facts, lines=[{"step": 1, "loss": 1.0, "learning_rate": 1.0, "seconds": 1.0}], data={"files": [{}]}
    )
    with pytest.raises(KeyError):
        write(tmp_path / "card.html", card(broken))
    assert list(tmp_path.iterdir()) == []
