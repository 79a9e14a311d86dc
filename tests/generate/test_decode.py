"""Prompts and their room, rows that end by themselves, and being told to stop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tunesmith.data.types import Conversation, ImageRef, Message
from tunesmith.errors import UserError
from tunesmith.generate.decode import Voice, context_of
from tunesmith.generate.sampling import MAX_NEW_TOKENS, Sampling
from tunesmith.models.load import Loaded

HELLO = Conversation((Message("user", "你好"),))
GREEDY = Sampling(greedy=True)


def test_without_a_length_the_answer_may_fill_the_context(tiny_loaded: Loaded) -> None:
    prompt = Voice(tiny_loaded).prompt(HELLO, GREEDY)
    assert len(prompt.ids) + prompt.room == 512
    assert Voice(tiny_loaded).prompt(HELLO, Sampling(max_new_tokens=7)).room == 7


def test_what_does_not_fit_is_refused_before_the_model_runs(tiny_loaded: Loaded) -> None:
    voice = Voice(tiny_loaded)
    with pytest.raises(UserError, match=r"has \d{4} tokens, but this model sees only 512 in all\. Nothing is dropped"):
        voice.prompt(Conversation((Message("user", "长" * 600),)), GREEDY)
    with pytest.raises(UserError, match=r"max_new_tokens 511, .* \(at most 50\d new tokens fit\)"):
        voice.prompt(HELLO, Sampling(max_new_tokens=511))


def test_a_model_without_a_limit_has_the_default_room(tiny_loaded: Loaded) -> None:
    voice = Voice(tiny_loaded)
    voice.context = None
    assert voice.prompt(HELLO, GREEDY).room == MAX_NEW_TOKENS


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({"max_position_embeddings": 64}, 64),
        ({"max_position_embeddings": 64, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0}}, 256),
        ({"max_position_embeddings": 64, "rope_parameters": {"rope_type": "linear", "factor": 4.0}}, 64),
        ({}, None),
    ],
)
def test_the_context_is_what_the_positions_reach(fields: dict[str, Any], context: int | None) -> None:
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(**fields))
    assert context_of(config) == context


def test_rows_end_by_themselves_and_only_the_first_is_shown(scripted: Callable[..., Loaded]) -> None:
    voice = Voice(scripted("one two three four"))
    prompts = [voice.prompt(HELLO, Sampling(max_new_tokens=n)) for n in (3, 50)]
    writers, shown = [voice.writer(), voice.writer()], []
    voice.answer(prompts, writers, GREEDY, shown.append)
    assert [writer.stopped for writer in writers] == ["length", "stop"]
    assert writers[0].tokens == 3
    assert writers[1].text == "one two three four"
    assert "".join(shown) == writers[0].text != ""


def test_the_model_stops_when_it_is_told_to(scripted: Callable[..., Loaded]) -> None:
    voice, shown = Voice(scripted("a b c d e f g h i j")), []
    writer = voice.writer()
    voice.answer([voice.prompt(HELLO, GREEDY)], [writer], GREEDY, shown.append, lambda: len(shown) >= 2)
    assert writer.stopped == "interrupted"
    assert writer.text == "".join(shown)
    assert writer.tokens < 8


def talk(run: dict[str, Any]) -> Conversation:
    """A run of the published chat as a conversation."""
    messages = [Message(turn["role"], turn["content"]) for turn in run["messages"]]
    if run["picture"] is None:
        return Conversation(tuple(messages))
    messages[0] = Message("user", f"<image>\n{messages[0].content}")
    return Conversation(tuple(messages), images=(ImageRef("<image>", str(run["picture"])),))


PUBLISHED = {
    "greedy_new_ids": Sampling(greedy=True, max_new_tokens=16),
    "beam3_reppen1_2_new_ids": Sampling(beams=3, repetition_penalty=1.2, max_new_tokens=16),
}


@pytest.mark.parametrize("recorded", PUBLISHED)
def test_rows_with_and_without_pictures_are_answered_together_as_published(
    recorded: str, golden_runs: dict[str, dict[str, Any]], vision_loaded: Callable[[str], Loaded]
) -> None:
    sampling = PUBLISHED[recorded]
    for case in ("chat_noslice", "chat_sliced"):
        runs = [run for run in golden_runs.values() if run["case"] == case]
        voice = Voice(vision_loaded(case))
        prompts = [voice.prompt(talk(run), sampling) for run in runs]
        for run, prompt in zip(runs, prompts, strict=True):
            assert prompt.ids == [token for token, count in run["tokens_rle"] for _ in range(count)]
        writers = [voice.writer() for _ in runs]
        voice.answer(prompts, writers, sampling)
        assert [writer._ids for writer in writers] == [run[recorded] for run in runs]


def test_only_models_that_read_text_are_penalised_for_the_words_of_the_prompt(
    tiny_loaded: Loaded, vision_loaded: Callable[[str], Loaded]
) -> None:
    assert Voice(tiny_loaded).penalises_prompt
    assert not Voice(vision_loaded("chat_noslice")).penalises_prompt


def test_beams_show_the_answer_when_it_is_whole(tiny_loaded: Loaded) -> None:
    sampling, shown = Sampling(beams=3, max_new_tokens=9), []
    voice = Voice(tiny_loaded)
    prompts = [voice.prompt(HELLO, sampling), voice.prompt(Conversation((Message("user", "Who are you?"),)), sampling)]
    writers = [voice.writer(), voice.writer()]
    voice.answer(prompts, writers, sampling, shown.append)
    assert "".join(shown) == writers[0].text
    assert [(writer.tokens, writer.stopped) for writer in writers] == [(9, "length")] * 2
    writer = voice.writer()
    voice.answer(prompts[:1], [writer], sampling, stop=lambda: True)
    assert writer.stopped == "interrupted"
