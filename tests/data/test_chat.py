"""render(): layout, mask, stops, and the promise that a training row's prompt is what chat sends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tunesmith.data.chat import ChatFormat, RenderOptions, render, render_rows
from tunesmith.data.chats import JinjaChat, MarkerChat, template_chat
from tunesmith.data.template import Template
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, Example, ImageRef, Message, Origin
from tunesmith.errors import ConfigError, ModelError, RecordError

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = GOLDEN / "tokenizers" / "minicpm-2b"
MINICPM = TextTokenizer.load(FOLDER)
PUBLISHED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))["published_layout"]
TEMPLATES = json.loads((GOLDEN / "minicpm" / "chat_template" / "cases.json").read_text(encoding="utf-8"))["variants"]

CHATML = (
    "{{ bos_token }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# The last answer gets an empty thought that the history does not show, as in Qwen3's template.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' and loop.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_STOP = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}" + (
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def byte_level(template: str | None) -> TextTokenizer:
    """A byte-level tokenizer with ChatML's special tokens."""
    vocab = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE({**vocab, "\u010a\u010a": len(vocab)}, [("\u010a", "\u010a")]))  # "\n\n" merges
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    for token in ("<s>", "</s>", "<|im_start|>", "<|im_end|>"):
        backend.add_special_tokens([AddedToken(token, normalized=False)])
    return TextTokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"}, template)


def talk(*contents: str, system: str | None = None) -> Conversation:
    """A conversation of user and assistant in turn."""
    roles = ("user", "assistant")
    turns = [Message(roles[number % 2], content) for number, content in enumerate(contents)]
    return Conversation((*([Message("system", system)] if system is not None else []), *turns), Origin("a.json", 7))


def learned(example: Example, tokenizer: TextTokenizer) -> list[str]:
    """The learned stretches as text, a stop token shown as |."""
    stops, found, last = set(example.stops), [""], -2
    for position, label in enumerate(example.labels):
        if label == IGNORE:
            continue
        if position != last + 1 or (last in stops):
            found.append("")
        found[-1] += "|" if position in stops else tokenizer.backend.decode([label], skip_special_tokens=False)
        last = position
    return [text for text in found if text]


# --- the published layout --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case["messages"][0]["content"][:8])
def test_published_layout(case: dict) -> None:
    conversation = Conversation(tuple(Message(**message) for message in case["messages"]))
    example = render(conversation, MarkerChat(), MINICPM, RenderOptions(end_of_turn="last"))
    assert (example.input_ids, example.labels) == (case["input_ids"], case["labels"])


def test_end_of_every_turn_is_a_label_only() -> None:
    case = next(case for case in PUBLISHED if len(case["messages"]) == 5)
    conversation = Conversation(tuple(Message(**message) for message in case["messages"]))
    example = render(conversation, MarkerChat(), MINICPM)
    assert example.input_ids == case["input_ids"]  # the history keeps its published layout
    different = [n for n, (a, b) in enumerate(zip(example.labels, case["labels"], strict=True)) if a != b]
    assert len(different) == 1 and example.labels[different[0]] == MINICPM.eos_id
    assert example.input_ids[different[0] :][:3] == [1786, 4194, 95388]  # there the next <用户> begins
    assert example.stops == [different[0], len(example.labels) - 1]


@pytest.mark.parametrize("variant", TEMPLATES, ids=lambda variant: variant["name"][:20])
def test_published_templates_render_as_recorded(variant: dict) -> None:
    template = Template(variant["template"], {}, "golden")
    chat = template_chat(TextTokenizer(MINICPM.backend, MINICPM.special, variant["template"]))
    assert isinstance(chat, MarkerChat)
    for case in variant["cases"]:
        messages = tuple(Message(**message) for message in case["messages"])
        assert template.render(messages, generation_prompt=True) == case["rendered"]
        assert "".join(piece.text for piece in chat.pieces(Conversation(messages), open_turn=True)) == case["rendered"]


# --- masks of other templates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, ["a1|", "a2|"]),
        (LLAMA2, [" a1 |", " a2 |"]),
        (THINKING, ["a1|", "<think>\n\n</think>\n\na2|"]),
        (NO_STOP, ["a1|", "a2|"]),
    ],
    ids=["chatml", "llama2", "thinking", "no stop token"],
)
def test_mask_is_answers_and_stops(template: str, expected: list[str]) -> None:
    tokenizer = byte_level(template)
    chat = template_chat(tokenizer)
    example = render(talk("q1", "a1", "q2", "a2", system="s"), chat, tokenizer)
    assert learned(example, tokenizer) == expected
    messages = talk("q1", "a1", "q2", "a2", system="s").messages
    text = Template(template, tokenizer.special, "t").render(messages, generation_prompt=False)
    if template == NO_STOP:  # the end token stands in place of what is written behind the last answer
        text = f"{text.rstrip()}{tokenizer.special['eos_token']}"
    assert tokenizer.backend.decode(example.input_ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    "options", [RenderOptions(end_of_turn="last"), RenderOptions(loss_on="all")], ids=["last", "all"]
)
@pytest.mark.parametrize("template", [CHATML.replace("<|im_end|>", "[END]"), NO_STOP], ids=["mark", "nothing"])
def test_the_last_end_is_taught_where_no_token_ends_a_turn(template: str, options: RenderOptions) -> None:
    tokenizer = byte_level(template)
    example = render(talk("q1", "a1", "q2", "a2"), template_chat(tokenizer), tokenizer, options)
    assert example.labels[-1] == tokenizer.eos_id == example.input_ids[-1] and len(example.labels) - 1 in example.stops


