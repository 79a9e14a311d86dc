"""Rows as tokens: lengths, what max_length cuts, and what the vocabulary lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tunesmith.data.chat import RenderOptions, render, render_rows
from tunesmith.data.chats import MarkerChat, load_chat
from tunesmith.data.check.texts import Hits
from tunesmith.data.check.tokens import STEP, TokenProbe, Tokens
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, Message, Origin
from tunesmith.errors import RecordError


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    """One token a character; ASCII only."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{chr(code): code for code in range(3, 127)}}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return TextTokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


CHAT = MarkerChat("Q", "A")


def talk(question: int, answer: int, number: int = 0, liked: bool | None = None) -> Conversation:
    messages = (Message("user", "q" * question), Message("assistant", "a" * answer))
    return Conversation(messages, Origin("x.jsonl", number, number + 1), liked=liked)


def measure(
    tokenizer: TextTokenizer, conversations: list[Conversation], max_length: int
) -> tuple[Tokens, dict[str, Hits]]:
    rows = [render_rows(each, CHAT, tokenizer, RenderOptions()) for each in conversations]
    return TokenProbe(tokenizer, max_length).measure(conversations, rows)


def test_cuts_are_those_of_rendering(tokenizer: TextTokenizer) -> None:
    conversations = [talk(5, n, n) for n in range(1, 40)]
    for max_length in (10, 20, 33, 100):
        tokens, hits = measure(tokenizer, conversations, max_length)
        cut, lost = 0, 0
        for each in conversations:
            example = render(each, CHAT, tokenizer, RenderOptions(max_length))
            cut += example.cut_labels > 0
            lost += example.cut_labels
        assert (hits["cut_answers"].records, hits["cut_answers"].times) == (cut, lost)
        assert not tokens.out


def test_records_of_which_nothing_is_left_are_those_of_rendering(tokenizer: TextTokenizer) -> None:
    conversations = [talk(n, 3, n) for n in range(1, 40)]
    tokens, hits = measure(tokenizer, conversations, 20)
    refused = []
    for each in conversations:
        try:
            render(each, CHAT, tokenizer, RenderOptions(20))
        except RecordError as error:
            assert each.origin is not None
            refused.append((each.origin.record, each.origin.line))
            assert f"the row has {tokens.out[len(refused) - 1][2]} tokens" in error.reason
    assert [one[:2] for one in tokens.out] == refused
    assert len(refused) > 5 and hits["cut_answers"].records > 0


def test_labels_are_counted_by_place(tokenizer: TextTokenizer) -> None:
    tokens, _ = measure(tokenizer, [talk(1, 100), talk(70, 10)], 1024)
    assert tokens.lengths.tolist() == [1 + 3 + 100 + 1, 1 + 72 + 10 + 1]
    assert tokens.places.tolist() == [STEP - 4, (105 - STEP) + 11]


def test_plain_texts_lose_nothing(tokenizer: TextTokenizer) -> None:
    tokens, hits = measure(tokenizer, [Conversation((), text="x" * 300)], 16)
    assert (tokens.plain_tokens, tokens.plain_labels) == (302, 301)
    assert len(tokens.lengths) == 0 and hits["cut_answers"].records == 0 and not tokens.out


def test_bad_answers_are_left_out(tokenizer: TextTokenizer) -> None:
    tokens, _ = measure(tokenizer, [talk(1, 5, liked=False), talk(2, 5, liked=True)], 1024)
    assert len(tokens.lengths) == 1


def test_unknown_characters_are_named(tokenizer: TextTokenizer) -> None:
    strange = Conversation((Message("user", "a 好 b 是"), Message("assistant", "好 ok")))
    _, hits = measure(tokenizer, [talk(1, 1), strange], 1024)
    assert hits["unknown_tokens"] == Hits(1, 3, [(1, "<unk> for 好是")])


def test_an_end_token_that_is_also_unk_is_not_unknown(tokenizer: TextTokenizer) -> None:
    ends = TextTokenizer(tokenizer.backend, {"bos_token": "<s>", "eos_token": "<unk>", "unk_token": "<unk>"})
    assert measure(ends, [talk(1, 1)], 1024)[1]["unknown_tokens"].records == 0


def test_bytes_beyond_the_vocabulary_are_counted(tiny_model_folder: Path) -> None:
    tokenizer, chat = load_chat(tiny_model_folder)
    conversations = [Conversation((Message("user", "你好"), Message("assistant", answer))) for answer in ("你好", "ꦀ")]
    rows = [render_rows(each, chat, tokenizer, RenderOptions()) for each in conversations]
    probe = TokenProbe(tokenizer, 1024)
    assert probe.measure(conversations[:1], rows[:1])[0].byte_tokens == 0
    tokens, hits = probe.measure(conversations, rows)
    assert tokens.byte_tokens == len("ꦀ".encode())
    assert hits["spelt_in_bytes"] == Hits(1, 3, [(1, f"3 of {len(rows[1][0].input_ids)} tokens are bytes")])
    assert hits["unknown_tokens"].records == 0


def test_nothing_is_measured_of_nothing(tokenizer: TextTokenizer) -> None:
    tokens, hits = measure(tokenizer, [], 16)
    assert np.array_equal(tokens.places, []) and not any(one.records for one in hits.values())
