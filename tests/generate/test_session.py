"""One conversation: prompts from the template code alone, streaming, stopping, history, limits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.data.chat import render
from tunesmith.data.types import Conversation, Message
from tunesmith.errors import UserError
from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import Loaded, load, text_tokenizer

GREEDY = Sampling(greedy=True, max_new_tokens=24)


def test_the_prompt_is_what_the_template_code_renders(scripted: Callable[..., Loaded]) -> None:
    loaded = scripted("我是模型。")
    session = Session(loaded, system="Be kind.", sampling=GREEDY)
    assert session.ask("你是谁？") == "我是模型。"
    assert session.ask("Really?") == "我是模型。"
    turns = [("system", "Be kind."), ("user", "你是谁？"), ("assistant", "我是模型。"), ("user", "Really?")]
    messages = tuple(Message(*turn) for turn in turns)
    tokenizer = text_tokenizer(loaded.tokenizer)
    chat = loaded.family.chat(tokenizer, {})
    for sent, size in zip(loaded.model.prompts, (2, 4), strict=True):
        rendered = render(Conversation(messages[:size]), chat, tokenizer, open_turn=True)
        assert sent == rendered.input_ids
    assert session.messages == [*messages, Message("assistant", "我是模型。")]


def test_the_stream_gives_whole_characters_and_ends_at_a_marker(scripted: Callable[..., Loaded]) -> None:
    session = Session(scripted("好🙂的。<用户>你是谁？<AI>我"), sampling=Sampling(greedy=True, max_new_tokens=200))
    pieces = list(session.stream("你好"))
    assert "".join(pieces) == "好🙂的。"
    assert "🙂" in pieces
    assert session.last is not None
    assert (session.last.text, session.last.stopped) == ("好🙂的。", "stop")
    assert session.messages[-1] == Message("assistant", "好🙂的。")


def test_an_answer_that_is_cut_says_so(scripted: Callable[..., Loaded]) -> None:
    session = Session(scripted("one two three four five"), sampling=Sampling(greedy=True, max_new_tokens=2))
    session.ask("count")
    assert session.last is not None
    assert (session.last.stopped, session.last.tokens) == ("length", 2)


def test_closing_the_stream_stops_the_model_and_keeps_what_was_shown(scripted: Callable[..., Loaded]) -> None:
    session = Session(scripted("a b c d e " * 40), sampling=Sampling(greedy=True, max_new_tokens=400))
    stream = session.stream("go")
    first = next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "tunesmith-answer"]
    assert session.last is not None
    assert session.last.stopped == "interrupted"
    assert session.last.tokens < 400
    assert session.messages == [Message("user", "go"), Message("assistant", first)]


def test_a_failure_of_the_model_is_raised_and_leaves_the_history_alone(scripted: Callable[..., Loaded]) -> None:
    loaded = scripted([1000])  # beyond the vocabulary
    session = Session(loaded, sampling=GREEDY)
    with pytest.raises(IndexError):
        session.ask("boom")
    assert session.messages == []
    assert session.last is None


def test_reset_keeps_the_system_text(scripted: Callable[..., Loaded]) -> None:
    session = Session(scripted("ok"), system="Be kind.", sampling=GREEDY)
    session.ask("hello")
    session.reset()
    assert session.messages == [Message("system", "Be kind.")]
    session.system = None
    session.reset()
    assert session.messages == []


def test_images_empty_questions_and_full_contexts_are_refused(tiny_loaded: Loaded) -> None:
    session = Session(tiny_loaded, sampling=GREEDY)
    with pytest.raises(UserError, match="reads text only, but 1 image was given"):
        session.stream("what is it?", images=["cat.png"])
    with pytest.raises(UserError, match="empty"):
        session.ask("  \n")
    with pytest.raises(UserError, match="The user text is not readable text"):
        session.ask("\udce4")
    with pytest.raises(UserError, match=r"tokens, but this model sees only 512 in all\. Nothing is dropped"):
        session.ask("长" * 600)
    session.sampling = Sampling(greedy=True, max_new_tokens=511)
    with pytest.raises(UserError, match=r"max_new_tokens 511, .* \(at most 50\d new tokens fit\)"):
        session.ask("你好")
    assert session.messages == []


def test_a_seed_decides_the_answer_and_leaves_the_random_state_alone(tiny_loaded: Loaded) -> None:
    def answer(seed: int | None) -> str:
        return Session(tiny_loaded, sampling=Sampling(temperature=1.5, top_p=1.0, seed=seed, max_new_tokens=20)).ask(
            "你好"
        )

    state = torch.random.get_rng_state()
    assert answer(3) == answer(3)
    assert answer(3) != answer(4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_greedy_answers_are_those_of_plain_generate(tiny_loaded: Loaded) -> None:
    session = Session(tiny_loaded, sampling=GREEDY)
    text = session.ask("Who are you?")
    ids = session._voice.prompt(Conversation((Message("user", "Who are you?"),)), GREEDY).ids
    plain = tiny_loaded.model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        do_sample=False,
        max_new_tokens=24,
    )
    assert text == text_tokenizer(tiny_loaded.tokenizer).decode(plain[0, len(ids) :].tolist()).rstrip("\ufffd")


def test_any_causal_model_chats_through_its_own_template(tiny_model_folder: Path, tmp_path: Path) -> None:
    turns = "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"
    template = turns + "{% if add_generation_prompt %}[a]{% endif %}"
    folder = tmp_path / "llama"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((tiny_model_folder / name).read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template)
    size = json.loads((tiny_model_folder / "config.json").read_text())["vocab_size"]
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=size, max_position_embeddings=128, **shape)).save_pretrained(folder)
    session = Session(load(folder, device="cpu"), system="S", sampling=Sampling(greedy=True, max_new_tokens=5))
    assert session._voice.stop_ids == (2,)
    text = session.ask("hello")
    sent = session._voice.prompt(Conversation((Message("system", "S"), Message("user", "hello"))), session.sampling)
    assert session._voice.tokenizer.backend.decode(sent.ids, skip_special_tokens=False).replace(" ", "") == (
        "[system]S</s>[user]hello</s>[a]"
    )
    assert session.messages[-1] == Message("assistant", text)