def test_stop_ids() -> None:
    tokenizer = byte_level(CHATML)
    assert template_chat(tokenizer).stop_ids(tokenizer) == (tokenizer.id("<|im_end|>"), tokenizer.eos_id)
    assert MarkerChat().stop_ids(MINICPM) == (2,)
    with pytest.raises(ModelError, match="names no eos_token"):
        MarkerChat().stop_ids(TextTokenizer(MINICPM.backend, {"bos_token": "<s>"}))
    with pytest.raises(ConfigError, match="bos token"):
        render(talk("q", "a"), MarkerChat(), TextTokenizer(MINICPM.backend, {"eos_token": "</s>"}))


def test_untrained_answers() -> None:
    tokenizer = byte_level(CHATML)
    messages = (Message("user", "q1"), Message("assistant", "a1", train=False), *talk("q2", "a2").messages)
    for chat, own in ((template_chat(tokenizer), tokenizer), (MarkerChat(), MINICPM)):
        example = render(Conversation(messages), chat, own)
        assert [text.strip() for text in learned(example, own)] == ["a2|"]
    last = (*talk("q1", "a1").messages, Message("user", "q2"), Message("assistant", "a2", train=False))
    assert [text.strip() for text in learned(render(Conversation(last), MarkerChat(), MINICPM), MINICPM)] == ["a1|"]
    nothing = Conversation((Message("user", "q"), Message("assistant", "a", train=False)), Origin("x.json", 3))
    with pytest.raises(RecordError, match=r"x.json, record 3.*nothing to learn from"):
        render(nothing, MarkerChat(), MINICPM)


# --- training prompt = chat prompt -----------------------------------------------------------------------------------

texts = st.text(alphabet="你好ab =><|\n1用户AI", min_size=1, max_size=8).filter(lambda text: text.strip())


@settings(max_examples=60, deadline=None)
@given(contents=st.lists(texts, min_size=2, max_size=6).filter(lambda c: len(c) % 2 == 0), system=st.none() | texts)
@pytest.mark.parametrize("encoding", ["message", "conversation"])
@pytest.mark.parametrize(
    ("chat", "tokenizer"),
    [(MarkerChat(), MINICPM), (template_chat(byte_level(CHATML)), byte_level(CHATML))],
    ids=["minicpm", "chatml"],
)
def test_prompt_of_a_row_is_what_chat_sends(
    chat: ChatFormat, tokenizer: TextTokenizer, encoding: str, contents: list[str], system: str | None
) -> None:
    conversation = talk(*contents, system=system)
    chat = replace(chat, encoding=encoding)  # type: ignore[type-var]
    row = render(conversation, chat, tokenizer)
    answers = [n for n, message in enumerate(conversation.messages) if message.role == "assistant"]
    for number in answers:
        sent = render(Conversation(conversation.messages[:number]), chat, tokenizer, open_turn=True)
        assert row.input_ids[: len(sent.input_ids)] == sent.input_ids
        assert set(sent.labels) <= {IGNORE}
        first = len(sent.input_ids)
        assert row.labels[first] != IGNORE  # the answer begins right there
        assert row.labels[first - 1] == IGNORE
    assert len(row.stops) == len(answers)
    assert all(row.labels[position] in chat.stop_ids(tokenizer) for position in row.stops)


# --- cutting ---------------------------------------------------------------------------------------------------------


def test_cut_rows_are_counted_and_never_without_a_label() -> None:
    whole = render(talk("q", "a long answer that goes on", "q2", "a2"), MarkerChat(), MINICPM)
    total = len(whole.input_ids)
    prompt = next(n for n, label in enumerate(whole.labels) if label != IGNORE)
    for length in range(prompt + 1, total + 2):
        example = render(
            talk("q", "a long answer that goes on", "q2", "a2"), MarkerChat(), MINICPM, RenderOptions(length)
        )
        assert example.input_ids == whole.input_ids[:length] and example.labels == whole.labels[:length]
        assert example.cut == max(0, total - length) and example.label_count > 0
        assert all(position < length for position in example.stops)
    with pytest.raises(RecordError, match=rf"a.json, record 7.*cut to max_length {prompt}.*Raise max_length"):
        render(talk("q", "a"), MarkerChat(), MINICPM, RenderOptions(prompt))


# --- faults ----------------------------------------------------------------------------------------------------------


