"""The nano TransNormerLLM's tokenizer.model: the sentencepiece library and our own reader agree on every text."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from tunesmith.data import sentencepiece as reader
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.nano import TRANSNORMER_MODEL, sentencepiece_file, text, vocabulary

TEXTS = (
    "你好，世界！",
    " Hello  world ",
    "🙂🚀",
    "龘靐",
    "a\tb\nc\n\n",
    "12345 + 1",
    "Größe ひらがな",
    "Human:\nA\nAssistant:\n",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer learned from a few texts."""
    folder = tmp_path_factory.mktemp("tokenizer")
    layout = vocabulary.Layout(chat_template=None)
    learned = vocabulary.learn(["Human:\n你好\nAssistant:\nhello hello", "12 世界 hello"] * 20, 4200, layout)
    sentencepiece_file.write(learned, folder)
    return folder


@pytest.mark.parametrize("which", ["learned", "shipped"])
def test_the_published_layout(which: str, folder: Path) -> None:
    folder = folder if which == "learned" else TRANSNORMER_MODEL
    model = reader.parse((folder / "tokenizer.model").read_bytes())
    assert (model.model_type, model.charsmap, model.remove_extra_whitespaces) == (reader.BPE, b"", False)
    kinds = [kind for _, _, kind in model.pieces]
    assert kinds[:3] == [reader.UNKNOWN, reader.CONTROL, reader.CONTROL] and kinds[3:259] == [reader.BYTE] * 256
    assert set(kinds[259:]) == {reader.NORMAL}
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "BaiChuanTokenizer" and "pad_token" not in settings
    assert settings["add_bos_token"] is settings["add_eos_token"] is False and "chat_template" not in settings
    tokenizer = TextTokenizer.load(folder)
    assert (tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (0, 1, 2, 2)


@pytest.mark.parametrize("which", ["learned", "shipped"])
def test_same_ids_as_the_library(which: str, folder: Path) -> None:
    spm = pytest.importorskip("sentencepiece")
    folder = folder if which == "learned" else TRANSNORMER_MODEL
    ours, theirs = TextTokenizer.load(folder), spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    rng = Random(0)
    drawn = [turn["content"] for _ in range(200) for turn in text.conversation(rng)]
    assert theirs.vocab_size() == ours.backend.get_vocab_size()
    assert (theirs.unk_id(), theirs.bos_id(), theirs.eos_id(), theirs.pad_id()) == (0, 1, 2, -1)
    for each in (*TEXTS, *drawn):
        assert ours.encode(each) == theirs.encode(each), each
        assert ours.decode(ours.encode(each)) == each == theirs.decode(theirs.encode(each))
        assert 0 not in ours.encode(each)


def test_what_was_learned_is_what_is_read(folder: Path) -> None:
    tokenizer = TextTokenizer.load(TRANSNORMER_MODEL)
    tokens = [tokenizer.backend.id_to_token(number) for number in tokenizer.encode("Human:\n你好，1234\nAssistant:\n")]
    assert tokens == ["▁Human", ":", "\n", "你好", "，", "1", "2", "3", "4", "\n", "Assistant", ":", "\n"]
    known = TextTokenizer.load(folder)
    assert all(known.id(character) is not None for character in vocabulary.alphabet())
