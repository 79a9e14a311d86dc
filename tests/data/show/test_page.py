"""The page: nothing of a record becomes markup, nothing comes from the network, and no other file is written over."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tunesmith.data.chat import RenderOptions
from tunesmith.data.chats import MarkerChat
from tunesmith.data.show.page import GENERATOR, Page, check, write
from tunesmith.data.show.proof import Proof
from tunesmith.data.show.rows import Microscope, View
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, Message, Origin
from tunesmith.errors import ConfigError, MachineError, RecordError

MINICPM = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b")
WHOLE = RenderOptions()
EVIL = "<script>alert(1)</script> <img src=x onerror=alert(1)> \"'&amp; </style> <!-- \u202e\x1b 你好  x\n\ty 👍🏽"
VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """Collects the elements, the attributes and the texts of each token of a row."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.rows: list[str] = []
        self.depth = 0
        self.skip = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        if tag in VOID:
            return
        self.open.append(tag)
        if found.get("class") == "row":
            self.rows.append("")
            self.depth = len(self.open)
        if found.get("class") == "by":
            self.skip = len(self.open)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open[-3:]}"
        self.open.pop()
        self.depth = self.depth if len(self.open) >= self.depth else 0
        self.skip = self.skip if len(self.open) >= self.skip else 0

    def handle_data(self, data: str) -> None:
        if self.depth and not self.skip:
            self.rows[-1] += data


def talk(*contents: str, record: int = 0) -> Conversation:
    roles = ("user", "assistant")
    turns = tuple(Message(roles[number % 2], content) for number, content in enumerate(contents))
    return Conversation(turns, Origin("<b>data</b>.json", record, 2))


def look(*contents: str, record: int = 0, options: RenderOptions = WHOLE) -> View:
    return Microscope(MarkerChat(), MINICPM, options).look(talk(*contents, record=record))


def page(*views: View) -> Page:
    return Page("<b>data</b>.json", "a<model>", "messages", "minicpm", RenderOptions(), list(views))


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_records_are_text_and_never_markup() -> None:
    bad = View(1, Origin("a.json", 1), error=RecordError(Origin("a.json", 1), EVIL, EVIL, EVIL))
    refused = replace(look("q", "a", record=2), proofs=[Proof(1, 1, 3, "refused", reason=EVIL)])
    text = "".join(page(look(EVIL, EVIL, "x", EVIL), bad, refused).html())
    reader = read(text)
    names = [tag for tag, _ in reader.tags]
    assert names.count("script") == 1 and names.count("style") == 1 and "img" not in names
    assert not any(name.startswith("on") or name in ("style", "src") for _, found in reader.tags for name in found)
    assert all(found["href"].startswith("#record-") for _, found in reader.tags if "href" in found)
    assert "\u202e" not in text and "\x1b" not in text
    said = EVIL.replace("\u202e", "U+202E").replace("\x1b", "U+001B")
    assert reader.rows[0].count(said) == 3  # copying gives the text itself: marks are in the style sheet alone


def test_policy_allows_our_style_and_script_and_nothing_else() -> None:
    text = "".join(page(look("你好", "你好！")).html())
    policy = next(found["content"] for tag, found in read(text).tags if found.get("http-equiv"))
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    for tag in ("style", "script"):
        content = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"https?://|//cdn|@import|url\(", text)


def test_tokens_carry_their_facts() -> None:
    view = look("你好", "👍🏽", "x", "y")
    tokens = [found for tag, found in read("".join(page(view).html())).tags if "data-i" in found]
    assert [found["data-i"] for found in tokens] == [" ".join(map(str, item.ids)) for item in view.rows[0].shown]
    assert all(found["class"].startswith("t ") and found["tabindex"] == "-1" for found in tokens)
    emoji = next(found for found in tokens if found["data-n"].startswith("<0xF0>"))
    assert emoji["data-n"] == "<0xF0> <0x9F> <0x8F> <0xBD>" and emoji["data-l"] == emoji["data-i"]
    taught = next(found for found in tokens if "data-t" in found)
    assert (taught["data-t"], taught["data-l"], taught["class"]) == ("</s>", "2", "t prompt")


def test_what_the_page_says() -> None:
    cut = look("你好", "你好！" * 9, record=1, options=RenderOptions(max_length=20))
    bad = look("你好", "你好！", record=2, options=RenderOptions(max_length=5))
    text = "".join(replace(page(look("你好", "你好！"), cut, bad), more=True).html())
    for words in ("are exactly what chat sends", "完全一致", "This record cannot be used", "这条数据无法使用"):
        assert words in text
    for words in ("of them to learn", "本要学习", "Raise max_length", "The file has more", "文件中还有更多"):
        assert words in text
    assert text.count('<li class="yes">') == 3 and '<a href="#record-2" class="bad">' in text


@pytest.mark.parametrize("fault", ["differs", "ends early", "ends late"])
def test_proofs_that_fail(fault: str) -> None:
    view = replace(look("你好", "你好！"), proofs=[Proof(1, 1, 7, fault, 3, 2, None)])  # type: ignore[arg-type]
    text = "".join(page(view).html())
    assert '<li class="no">' in text and "2 &#x27;&lt;/s&gt;&#x27;" in text


def test_it_is_written_whole_and_over_its_like_only(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    write(target, page(look("你好", "你好！")))
    first = target.read_text(encoding="utf-8")
    assert first.endswith("</html>\n") and f'content="{GENERATOR}"' in first
    write(target, page(look("你好", "再短一点")))
    assert target.read_text(encoding="utf-8") != first
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    other = tmp_path / "thesis.html"
    other.write_text("<p>years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match="--overwrite"):
        write(other, page(look("你好", "你好！")))
    assert other.read_text(encoding="utf-8") == "<p>years of work"
    write(other, page(look("你好", "你好！")), overwrite=True)
    assert "</html>" in other.read_text(encoding="utf-8")


def test_places_where_it_cannot_be(tmp_path: Path) -> None:
    data = tmp_path / "a.json"
    data.write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match="the data file itself"):
        check(data, str(data), overwrite=True)
    with pytest.raises(ConfigError, match="is a folder"):
        check(tmp_path, str(data), overwrite=True)
    with pytest.raises(ConfigError, match="does not exist"):
        check(tmp_path / "no" / "page.html", str(data), overwrite=False)


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / ".page.html.partial").mkdir()
    with pytest.raises(MachineError, match="cannot be written"):
        write(tmp_path / "page.html", page(look("你好", "你好！")))
