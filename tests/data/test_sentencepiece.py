"""tokenizer.model read without sentencepiece, compared with the sentencepiece library itself."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from tunesmith.data import sentencepiece as reader
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ModelError

spm = pytest.importorskip("sentencepiece", reason="the library is only used to compare")

WORDS = [
    "你好",
    "世界",
    "tunesmith",
    "微调",
    "a",
    "small",
    "model",
    "小",
    "模型",
    "on",
    "the",
    "phone",
    "手机",
    "12345",
    "def",
    "f(x):",
    "return",
    "x",
    "😀",
    "👍",
    "👍🏽",
    "答案",
    "问题",
]


def train(**options: object) -> bytes:
    """Train a small BPE model on made-up sentences."""
    draw = random.Random(0)
    lines = [" ".join(draw.choices(WORDS, k=8)) + "，" + "".join(draw.choices(WORDS, k=5)) for _ in range(400)]
    target = io.BytesIO()
    settings = {
        "model_type": "bpe", "vocab_size": 480, "byte_fallback": True, "character_coverage": 0.999,
        "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "minloglevel": 2,
        "user_defined_symbols": ["\n", "<h1>", "，", "1", "2"], **options,
    }  # fmt: skip
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=target, **settings)
    return target.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"add_dummy_prefix": False},
        {"add_dummy_prefix": True},
        {"add_dummy_prefix": True, "user_defined_symbols": []},
        {"add_dummy_prefix": True, "remove_extra_whitespaces": True, "user_defined_symbols": []},
        {"add_dummy_prefix": True, "normalization_rule_name": "nmt_nfkc", "user_defined_symbols": []},
        {"add_dummy_prefix": False, "byte_fallback": False},
    ],
    ids=["minicpm-like", "baichuan-like", "llama-like", "stripped", "nfkc", "no-bytes"],
)
def test_same_ids_as_the_library(options: dict, tmp_path: Path) -> None:
    data = train(**options)
    (tmp_path / "tokenizer.model").write_bytes(data)
    ours = TextTokenizer.load(tmp_path)
    theirs = spm.SentencePieceProcessor(model_proto=data)
    draw = random.Random(1)
    texts = ["", "a", " leading", "two  spaces", "line\nbreak", "<h1>标题<h1>", "1,2，3", "龘 rare ₿", "👍🏽👍😀"]
    texts += ["".join(draw.choices([*WORDS, " ", "，", "\n", "x"], k=draw.randint(1, 12))) for _ in range(200)]
    for text in texts:
        assert ours.encode(text) == theirs.encode(text), repr(text)
    assert (ours.bos_id, ours.eos_id, ours.unk_id) == (1, 2, 0)


def test_emoji_of_several_characters_is_one_piece() -> None:
    """sentencepiece merges over a character that is no piece of its own."""
    pieces = [("<unk>", 0.0, reader.UNKNOWN), ("👍", -1.0, reader.NORMAL), ("👍🏽", -2.0, reader.NORMAL)]
    model = reader.SentencePieceModel(pieces, reader.BPE, b"", False, False)
    assert reader._whole_pieces(model) == ["👍🏽"]
    assert reader.merged("👍🏽👍", {"👍": -1.0, "👍🏽": -2.0}) == ["👍🏽", "👍"]


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"<html>", b"\n\x05abc", bytes(range(256))])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(ModelError, match="is not a sentencepiece model"):
        reader.load(tmp_path / "tokenizer.model")


def test_unigram_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(train(model_type="unigram", vocab_size=330, add_dummy_prefix=True))
    with pytest.raises(ModelError, match="only BPE"):
        reader.load(tmp_path / "tokenizer.model")
