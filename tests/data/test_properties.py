"""What holds for every conversation and every file: mask, prompt, cut, packs, and each record exactly once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tunesmith.data import flow, pipeline
from tunesmith.data.chat import ChatFormat, LossOn, RenderOptions, render, render_rows
from tunesmith.data.chats import MarkerChat, template_chat
from tunesmith.data.collate import collate
from tunesmith.data.flow import Work
from tunesmith.data.pack import PackedRows, pack
from tunesmith.data.pipeline import Preparation, Prepared, Weight, split, weigh
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, Example, Message, Origin
from tunesmith.errors import DataError, RecordError

FOLDER = Path(__file__).parents[1] / "golden" / "tokenizers" / "minicpm-2b"
MINICPM = TextTokenizer.load(FOLDER)
PLAIN = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))  # the library alone, without any code of ours
BOS, EOS = 1, 2
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level(template: str, words: bool) -> TextTokenizer:
    """A byte-level tokenizer whose tokens like to stand across the beginning and the end of an answer.

    `words`: it first cuts the text into words as GPT-2 does, and looks ahead of white space for that.
    """
    vocab = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("Ċ", "Ċ"), ("Ġ", "Ġ"), ("Ċ", "a"), ("Ċa", "b"), ("Ġ", "a"), ("Ċ", "Ġ"), ("Ċ", "ä"), ("a", "b")]
    for pair in merges:
        vocab["".join(pair)] = len(vocab)
    backend = Tokenizer(models.BPE(vocab, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(t, normalized=False) for t in ("</s>", "<|im_start|>", "<|im_end|>")])
    return TextTokenizer(backend, {"eos_token": "</s>"}, template)


BYTES, WORDS = byte_level(TEMPLATE, words=False), byte_level(TEMPLATE.replace("\n", "\n\n"), words=True)
CHATML = template_chat(BYTES)
LAYOUTS = pytest.mark.parametrize(
    ("chat", "tokenizer"),
    [(MarkerChat(), MINICPM), (CHATML, BYTES), (template_chat(WORDS), WORDS)],
    ids=["minicpm", "chatml", "words"],
)
SPECIAL = ("<unk>", "<s>", "</s>")
SOUP = (
    "你好",
    "世界，",
    "👩‍👩‍👧",
    "😀",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "a",
    "ab",
    "é",
    "e\u0301",
    "\u2028",
    "\x85",
    "ä",
    "𠮷",
)
SOUP += (
    "<用户>",
    "<AI>",
    "</s>",
    "<s>",
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "</",
    "s>",
    "{{",
    "{%",
    "▁",
    "\\n",
    '"',
)

words = st.lists(st.sampled_from(SOUP), min_size=1, max_size=7).map("".join)
texts = (words | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)).filter(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """A conversation of one to six questions and answers, at least one of them learned."""
    messages = [Message("system", draw(texts))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 6))):
        messages += [Message("user", draw(texts)), Message("assistant", draw(texts), draw(st.integers(0, 3)) > 0)]
    assume(any(message.train for message in messages if message.role == "assistant"))
    return Conversation(tuple(messages), Origin("soup.jsonl", 3, 4))


def alone(text: str) -> list[int]:
    """The ids of a text that stands alone."""
    ids: list[int] = PLAIN.encode(text, add_special_tokens=False).ids
    return ids


def published(conversation: Conversation, every: bool, loss_on: LossOn) -> tuple[list[int], list[int]]:
    """MiniCPM's published layout, written down a second time: <s>, each message on its own, </s>."""
    ids, labels, after = [BOS], [IGNORE], IGNORE
    last = len(conversation.messages) - 1
    for number, message in enumerate(conversation.messages):
        own = alone(f"<用户>{message.content}<AI>" if message.role == "user" else message.content)
        if message.role == "assistant":
            learns = message.train and (loss_on != "last_answer" or number == last)
        else:
            learns = loss_on == "all"
        labels += own if learns else [IGNORE] * len(own)
        if after != IGNORE:
            labels[-len(own)] = after
        ids += own
        ends = message.role == "assistant" and learns and every and loss_on != "all"
        after = EOS if ends else IGNORE
    return [*ids, EOS], [*labels, EOS if learns else IGNORE]


