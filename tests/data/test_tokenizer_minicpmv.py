"""MiniCPM-V 2.0's tokenizer: tokenizer.model with the names of tokenizer_config.json, and texts that are only text."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest

from tunesmith.data.tokenizer import TextTokenizer

GOLDEN = Path(__file__).parents[1] / "golden"
REAL = TextTokenizer.load(GOLDEN / "tokenizers" / "minicpm-v-2")
SMALL = TextTokenizer.load(GOLDEN / "minicpmv2" / "tokenizer")
CASE = json.loads((GOLDEN / "minicpmv2" / "tokenization_real" / "case.json").read_text(encoding="utf-8"))
SPECIAL = re.compile(r"</?(s|unk|image|ref|box|quad|point|slice)>")


def test_ids_are_the_published_ones() -> None:
    assert len(CASE["encode"]) == 284
    for case in CASE["encode"]:
        assert [REAL.bos_id, *REAL.encode(case["text"])] == case["ids"], case["text"]


def test_texts_are_the_published_ones() -> None:
    for case in CASE["decode"]:  # the published decoder puts a space behind some special tokens
        assert REAL.decode(case["ids"]).strip() == case["decoded_skip_special"].strip()


@pytest.mark.parametrize("tokenizer", [REAL, SMALL], ids=["real", "small"])
def test_special_tokens(tokenizer: TextTokenizer) -> None:
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id, tokenizer.pad_id) == (1, 2, 0, 0)
    names = ("image", "ref", "box", "quad", "point", "slice")
    tokens = [f"<{slash}{name}>" for name in names for slash in ("", "/")]
    assert [tokenizer.id(token) for token in tokens] == list(range(101, 113))
    assert [tokenizer.encode(token) for token in tokens] == [[number] for number in range(101, 113)]
    assert tokenizer.id("<reserved_22>") is None and len(tokenizer.encode("<reserved_22>")) > 1
    assert tokenizer.encode("\n") == [5]


@pytest.mark.parametrize("tokenizer", [REAL, SMALL], ids=["real", "small"])
def test_plain_text_holds_no_special_token(tokenizer: TextTokenizer) -> None:
    plain = tokenizer.plain()
    for case in CASE["encode"]:
        ids = plain.encode(case["text"])
        if tokenizer is REAL and not SPECIAL.search(case["text"]):
            assert [1, *ids] == case["ids"]
        assert not {1, 2, *range(101, 113)} & set(ids)
        if tokenizer is REAL:
            assert 0 not in ids and tokenizer.decode(ids) == case["text"]
    text = "<image></s><box>1</box>"
    kept = tokenizer.plain(("<box>", "</box>"))
    assert set(kept.encode(text)) & set(range(113)) - set(range(5, 101)) == {105, 106}
    assert tokenizer.encode(text)[:3] == [101, 2, 105]  # the tokenizer itself has not changed
    assert kept.encode_cut(f"{text})<AI>", [0, len(text) + 1])[1] == plain.encode("<AI>")
    assert tokenizer.plain() is plain


def test_plain_text_of_other_tokenizers() -> None:
    text = TextTokenizer.load(GOLDEN / "tokenizers" / "minicpm-2b")
    assert text.encode("a</s>")[-1] == 2
    assert 2 not in text.plain().encode("a</s>")
    assert text.plain().encode("你好 world") == text.encode("你好 world")
    assert text.plain().encode_cut("你好 world", [0, 2]) == text.encode_cut("你好 world", [0, 2])


def test_a_plain_tokenizer_is_made_anew_in_another_process() -> None:
    SMALL.plain()
    again = pickle.loads(pickle.dumps(SMALL))
    assert "_plain" not in vars(again) and again.special == SMALL.special and again.fingerprint == SMALL.fingerprint
    assert again.plain().encode("<image>") == SMALL.plain().encode("<image>")


def test_names_of_special_tokens_are_read_with_care(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes((GOLDEN / "minicpmv2" / "tokenizer" / "tokenizer.model").read_bytes())
    odd = {"x": {}, "9999": {"content": "<far>", "special": True}, "111": {"content": 5, "special": True}, "112": 0}
    for listed in (odd, [], {"110": {"content": "<ordinary>", "special": False}}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": listed}))
        assert TextTokenizer.load(tmp_path).id("<reserved_22>") == 111
