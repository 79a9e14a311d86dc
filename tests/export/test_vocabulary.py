"""llama.cpp's tokenizer, computed from the metadata, gives the ids of the run's tokenizer; another kind is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ModelError
from tunesmith.export.vocabulary import CONTROL, SPLITS, UNKNOWN, UNUSED, encode, vocabulary
from tunesmith.locate import locate

TEXTS = ("<用户>你好  world<AI>", " leading", "a\n\tb", "\U0001f600 x²", "Who's 12345 there?\n\n I'm", "")


def byte_level(split: str | None) -> TextTokenizer:
    """A BPE over bytes that splits a text as the pattern says; None: as GPT-2's own step does."""
    found = Tokenizer(models.BPE())
    steps = [] if split is None else [pre_tokenizers.Split(Regex(split), "isolated")]
    found.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(False, use_regex=split is None)])
    if split is None:
        found.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    found.train_from_iterator([*TEXTS, "there there I'm who's 12 123 1234"], trainer)
    return TextTokenizer(found, {"eos_token": "<|end|>"}, add_bos=False)


@pytest.mark.parametrize("name", ["nano-minicpm", "nano-minicpmv"])
def test_sentencepiece_kind(name: str) -> None:
    tokenizer = TextTokenizer.load(locate(name))
    rows = tokenizer.backend.get_vocab_size() + 3
    found = vocabulary(tokenizer, rows, (2,))
    types = found["tokenizer.ggml.token_type"]
    assert found["tokenizer.ggml.model"] == "llama" and types[:3] == [UNKNOWN, CONTROL, CONTROL]
    assert types[-3:] == [UNUSED] * 3 and found["tokenizer.ggml.bos_token_id"] == 1
    plain = tokenizer.plain()
    sample = json.loads((Path(str(locate(name))).parent / "data" / "train.json").read_text(encoding="utf-8"))
    said = [message["content"] for row in sample[:40] for message in row["messages"]]
    for text in (*TEXTS, *said):
        assert encode(found, text) == plain.encode(text), text


@pytest.mark.parametrize("name", [None, *SPLITS])
def test_byte_kinds_are_told_apart(name: str | None) -> None:
    tokenizer = byte_level(None if name is None else SPLITS[name])
    found = vocabulary(tokenizer, 400, (0,))
    assert (found["tokenizer.ggml.model"], found["tokenizer.ggml.pre"]) == ("gpt2", name or "gpt-2")
    for text in TEXTS:
        assert encode(found, text) == tokenizer.encode(text), text


def test_other_tokenizers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="would not give the ids"):
        vocabulary(byte_level(r"\w+|\s"), 400, ())
    with pytest.raises(ModelError, match="embedding has 10 rows"):
        vocabulary(TextTokenizer.load(locate("nano-minicpm")), 10, ())
