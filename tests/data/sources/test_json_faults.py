"""What a broken text seems to be, whatever the Python version words it like."""

from __future__ import annotations

import json

import pytest

from tunesmith.data.sources.json_faults import explain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": [1, 2,]}', "comma too many"),
        ('{"a": 1, }', "comma too many"),
        ("{a: 1}", "Expecting property name enclosed in double quotes, but there is 'a: 1}'."),
        ('{"a": nan}', "'nan' is Python's spelling"),
        ('{"a": undefined}', "Expecting value, but there is 'undefined}'."),
        ('{"a" 1}', "':' delimiter, but there is '1}'."),
        ('{"a": "\\x41"}', "backslash"),
        ('{"a": "\\u12"}', "backslash|escape"),
        ('{"a": 1} # note', "no comments"),
        ('{"a": 1} {', "one object a line"),
        ('{"a": 1', "ends in the middle"),
    ],
)
def test_explanations(text: str, words: str) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    assert any(word in explain(caught.value) for word in words.split("|")), explain(caught.value)


def test_one_paragraph() -> None:
    for text in ('{"a": 1}}\n"x": 2', '{"a": "b" ]\n,\n 1}', '{"a" \n x}'):
        with pytest.raises(json.JSONDecodeError) as caught:
            json.loads(text)
        assert "\n" not in explain(caught.value)
