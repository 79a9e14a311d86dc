"""The sentences of the demo's classification task: both languages, four teams, no sentence twice."""

from __future__ import annotations

from tunesmith.nano.routing import PROMPTS, SENTENCES


def test_each_team_has_its_own_sentences() -> None:
    assert SENTENCES.keys() == PROMPTS.keys() == {"zh", "en"}
    for labels in SENTENCES.values():
        sentences = [sentence for found in labels.values() for sentence in found]
        assert len(labels) == 4 and len(sentences) == len(set(sentences)) >= 120
        assert all("{" not in sentence.replace("{t}", "") for sentence in sentences)