def stretches(example: Example) -> list[list[int]]:
    """The learned labels, cut behind each stop token."""
    found: list[list[int]] = [[]]
    for position, label in enumerate(example.labels):
        if label != IGNORE:
            found[-1].append(label)
        if position in example.stops:
            found.append([])
    return [labels for labels in found if labels]


def decoded(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.backend.decode(list(ids), skip_special_tokens=False))


# --- the mask --------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(conversation=conversations(), every=st.booleans(), loss_on=st.sampled_from(["answers", "last_answer", "all"]))
def test_minicpm_is_the_published_layout(conversation: Conversation, every: bool, loss_on: LossOn) -> None:
    options = RenderOptions(end_of_turn="every" if every else "last", loss_on=loss_on)
    expected = published(conversation, every, loss_on)
    if set(expected[1]) == {IGNORE}:  # the last answer alone is asked for, and not to be learned
        with pytest.raises(RecordError, match="nothing to learn from"):
            render(conversation, MarkerChat(), MINICPM, options)
        return
    example = render(conversation, MarkerChat(), MINICPM, options)
    assert (example.input_ids, example.labels) == expected
    assert all(example.labels[position] == EOS for position in example.stops)


@settings(max_examples=100, deadline=None)
@given(conversation=conversations())
def test_minicpm_mask_is_the_answers(conversation: Conversation) -> None:
    """A text tokenised alone decodes to itself, bytes of characters beyond the vocabulary joined; unless a special
    token cuts it in two (the second half gets a space mark), or it holds the space mark itself."""
    example = render(conversation, MarkerChat(), MINICPM)
    learned = [label for label in example.labels if label != IGNORE]
    for message in conversation.messages:
        if message.role == "assistant" and message.train:
            answer, rest = learned[: len(alone(message.content))], learned[len(alone(message.content)) :]
            assert (answer, rest[:1]) == (alone(message.content), [EOS])
            if "▁" not in message.content and not any(token in message.content for token in SPECIAL):
                assert decoded(MINICPM, answer) == message.content
            learned = rest[1:]
    assert learned == []


@settings(max_examples=150, deadline=None)
@given(conversation=conversations())
def test_chatml_mask_is_the_answers(conversation: Conversation) -> None:
    """Byte-level tokens decode to their text exactly, whatever it is, also where one stood across the mask's edge."""
    example = render(conversation, CHATML, BYTES)
    spans = [(f"<|im_start|>{m.role}\n", f"{m.content}<|im_end|>", "\n") for m in conversation.messages]
    assert decoded(BYTES, example.input_ids) == "".join(map("".join, spans))
    answers = [m.role == "assistant" and m.train for m in conversation.messages]
    expected = [text for (_, text, _), learned in zip(spans, answers, strict=True) if learned]
    assert [decoded(BYTES, labels) for labels in stretches(example)] == expected
    assert all(label in (IGNORE, own) for label, own in zip(example.labels, example.input_ids, strict=True))
    before = ""
    begins = []  # the text before each learned stretch
    for (head, text, tail), learned in zip(spans, answers, strict=True):
        begins += [before + head] if learned else []
        before += head + text + tail
    masked = [IGNORE, *example.labels]
    edges = [n for n, (a, b) in enumerate(pairwise(masked)) if a == IGNORE != b]
    assert [decoded(BYTES, example.input_ids[:edge]) for edge in edges] == begins


HEAD = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
TAIL = "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
THOUGHT = "<think>\n\n</think>\n\n"
OTHERS: dict[str, tuple[str, str, str]] = {  # a template, and what it writes before and behind the last answer
    "an empty thought, as Qwen3 has it": (
        HEAD
        + "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        + "{{ m['content'] + '<|im_end|>\n' }}"
        + TAIL,
        THOUGHT,
        "<|im_end|>",
    ),
    "spaces, as Llama 2 has them": (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
        + "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}",
        " ",
        " </s>",
    ),
    "no stop token": (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
        "",
        "</s>",
    ),
    "trimmed": (HEAD + "{{ m['content'] | trim + '<|im_end|>' + '\n' }}" + TAIL, "", "<|im_end|>"),
}
short = st.sampled_from(["hi", "think", "in", "n", "/", ">", "\\", "assistant", ":", "[", "INST", "</think>", "im_end"])


