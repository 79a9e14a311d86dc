"""What counts as right: the same text, the same but for form, the same call."""

from __future__ import annotations

import json
import sys

import pytest

from tunesmith.data.types import Message
from tunesmith.errors import ConfigError, MachineError
from tunesmith.eval.metrics import METRICS, Given, calls_in, check, measures, normalised


def given(expected: str, answer: str, calls: str = "", stopped: str = "stop") -> Given:
    return Given(Message("assistant", expected, calls=calls), answer, stopped)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Ｈｅｌｌｏ，  World！", "hello world"),
        ("我是小锤。", "我是小锤"),
        ("STRASSE\n", "straße"),
        ("well-known", "wellknown"),
    ],
)
def test_normalised_leaves_out_form(first: str, second: str) -> None:
    assert normalised(first) == normalised(second)


def test_normalised_keeps_what_matters() -> None:
    assert normalised("3 + 4") != normalised("3 4")
    assert normalised("ice cream") != normalised("icecream")


def test_values_of_answers() -> None:
    rows = [given("red", "red"), given("red", "Red."), given("red", "blue", stopped="length")]
    found = {measure.name: measure.value for measure in measures(rows)[0]}
    assert found["exact"] == pytest.approx(1 / 3)
    assert found["normalised"] == found["ended"] == found["rouge1"] == found["rougeL"] == pytest.approx(2 / 3)
    assert "json_valid" not in found and "calls_equal" not in found


def test_json_is_compared_by_value() -> None:
    rows = [
        given('{"a": 1, "b": [2]}', '{"b":[2],"a":1}'),
        given('{"a": 1}', '{"a": 2}'),
        given("[1]", "one"),
        given("plain", "{}"),
    ]
    found = {measure.name: measure for measure in measures(rows)[0]}
    assert (found["json_valid"].value, found["json_equal"].value) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found["json_valid"].count == 3


CALL = '{"name": "weather", "arguments": {"city": "北京"}}'


@pytest.mark.parametrize(
    ("answer", "valid", "equal"),
    [
        (CALL, 1, 1),
        (f"<tool_call>\n{CALL}\n</tool_call>", 1, 1),
        (f"Let me look {{that}} up: ```json\n[{CALL}]\n```", 1, 1),
        (CALL.replace("北京", "上海"), 1, 0),
        (f"{CALL} {CALL}", 1, 0),
        (CALL[:-2], 0, 0),
        ("The weather is fine.", 0, 0),
    ],
)
def test_calls_of_tools(answer: str, valid: int, equal: int) -> None:
    found = {measure.name: measure for measure in measures([given("", answer, calls=CALL)])[0]}
    assert (found["calls_valid"].value, found["calls_equal"].value) == (valid, equal)
    assert "exact" not in found  # no text is expected beside the call


def test_calls_in_text_are_found_once() -> None:
    assert calls_in(f'{{"x": {CALL}}}') == []  # inside something else it is no call
    assert [call["name"] for call in calls_in(f"{CALL}, {CALL}")] == ["weather"] * 2
    assert calls_in("[" * 100_000) == []
    assert calls_in(json.dumps(["a", 1, None])) == []


def test_bleu_takes_the_words_of_the_language() -> None:
    (english,), _ = measures([given("the cat sat on the mat", "the cat sat on the mat")], ["bleu"])
    (chinese,), _ = measures([given("今天下雨路很滑", "今天下雨路很滑")], ["bleu"])
    assert (english.value, chinese.value) == (pytest.approx(100), pytest.approx(100))
    assert "'13a'" in english.about and "'zh'" in chinese.about


def test_without_sacrebleu_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    found, (note,) = measures([given("red", "red")])
    assert {"exact", "chrf", "rougeL"} <= {measure.name for measure in found}
    assert "pip install 'tunesmith[eval]'" in note
    with pytest.raises(MachineError, match="BLEU needs sacrebleu"):
        check(["exact", "bleu"])


def test_unknown_metrics_are_named() -> None:
    with pytest.raises(ConfigError, match="no 'rouge'; did you mean 'rouge"):
        check(["rouge"])
    check(list(METRICS))