def test_template_faults_are_said() -> None:
    with pytest.raises(ModelError, match="has no chat template"):
        template_chat(byte_level(None))
    with pytest.raises(ModelError, match="not valid Jinja"):
        template_chat(byte_level("{% for %}"))
    refusing = "{{ raise_exception('no system here') if messages[0]['role'] == 'system' }}" + CHATML
    chat = template_chat(byte_level(refusing))
    with pytest.raises(RecordError, match="no system here"):
        render(talk("q", "a", system="s"), chat, byte_level(refusing))
    counting = "{{ messages|length }}" + CHATML  # the prompt changes with what follows
    with pytest.raises(RecordError, match=r"messages\[1\] differently in training and in chat"):
        render(talk("q", "a"), template_chat(byte_level(counting)), byte_level(counting))
    upper = CHATML.replace("message['content']", "message['content'] | upper")
    with pytest.raises(RecordError, match="does not write out"):
        render(talk("q", "a"), template_chat(byte_level(upper)), byte_level(upper))


def test_a_jinja_chat_is_named() -> None:
    assert isinstance(template_chat(byte_level(CHATML)), JinjaChat)


# --- what is learned -------------------------------------------------------------------------------------------------


def test_loss_on_the_last_answer_or_on_everything() -> None:
    conversation, chat = talk("one", "two", "three", "four", system="be kind"), MarkerChat()
    every = render(conversation, chat, MINICPM)
    last = render(conversation, chat, MINICPM, RenderOptions(loss_on="last_answer"))
    whole = render(conversation, chat, MINICPM, RenderOptions(loss_on="all"))
    assert every.input_ids == last.input_ids == whole.input_ids
    assert len(every.stops) == 2
    assert [text.strip() for text in learned(last, MINICPM)] == ["four|"]
    assert whole.labels[1:] == whole.input_ids[1:] and whole.labels[0] == IGNORE
    assert whole.stops == [len(whole.labels) - 1]


@pytest.mark.parametrize("chat", [MarkerChat(), template_chat(byte_level(CHATML))], ids=["markers", "jinja"])
def test_a_message_that_is_not_trained_stays_so(chat: ChatFormat) -> None:
    tokenizer = MINICPM if isinstance(chat, MarkerChat) else byte_level(CHATML)
    turns = talk("one", "two", "three", "four").messages
    conversation = Conversation((turns[0], replace(turns[1], train=False), *turns[2:]))
    for loss_on in ("answers", "all"):
        example = render(conversation, chat, tokenizer, RenderOptions(loss_on=loss_on))
        assert "two" not in "".join(learned(example, tokenizer))
        assert "four" in "".join(learned(example, tokenizer))


def test_plain_text_is_learned_whole_and_cut_into_rows() -> None:
    text = "床前明月光，疑是地上霜。" * 20
    conversation = Conversation((), Origin("a.txt", 0), text=text)
    whole = render(conversation, MarkerChat(), MINICPM)
    assert whole.labels == [IGNORE, *whole.input_ids[1:]] and whole.input_ids[-1] == MINICPM.eos_id
    rows = render_rows(conversation, MarkerChat(), MINICPM, RenderOptions(max_length=32))
    assert [token for row in rows for token in row.input_ids[1:]] == whole.input_ids[1:]
    assert [label for row in rows for label in row.labels[1:]] == whole.labels[1:], "every label once"
    assert all(len(row.input_ids) <= 32 and row.cut == 0 and row.labels[0] == IGNORE for row in rows)
    assert [row.stops for row in rows] == [[]] * (len(rows) - 1) + [[len(rows[-1].input_ids) - 1]]
    chat = talk("one", "two")
    assert render_rows(chat, MarkerChat(), MINICPM, RenderOptions(32)) == [render(chat, MarkerChat(), MINICPM)]


def test_plain_text_begins_as_the_tokenizer_says() -> None:
    conversation = Conversation((), Origin("a.txt", 0), text="床前明月光")
    bare = render(conversation, MarkerChat(), replace(MINICPM, add_bos=False))
    assert bare.input_ids == render(conversation, MarkerChat(), MINICPM).input_ids[1:]
    assert bare.labels == [IGNORE, *bare.input_ids[1:]]


def test_a_bad_answer_is_a_row_without_labels() -> None:
    example = render(replace(talk("one", "two"), liked=False), MarkerChat(), MINICPM)
    assert example.label_count == 0 and example.stops == [] and example.input_ids
    assert render(replace(talk("one", "two"), liked=True), MarkerChat(), MINICPM).label_count > 0


def test_pictures_are_refused_by_a_model_that_reads_text() -> None:
    with pytest.raises(RecordError, match="pictures"):
        render(replace(talk("one", "two"), images=(ImageRef("<image>", "a.png"),)), MarkerChat(), MINICPM)


def test_cut_labels_are_counted() -> None:
    whole = render(talk("one", "two " * 50), MarkerChat(), MINICPM)
    cut = render(talk("one", "two " * 50), MarkerChat(), MINICPM, RenderOptions(20))
    assert cut.cut == len(whole.input_ids) - 20
    assert cut.cut_labels == whole.label_count - cut.label_count > 0