@pytest.mark.parametrize("name", OTHERS)
@settings(max_examples=60, deadline=None)
@given(question=texts | short, answer=texts.map(str.strip) | short)
def test_the_answer_is_found_in_any_template(name: str, question: str, answer: str) -> None:
    """Also one that occurs in what the template itself writes."""
    template, before, behind = OTHERS[name]
    tokenizer = TextTokenizer(BYTES.backend, BYTES.special, template)
    said = (Message("user", question), Message("assistant", "甲", train=False), Message("user", question))
    example = render(Conversation((*said, Message("assistant", answer))), template_chat(tokenizer), tokenizer)
    learned = [label for label in example.labels if label != IGNORE]
    assert decoded(tokenizer, learned) == before + answer + behind


@LAYOUTS
@settings(max_examples=60, deadline=None)
@given(conversation=conversations())
def test_what_is_learned(chat: ChatFormat, tokenizer: TextTokenizer, conversation: Conversation) -> None:
    every, whole = (render(conversation, chat, tokenizer, RenderOptions(loss_on=on)) for on in ("answers", "all"))
    assert every.input_ids == whole.input_ids
    untrained = [m for m in conversation.messages if m.role == "assistant" and not m.train]
    if not untrained:
        assert whole.labels[1:] == whole.input_ids[1:] and whole.labels[0] == IGNORE
    if conversation.messages[-1].train:
        last = render(conversation, chat, tokenizer, RenderOptions(loss_on="last_answer"))
        sent = render(Conversation(conversation.messages[:-1]), chat, tokenizer, open_turn=True).input_ids
        assert last.input_ids == every.input_ids
        assert last.labels == [IGNORE] * len(sent) + every.labels[len(sent) :]
        assert last.stops == [position for position in every.stops if position >= len(sent)]
    else:
        with pytest.raises(RecordError, match="nothing to learn from"):
            render(conversation, chat, tokenizer, RenderOptions(loss_on="last_answer"))


# --- the prompt, and the cut -----------------------------------------------------------------------------------------


@LAYOUTS
@settings(max_examples=80, deadline=None)
@given(conversation=conversations())
def test_the_prompt_of_each_answer_is_what_chat_sends(
    chat: ChatFormat, tokenizer: TextTokenizer, conversation: Conversation
) -> None:
    row = render(conversation, chat, tokenizer)
    edges = [n for n, (a, b) in enumerate(pairwise([IGNORE, *row.labels])) if a == IGNORE != b]
    begins = []
    for number, message in enumerate(conversation.messages):
        if message.role == "assistant":
            sent = render(Conversation(conversation.messages[:number]), chat, tokenizer, open_turn=True)
            assert row.input_ids[: len(sent.input_ids)] == sent.input_ids
            assert set(sent.labels) <= {IGNORE} and sent.stops == []
            begins += [len(sent.input_ids)] if message.train else []
    assert set(begins) <= set(edges)  # the others are ends of turns that are taught by a label alone
    assert all(edge in begins or edge in row.stops for edge in edges)


@LAYOUTS
@settings(max_examples=80, deadline=None)
@given(conversation=conversations(), share=st.floats(0, 1.1))
def test_a_cut_row_is_the_beginning_of_the_whole(
    chat: ChatFormat, tokenizer: TextTokenizer, conversation: Conversation, share: float
) -> None:
    whole = render(conversation, chat, tokenizer)
    length = max(1, round(share * len(whole.input_ids)))
    over = whole.labels[length:]
    if set(whole.labels[:length]) == {IGNORE}:
        with pytest.raises(RecordError, match=rf"soup.jsonl, record 3, line 4.*cut to max_length {length}\."):
            render(conversation, chat, tokenizer, RenderOptions(length))
        return
    row = render(conversation, chat, tokenizer, RenderOptions(length))
    assert (row.input_ids, row.labels) == (whole.input_ids[:length], whole.labels[:length])
    assert row.stops == [position for position in whole.stops if position < length]
    assert (row.cut, row.cut_labels) == (len(over), len(over) - over.count(IGNORE))


@LAYOUTS
@settings(max_examples=60, deadline=None)
@given(text=texts.map(lambda text: text * 3), length=st.integers(2, 40))
def test_a_plain_text_is_cut_into_rows_that_hold_all_of_it(
    chat: ChatFormat, tokenizer: TextTokenizer, text: str, length: int
) -> None:
    conversation = Conversation((), Origin("a.txt", 0), text=text)
    whole = render(conversation, chat, tokenizer)
    rows = render_rows(conversation, chat, tokenizer, RenderOptions(length))
    overlap = [token for row in rows[1:] for token in row.input_ids[1:]]  # the first one is the last of the row before
    assert rows[0].input_ids + overlap == whole.input_ids
    assert [label for row in rows for label in row.labels[1:]] == whole.labels[1:], "each label once"
    assert all(len(row.input_ids) == length and row.labels[0] == IGNORE for row in rows[:-1])


