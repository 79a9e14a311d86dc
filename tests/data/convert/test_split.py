"""Splitting: near the shares, repeatable, and nothing that is asked stands in two parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.convert.split import assign, prompt_key, read_shares
from tunesmith.data.types import Conversation, ImageRef, Message
from tunesmith.errors import ConfigError, DataError


def test_read_shares() -> None:
    assert read_shares("0.9,0.05,0.05") == (0.9, 0.05, 0.05)
    assert read_shares("0.8, .2") == (0.8, 0.2, 0.0)
    for text in ("", "0.9", "0.9,0.2", "a,b", "1.1,-0.1", "0.25,0.25,0.25,0.25", "nan,0.5,0.5", "90,10"):
        with pytest.raises(ConfigError, match="add up to 1"):
            read_shares(text)
    for text in ("0,0.5,0.5", "1,0"):
        with pytest.raises(ConfigError, match="leaves nothing to train on|splits nothing"):
            read_shares(text)


def talk(question: str, answer: str = "a", role: str = "user", **more: object) -> Conversation:
    return Conversation((Message(role, question), Message("assistant", answer)), **more)  # type: ignore[arg-type]


def test_the_key_is_the_prompt() -> None:
    key = prompt_key(talk(" how  are\nyou "), 1)
    assert key == prompt_key(talk("how are you", "other"), 1) < 2**64
    others = [
        prompt_key(talk("how are you"), 2),
        prompt_key(talk("howare you"), 1),
        prompt_key(talk("how are you", role="system"), 1),
        prompt_key(Conversation((Message("user", "how"), Message("user", "are you"), Message("assistant", "a"))), 1),
    ]
    assert key not in others and len(set(others)) == 4
    one = talk("<image>\nwhat?", images=(ImageRef("<image>", "a.jpg"),))
    same = talk("<image_00> what?", images=(ImageRef("<image_00>", "a.jpg"),))
    other = talk("<image_00> what?", images=(ImageRef("<image_00>", "b.jpg"),))
    assert prompt_key(one, 1) == prompt_key(same, 1) != prompt_key(other, 1)
    texts = [prompt_key(Conversation((), text=text), 1) for text in ("a b", " a  b", "b")]
    assert texts[0] == texts[1] != texts[2]


shares = st.sampled_from([(0.9, 0.05, 0.05), (0.5, 0.5, 0.0), (0.6, 0.0, 0.4), (0.01, 0.01, 0.98)])


@given(
    st.lists(st.integers(0, 40), min_size=3, max_size=200).filter(lambda keys: len(set(keys)) >= 3),
    shares,
    st.randoms(),
)
def test_no_prompt_is_in_two_parts(keys: list[int], wanted: tuple[float, ...], random: object) -> None:
    parts = assign(keys, wanted)
    assert len(parts) == len(keys)
    place = dict(zip(keys, parts.tolist(), strict=True))
    assert all(place[key] == part for key, part in zip(keys, parts.tolist(), strict=True))
    assert set(place.values()) == {number for number, share in enumerate(wanted) if share}
    shuffled = keys[::-1]
    assert [place[key] for key in shuffled] == assign(shuffled, wanted).tolist()


def test_the_shares_are_met() -> None:
    keys = [prompt_key(talk(str(number)), 7) for number in range(1000)]
    counts = np.bincount(assign(keys, (0.9, 0.05, 0.05)))
    assert counts.tolist() == [900, 50, 50]
    assert np.bincount(assign(keys[:10], (0.9, 0.05, 0.05))).tolist() == [8, 1, 1]


def test_too_few_prompts() -> None:
    with pytest.raises(DataError, match="4 records with 2 different prompts cannot be split into 3 parts"):
        assign([1, 1, 2, 2], (0.8, 0.1, 0.1))
