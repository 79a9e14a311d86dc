"""TextTokenizer on the (reduced) published MiniCPM-2B tokenizer and on small ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ModelError

FOLDER = Path(__file__).parents[1] / "golden" / "tokenizers" / "minicpm-2b"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
MINICPM = TextTokenizer.load(FOLDER)


def byte_level() -> TextTokenizer:
    """A byte-level tokenizer (GPT-2's kind) without merges but one, so that a token can stand across a cut."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {character: number for number, character in enumerate([*alphabet, "=>"])}
    backend = Tokenizer(models.BPE(vocab, [("=", ">")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return TextTokenizer(backend, {})


@pytest.mark.parametrize("case", EXPECTED["texts"], ids=lambda case: repr(case["text"]))
def test_ids_are_the_published_ones(case: dict) -> None:
    assert MINICPM.encode(case["text"]) == case["ids"]
    assert MINICPM.decode(case["ids"]) == case["text"]


def test_special_tokens_and_padding() -> None:
    assert (MINICPM.bos_id, MINICPM.eos_id, MINICPM.unk_id) == (1, 2, 0)
    assert MINICPM.pad_id == 2  # none is named: the end token fills rows, masked by place
    assert TextTokenizer(MINICPM.backend, {**MINICPM.special, "pad_token": "<unk>"}).pad_id == 0
    assert TextTokenizer(MINICPM.backend, {}).pad_id == 0


@pytest.mark.parametrize("tokenizer", [MINICPM, byte_level()], ids=["minicpm", "byte-level"])
@settings(max_examples=150, deadline=None)
@given(parts=st.lists(st.text(alphabet="你好a 12=><AI用户\n", max_size=6), min_size=1, max_size=5))
def test_pieces_before_a_cut_do_not_depend_on_what_follows(tokenizer: TextTokenizer, parts: list[str]) -> None:
    text, cuts = "".join(parts), [sum(map(len, parts[:number])) for number in range(len(parts))]
    pieces = tokenizer.encode_cut(text, cuts)
    assert len(pieces) == len(parts)
    joined = [number for piece in pieces for number in piece]
    assert tokenizer.decode(joined) == tokenizer.decode(tokenizer.encode(text)) == text
    for number in range(1, len(parts)):
        assert tokenizer.encode_cut("".join(parts[:number]), cuts[:number]) == pieces[:number]


def test_a_token_across_a_cut_is_split() -> None:
    tokenizer = byte_level()
    assert tokenizer.encode("=>") == [tokenizer.id("=>")]
    assert tokenizer.encode_cut("a=>b", [0, 2]) == [tokenizer.encode("a="), tokenizer.encode(">b")]
    assert tokenizer.encode_cut("a=>b", [0, 1]) == [tokenizer.encode("a"), tokenizer.encode("=>b")]
    two_spaces = MINICPM.encode_cut("  x", [0, 1])  # one token "▁▁▁" (mark and two spaces), cut in the middle
    assert MINICPM.decode([*two_spaces[0], *two_spaces[1]]) == "  x"


def test_fingerprint_follows_content() -> None:
    same = TextTokenizer.load(FOLDER)
    other = TextTokenizer(same.backend, same.special, "another template")
    assert same.fingerprint == MINICPM.fingerprint != other.fingerprint


def test_no_tokenizer_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no tokenizer"):
        TextTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        TextTokenizer.load(tmp_path)


def test_config_forms(tmp_path: Path) -> None:
    backend = Tokenizer(models.BPE({"a": 0, "<s>": 1}, []))
    backend.normalizer = normalizers.NFC()
    backend.enable_truncation(3)
    backend.enable_padding()
    backend.save(str(tmp_path / "tokenizer.json"))
    bare = TextTokenizer.load(tmp_path)
    assert bare.bos_id == 1 and bare.eos_id is None and bare.chat_template is None
    assert len(bare.encode("aaaaaaaa")) == 8  # stored truncation is switched off
    config = {
        "bos_token": {"content": "<s>"},
        "eos_token": "missing",
        "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    loaded = TextTokenizer.load(tmp_path)
    assert loaded.bos_id == 1 and loaded.eos_id is None and loaded.chat_template == "d"
    (tmp_path / "chat_template.jinja").write_text("j", encoding="utf-8")
    assert TextTokenizer.load(tmp_path).chat_template == "j"
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ModelError, match="holds a list"):
        TextTokenizer.load(tmp_path)