# --- batches ---------------------------------------------------------------------------------------------------------


@LAYOUTS
@settings(max_examples=40, deadline=None)
@given(many=st.lists(conversations(), min_size=1, max_size=9), spare=st.integers(0, 60), seed=st.integers(0, 9))
def test_packed_batches_hold_every_example_once(
    chat: ChatFormat, tokenizer: TextTokenizer, many: list[Conversation], spare: int, seed: int
) -> None:
    rows = [render(conversation, chat, tokenizer) for conversation in many]
    lengths = [len(row.input_ids) for row in rows]
    packed = PackedRows(rows, pack(lengths, max(lengths) + spare, seed))
    assert sorted(packed.packs.indexes.tolist()) == list(range(len(rows)))
    items = [packed[number] for number in range(len(packed))]
    batch = collate(items, 99_999)
    found = []
    for number, item in enumerate(items):
        mask = batch["attention_mask"][number]
        assert mask.max() == len(item.examples)
        assert (batch["input_ids"][number][mask == 0] == 99_999).all()
        assert (batch["labels"][number][mask == 0] == IGNORE).all()
        for segment in range(1, len(item.examples) + 1):
            own = mask == segment
            places = own.nonzero().flatten().tolist()
            assert places == list(range(places[0], places[-1] + 1))
            assert batch["position_ids"][number][own].tolist() == list(range(len(places)))
            labels = batch["labels"][number][own].tolist()
            assert labels[0] == IGNORE
            found.append((batch["input_ids"][number][own].tolist(), labels[1:]))
    assert sorted(found) == sorted((row.input_ids, row.labels[1:]) for row in rows)


# --- files -----------------------------------------------------------------------------------------------------------


def record(conversation: Conversation, number: int) -> dict[str, Any]:
    messages = [{"role": m.role, "content": m.content, "train": m.train} for m in conversation.messages]
    return {"messages": messages, "id": number}


def write(path: Path, records: list[dict[str, Any]]) -> str:
    """One object a line; or a list, if the file is called so."""
    if path.suffix == ".json":
        path.write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")
    else:
        path.write_text("\n".join(json.dumps(each, ensure_ascii=False) for each in records), encoding="utf-8")
    return str(path)


def rendered(file: str, talks: list[Conversation]) -> list[Example]:
    """What the rows of a file must be, but for the lines that they come from."""
    talks = [Conversation(talk.messages, Origin(file, number)) for number, talk in enumerate(talks)]
    return [render(talk, MarkerChat(), MINICPM) for talk in talks]


def without_lines(prepared: Sequence[Example] | Prepared) -> list[Example]:
    rows = list(prepared)
    for row in rows:
        assert row.origin is not None
        row.origin = Origin(row.origin.file, row.origin.record)
    return rows


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    parts=st.lists(st.lists(conversations(), min_size=1, max_size=6), min_size=1, max_size=3), seed=st.integers(0, 9)
)
def test_every_record_of_every_file_once_and_in_order(parts: list[list[Conversation]], seed: int) -> None:
    work = Work(MarkerChat(), MINICPM)
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder, f"{n}.{('jsonl', 'json')[n % 2]}") for n in range(len(parts))]
        files = [
            write(path, [record(c, n) for n, c in enumerate(part)]) for path, part in zip(names, parts, strict=True)
        ]
        prepared = Preparation(work).run(files)
        expected = [row for file, part in zip(files, parts, strict=True) for row in rendered(file, part)]
        assert without_lines(prepared) == expected
        weights = [Weight(often=1 + n, loss=1 / (1 + n)) for n in range(len(files))]
        weighed = without_lines(weigh(prepared, weights, seed))
        assert [row.weight for row in weighed] == [
            pytest.approx(weights[n].loss) for n, part in enumerate(parts) for _ in range(len(part) * (1 + n))
        ]
        for row in weighed:
            row.weight = 1.0
        places = [row.origin for row in expected for _ in range(1 + files.index(str(row.origin).split(", rec")[0]))]
        assert [row.origin for row in weighed] == places
        try:
            training, validation = split(prepared, 0.3, seed)
        except DataError:  # one prompt alone
            return
        both = without_lines(training) + without_lines(validation)
        assert sorted(both, key=lambda row: files.index(row.origin.file) * 100 + row.origin.record) == expected


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """Three files of many blocks."""

    def turns(n: int) -> dict[str, Any]:
        return record(Conversation((Message("user", f"第{n}题"), Message("assistant", f"答案是{n}。😀"))), n)

    return [write(tmp_path / name, [turns(n) for n in range(700)]) for name in ("a.jsonl", "b.json", "c.jsonl")]


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.data.sources import limits

    monkeypatch.setattr(limits, "BLOCK_RECORDS", 90)
    monkeypatch.setattr(limits, "CHUNK", 4096)


