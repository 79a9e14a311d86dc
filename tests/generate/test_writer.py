"""Tokens in, text out: whole characters, no markers, the right end."""

from __future__ import annotations

import pytest

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.generate.writer import UNFINISHED, Writer

MARKERS = ("<用户>", "<AI>")


def written(
    tokenizer: TextTokenizer, ids: list[int], stop_texts: tuple[str, ...] = MARKERS
) -> tuple[list[str], Writer]:
    """Push all ids, then finish; return the pieces that appeared and the writer."""
    writer = Writer(tokenizer, [tokenizer.eos_id or 0], stop_texts)
    return [*(writer.push(token) for token in ids), writer.finish()], writer


@pytest.mark.parametrize(
    "text",
    [
        "你好，很高兴见到你。",
        "Two plus three is five.",
        " leading  spaces ",
        "罕见字：龘靐，🙂🙂。",
        "a\n\n\tb",
        "x<y and <b>",
        "<AI",
        "",
    ],
)
def test_the_pieces_make_the_text_and_no_character_is_ever_cut(tiny_tokenizer: TextTokenizer, text: str) -> None:
    ids = tiny_tokenizer.encode(text)
    pieces, writer = written(tiny_tokenizer, ids)
    assert "".join(pieces) == writer.text == text == tiny_tokenizer.decode(ids)
    assert UNFINISHED not in writer.text
    assert writer.stopped == "length"
    assert writer.tokens == len(ids)


def test_a_stop_token_ends_the_answer(tiny_tokenizer: TextTokenizer) -> None:
    ids = [*tiny_tokenizer.encode("你好"), tiny_tokenizer.eos_id, *tiny_tokenizer.encode("more")]
    _, writer = written(tiny_tokenizer, ids)
    assert (writer.text, writer.stopped) == ("你好", "stop")
    assert writer.tokens == len(tiny_tokenizer.encode("你好")) + 1


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("before", ["好的。", "", "1 < 2 <", "<", "<AI<用"])
def test_a_marker_ends_the_answer_and_no_part_of_it_appears(
    tiny_tokenizer: TextTokenizer, before: str, marker: str
) -> None:
    pieces, writer = written(tiny_tokenizer, tiny_tokenizer.encode(f"{before}{marker}下一个问题"))
    assert "".join(pieces) == writer.text == before
    assert writer.stopped == "stop"


def test_text_that_only_begins_like_a_marker_is_held_back_and_then_shown(tiny_tokenizer: TextTokenizer) -> None:
    pieces, writer = written(tiny_tokenizer, tiny_tokenizer.encode("a <b"))
    assert all("<" not in piece or piece.endswith("<b") for piece in pieces)
    assert writer.text == "a <b"


def test_a_character_that_never_gets_its_last_bytes_is_left_out(tiny_tokenizer: TextTokenizer) -> None:
    ids = [*tiny_tokenizer.encode("好"), *(tiny_tokenizer.id(f"<0x{byte:02X}>") for byte in "龘".encode()[:2])]
    for tail in ([], [tiny_tokenizer.eos_id]):
        pieces, writer = written(tiny_tokenizer, [*ids, *tail])
        assert "".join(pieces) == writer.text == "好"


def test_bytes_that_are_no_character_are_not_hidden(tiny_tokenizer: TextTokenizer) -> None:
    ids = [tiny_tokenizer.id("<0xE4>"), *tiny_tokenizer.encode("好")[1:], *tiny_tokenizer.encode("好")]
    _, writer = written(tiny_tokenizer, ids)
    assert "好" in writer.text


def test_special_tokens_are_left_out_unless_people_may_write_them(tiny_tokenizer: TextTokenizer) -> None:
    ids = [*tiny_tokenizer.encode("好"), 0, *tiny_tokenizer.encode(" 的"), 0]
    shown = Writer(tiny_tokenizer, [tiny_tokenizer.eos_id or 0], MARKERS, {0: "<box>"})
    pieces = [*(shown.push(token) for token in ids), shown.finish()]
    assert "".join(pieces) == shown.text
    assert shown.text.startswith("好<box>") and shown.text.endswith("的<box>")
    assert "<" not in written(tiny_tokenizer, ids)[1].text
