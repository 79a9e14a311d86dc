"""The nano tokenizer: the published layout, and every text comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.nano import MODEL, vocabulary

TEXTS = ("你好，世界！", "Hello world", "🙂🚀", "龘靐", "a\tb\nc", "12345 + 1", "print('x')", "Größe", "ひらがな")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer learned from a few texts."""
    folder = tmp_path_factory.mktemp("tokenizer")
    vocabulary.write(vocabulary.learn(["<用户>你好<AI>", "你好 hello hello", "12 12 12"] * 20, 4300), folder)
    return folder


@pytest.mark.parametrize("which", ["learned", "shipped"])
def test_the_published_layout(which: str, folder: Path) -> None:
    folder = folder if which == "learned" else MODEL
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert [token["content"] for token in content["added_tokens"]] == ["<unk>", "<s>", "</s>"]
    assert content["pre_tokenizer"] is None
    assert [part["type"] for part in content["normalizer"]["normalizers"]] == ["Prepend", "Replace"]
    assert [part["type"] for part in content["decoder"]["decoders"]] == ["Replace", "ByteFallback", "Fuse", "Strip"]
    model = content["model"]
    assert (model["type"], model["byte_fallback"], model["fuse_unk"]) == ("BPE", True, True)
    assert [model["vocab"][token] for token in ("<unk>", "<s>", "</s>", "<0x00>", "<0xFF>")] == [0, 1, 2, 3, 258]
    assert sorted(model["vocab"].values()) == list(range(len(model["vocab"])))
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "LlamaTokenizer" and settings["pad_token"] is None
    assert settings["chat_template"] == vocabulary.CHAT_TEMPLATE


@pytest.mark.parametrize("which", ["learned", "shipped"])
@pytest.mark.parametrize("text", TEXTS)
def test_every_text_comes_back(which: str, folder: Path, text: str) -> None:
    tokenizer = TextTokenizer.load(folder if which == "learned" else MODEL)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_id not in ids


def test_markers_are_ordinary_and_digits_stand_alone() -> None:
    tokenizer = TextTokenizer.load(MODEL)
    assert len(tokenizer.encode("<用户>")) == 3 and len(tokenizer.encode("<AI>")) == 3
    pieces = tokenizer.backend.encode("<用户>1234<AI>", add_special_tokens=False).tokens
    assert pieces == ["▁<", "用户", ">", "1", "2", "3", "4", "<", "AI", ">"]


def test_the_alphabet_holds_the_common_hanzi() -> None:
    known = set(vocabulary.alphabet())
    assert set("的一是不了人我在有他座" + "azAZ09~\n") <= known
    assert sum("\u4e00" <= character <= "\u9fff" for character in known) == 3755


def test_transformers_reads_the_shipped_tokenizer_alike() -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(MODEL), TextTokenizer.load(MODEL)
    for text in TEXTS:
        assert theirs(text)["input_ids"] == [1, *ours.encode(text)]
    chat = [{"role": "user", "content": "你好"}]
    assert theirs.apply_chat_template(chat, tokenize=False) == "<用户>你好<AI>"