def test_two_processes_give_what_one_gives(many: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_blocks(monkeypatch)
    monkeypatch.setattr(flow, "SMALL", 0)
    work, done = Work(MarkerChat(), MINICPM), list[tuple[int, float]]()
    one = Preparation(work, processes=1).run(many)
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "other"))
    two = Preparation(work, processes=2, progress=lambda *at: done.append(at)).run(many)
    assert list(one) == list(two) and one.fingerprint == two.fingerprint
    assert [(row.origin.file, row.origin.record) for row in two] == [(file, n) for file in many for n in range(700)]
    assert {row.origin.line - row.origin.record for row in two if row.origin.file == many[0]} == {1}
    assert len(done) >= 24, "many blocks"
    assert done == sorted(done) and done[-1] == (2100, 1.0)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Count how often files are read."""
    calls: list[Any] = []

    def survey(*arguments: Any) -> Any:
        calls.append(arguments)
        return flow.survey(*arguments)

    monkeypatch.setattr(pipeline, "survey", survey)
    return calls


def test_the_same_files_are_read_once(many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counting(monkeypatch)
    small = write(Path(many[0]).with_name("small.jsonl"), [json.loads(Path(many[0]).read_text().splitlines()[5])] * 3)

    def run(files: list[str] = [small], chat: ChatFormat = MarkerChat(), **options: Any) -> Prepared:  # noqa: B006, B008
        return Preparation(Work(chat, MINICPM, RenderOptions(**options))).run(files)

    first, second = run(), run()
    assert len(calls) == 1
    assert list(first) == list(second) and first.fingerprint == second.fingerprint
    assert first.report.as_json() == second.report.as_json()
    changes: list[Callable[[], Prepared]] = [
        lambda: run(max_length=24),
        lambda: run(end_of_turn="last"),
        lambda: run(loss_on="all"),
        lambda: run(chat=MarkerChat(user="<人>")),
        lambda: run([small, many[0]]),
    ]
    prints = {first.fingerprint, *(change().fingerprint for change in changes)}
    assert len(calls) == len(prints) == 1 + len(changes)


def test_a_changed_file_is_read_again(many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls, work = counting(monkeypatch), Work(MarkerChat(), MINICPM)
    before = Preparation(work).run(many[:1])
    text = Path(many[0]).read_text(encoding="utf-8")
    Path(many[0]).write_text(text.replace("第3题", "第4题", 1), encoding="utf-8")  # of the same size
    after = Preparation(work).run(many[:1])
    assert len(calls) == 2 and before.fingerprint != after.fingerprint
    assert [n for n in range(700) if before[n] != after[n]] == [3]


def test_a_tool_that_says_nothing_takes_nothing_from_the_next_answer() -> None:
    """Between two answers there is no place for the stop of the first one, but the second is to be learned whole."""
    said = (Message("user", "问"), Message("assistant", "查"), Message("tool", ""), Message("assistant", "世界"))
    try:
        example = render(Conversation(said), MarkerChat(), MINICPM)
    except RecordError:
        return  # to refuse it is right as well
    assert example.labels[-1 - len(alone("世界")) :] == [*alone("世界"), EOS]


def test_records_without_a_row_are_refused_in_words(tmp_path: Path) -> None:
    disliked = {"prompt": "问", "completion": "答", "label": False}
    with pytest.raises(DataError, match="row|learn") as caught:
        Preparation(Work(MarkerChat(), MINICPM), "skip").run([write(tmp_path / "a.jsonl", [disliked] * 2)])
    assert "cannot be used:\n  \n" not in str(caught.value)
