"""Pieces: a character spread over several tokens is shown once, with its tokens; nothing is lost or invented."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tunesmith.data.show.pieces import BYTE_ALPHABET, Glyph, Pieces, decoder_steps
from tunesmith.data.tokenizer import TextTokenizer

MINICPM = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b")


CHARACTERS = {byte: character for character, byte in BYTE_ALPHABET.items()}


def byte_level() -> TextTokenizer:
    """A byte-level vocabulary of single bytes, and one token of which holds the end of one character and another."""
    vocab = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merged = CHARACTERS[0xA0] + CHARACTERS[0xE5]  # "你" is E4 BD A0 and "好" E5 A5 BD
    backend = Tokenizer(models.BPE({**vocab, merged: len(vocab)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<s>", normalized=False)])
    backend.add_tokens([AddedToken("甲", normalized=False)])
    return TextTokenizer(backend, {"bos_token": "<s>"})


BYTES = byte_level()


def texts(pieces: Pieces, ids: list[int], cuts: tuple[int, ...] = ()) -> list[str]:
    return [glyph.text for glyph in pieces.glyphs(ids, cuts)]


def of_bytes(*numbers: int) -> list[int]:
    """The ids of single bytes in MiniCPM's vocabulary."""
    found = [MINICPM.id(f"<0x{number:02X}>") for number in numbers]
    assert None not in found
    return [number for number in found if number is not None]


def bytes_of(*numbers: int) -> list[int]:
    """The ids of single bytes in the byte-level vocabulary."""
    found = [BYTES.id(CHARACTERS[number]) for number in numbers]
    return [number for number in found if number is not None]


def test_byte_fallback_characters_are_one_glyph() -> None:
    pieces, ids = Pieces(MINICPM), MINICPM.encode("👍🏽")
    glyphs = pieces.glyphs(ids)
    assert "".join(glyph.text for glyph in glyphs).strip() == "👍🏽"
    assert glyphs[-1].text == "🏽" and glyphs[-1].end - glyphs[-1].start == 4
    assert [pieces.name(number) for number in ids[glyphs[-1].start :]] == ["<0xF0>", "<0x9F>", "<0x8F>", "<0xBD>"]


def test_spaces_are_spaces() -> None:
    pieces = Pieces(MINICPM)
    assert "".join(texts(pieces, MINICPM.encode("你好 a  b"))) == " 你好 a  b"  # this tokenizer puts one in front
    assert pieces.raw(1) == b"<s>" and 1 in pieces.specials


@pytest.mark.parametrize("tokenizer", [MINICPM, BYTES], ids=["byte fallback", "byte level"])
@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet="你好ab 龘𠮷😀\n\té甲<s>", max_size=12))
def test_glyphs_are_the_text(tokenizer: TextTokenizer, text: str) -> None:
    pieces, ids = Pieces(tokenizer), tokenizer.encode(text)
    glyphs = pieces.glyphs(ids)
    assert [glyph.start for glyph in glyphs[1:]] == [glyph.end for glyph in glyphs[:-1]]
    assert sum(glyph.end - glyph.start for glyph in glyphs) == len(ids)
    joined = "".join(glyph.text for glyph in glyphs)
    if "<s>" not in text and tokenizer.unk_id not in ids:
        assert joined in (text, f" {text}")  # MiniCPM's puts a space in front


def test_byte_level_tokens_that_hold_parts_of_two_characters() -> None:
    assert {CHARACTERS[byte] for byte in range(256)} == set(pre_tokenizers.ByteLevel.alphabet())
    pieces = Pieces(BYTES)
    first, middle, last = bytes_of(0xE4, 0xBD), BYTES.id(CHARACTERS[0xA0] + CHARACTERS[0xE5]), bytes_of(0xA5, 0xBD)
    assert middle is not None
    assert pieces.glyphs([*first, middle, *last]) == [Glyph(0, 5, "你好")]
    assert pieces.glyphs([*first, *BYTES.encode("好")]) == [Glyph(0, 2, "<E4 BD>", True), Glyph(2, 5, "好")]
    assert [(glyph.text, glyph.end - glyph.start) for glyph in pieces.glyphs(BYTES.encode("你好"))] == [
        ("你", 3),
        ("好", 3),
    ]


def test_a_cut_within_a_character_is_honest() -> None:
    ids = of_bytes(0xF0, 0x9F, 0x8F, 0xBD)
    assert Pieces(MINICPM).glyphs(ids, cuts=(2,)) == [Glyph(0, 2, "<F0 9F>", True), Glyph(2, 3, "<8F>", True)] + [
        Glyph(3, 4, "<BD>", True)
    ]


def test_broken_bytes_are_named() -> None:
    pieces = Pieces(MINICPM)
    assert texts(pieces, of_bytes(0xFF)) == ["<FF>"]
    assert texts(pieces, [*of_bytes(0xF0, 0x9F), *MINICPM.encode("你")[-1:]])[0] == "<F0 9F>"
    assert texts(pieces, [*of_bytes(0xF0), 2]) == ["<F0>", "</s>"]  # a special token ends what is held


def test_a_vocabulary_without_decoder() -> None:
    backend = Tokenizer(models.WordLevel({"a": 0, "▁b": 1}, unk_token="a"))
    pieces = Pieces(TextTokenizer(backend))
    assert decoder_steps(TextTokenizer(backend)) == []
    assert texts(pieces, [0, 1, 7]) == ["a", "▁b", "<id 7>"]
