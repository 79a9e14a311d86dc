"""The probe: what comes back of a block is small, picklable, and the same in every process."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from tunesmith.data.chat import RenderOptions, render_rows
from tunesmith.data.chats import load_chat
from tunesmith.data.check.measures import Measures, Probe
from tunesmith.data.check.texts import LANGUAGES
from tunesmith.data.types import Conversation, ImageRef, Message, Origin


def talk(*texts: str, line: int | None = 1) -> Conversation:
    roles = ("user", "assistant") * len(texts)
    messages = tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))
    return Conversation(messages, Origin("x.json", 7, line))


def measured(*conversations: Conversation) -> Measures:
    return Probe()(list(conversations), [])


def test_places_and_sizes() -> None:
    made = measured(talk("ab", "cde", line=3), talk("", "x", "yz", "last", line=None))
    assert made.record.tolist() == [7, 7]
    assert made.line.tolist() == [3, 0]
    assert made.characters.tolist() == [5, 7]
    assert made.answer.tolist() == [3, 4]
    assert made.tokens is None


def test_equal_records_have_equal_hashes_in_every_process() -> None:
    made = measured(talk("a", "b"), talk("a", "b", line=9), talk("a", "c"), talk("ab", ""))
    assert made.whole[0] == made.whole[1] != made.whole[2]
    assert made.prompt[0] == made.prompt[2]
    assert len(set(made.whole.tolist())) == len(set(made.prompt.tolist())) + 1 == 3
    assert made.said[0] == made.said[1] != made.said[2]
    assert (int(made.whole[0]), int(made.prompt[0])) == (17992307089112986399, 12198760432045986983)


def test_everything_that_is_learned_counts_for_the_hash() -> None:
    one = talk("a", "b")
    variants = [
        one,
        replace(one, liked=True),
        replace(one, liked=False),
        replace(one, rejected=Message("assistant", "c")),
        replace(one, tools="[]"),
        replace(one, images=(ImageRef("a", "x.png"),)),
        replace(one, messages=(one.messages[0], replace(one.messages[1], calls="{}"))),
        replace(one, messages=(Message("system", ""), *one.messages)),
        Conversation((), text="a\0b"),
    ]
    made = measured(*variants)
    assert len(set(made.whole.tolist())) == len(variants)
    assert made.prompt[-1] == 0
    assert made.preference.tolist() == [False, True, True, *[False] * 6]


def test_languages_of_question_and_answer() -> None:
    made = measured(talk("你好吗？", "我很好。"), talk("用英语说你好", "Hello there"), talk("Hi", "42"))
    chinese, latin, none = (LANGUAGES.index(name) for name in ("Chinese", "Latin script", "no letters"))
    assert made.pairs.sum() == 3
    assert made.pairs[chinese, chinese] == made.pairs[chinese, latin] == made.pairs[latin, none] == 1
    assert made.hits["other_language"].records == 1
    assert made.hits["other_language"].first == [(1, "Chinese question, Latin script answer")]


def test_special_characters_are_found() -> None:
    made = measured(talk("a\r\nb", "c\x00\u200b\ufffd\ue000"), talk("fine", "fine too"))
    for kind in ("carriage", "control", "invisible", "broken", "private"):
        name = "carriage_returns" if kind == "carriage" else f"{kind}_characters"
        assert (made.hits[name].records, made.hits[name].times) == (1, 1), name
    assert made.hits["broken_characters"].first == [(0, "answer: U+FFFD")]


def test_system_texts_and_spaces_do_not_make_records_alike() -> None:
    question, answer = "What is the best way to learn a language?", "Listen, read, speak and write every day."
    one = talk(question, answer)
    spaced = talk(question.replace(" ", "\n"), answer)
    with_system = replace(one, messages=(Message("system", "You are kind. " * 9), *one.messages))
    made = measured(one, spaced, with_system)
    assert (made.signature[0] == made.signature[1]).all() and (made.signature[0] == made.signature[2]).all()


def test_a_model_adds_tokens_and_marks(tiny_model_folder: Path) -> None:
    tokenizer, chat = load_chat(tiny_model_folder)
    probe = Probe.of(chat, tokenizer, 16)
    conversations = [talk("你好", "你好"), talk("<AI>", "Hello </s>")]
    rows = [render_rows(each, chat, tokenizer, RenderOptions()) for each in conversations]
    made = pickle.loads(pickle.dumps(probe))(conversations, rows)
    assert made.tokens is not None
    assert made.tokens.lengths.tolist() == [len(row.input_ids) for (row,) in rows]
    assert (made.hits["template_marks"].records, made.hits["template_marks"].times) == (1, 2)
    assert "<用户>" in probe.marks and "<s>" in probe.marks


def test_a_block_costs_few_bytes_a_record() -> None:
    conversations = [talk(f"Question {n}? " * 9, f"Answer {n}. " * 30) for n in range(500)]
    assert len(pickle.dumps(measured(*conversations))) < 130 * len(conversations) + 10_000


def test_an_empty_block_is_measured() -> None:
    made = measured()
    assert len(made.record) == 0 and made.signature.shape == (0, 64) and np.asarray(made.pairs).sum() == 0
