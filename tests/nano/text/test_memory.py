"""Something told and asked for later: the answer holds what was told, whatever stands between."""

from __future__ import annotations

import re
from random import Random

from tunesmith.nano.text.memory import remember
from tunesmith.nano.text.turns import turns


def test_the_answer_holds_what_was_told() -> None:
    rng = Random(0)
    for _ in range(200):
        sample = remember(rng, turns("a", "b"))
        told = sample.messages[0]["content"]
        assert len(sample.messages) == 6 and sample.messages[2]["content"] == "a"
        assert any(part in told for part in re.findall(r"\d+|[A-Z][a-z]+|[a-z]{3,}|[\u4e00-\u9fff]{2}", sample.answer))
