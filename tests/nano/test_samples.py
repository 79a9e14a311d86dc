"""The demo's sample data: nothing leaks between the splits, and the script gives the shipped files."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

from tunesmith.nano import DATA, samples
from tunesmith.nano.text.identity import OWN_ANSWERS


def questions(split: str) -> list[str]:
    return [record["messages"][0]["content"] for record in samples.build()[f"{split}.json"]]


def test_no_question_is_in_two_splits() -> None:
    for one, two in combinations(samples.SPLITS, 2):
        assert not set(questions(one)) & set(questions(two))
    # Nor is a held-out sentence trained on about another thing, or a held-out question behind an opening.
    trained = "\n".join(questions("train")).lower()
    for split in ("validation", "test"):
        for asked in questions(split):
            if "\n" not in asked:
                assert f"{asked.lower().rstrip('.?。？')}?" not in trained.replace("？", "?").split("\n")


def test_sizes_and_shares() -> None:
    built = samples.build()
    assert 300 <= len(built["train.json"]) <= 500
    for split in ("validation.json", "test.json"):
        rows = built[split]
        assert len(rows) == 40
        assert sum("\n" in row["messages"][0]["content"] for row in rows) == 20
    assert len(built["persona.json"]) >= 60
    assert all(record.keys() == {"instruction", "input", "output"} for record in built["persona.json"])


def test_preferences_compare_two_answers_to_training_questions() -> None:
    built = samples.build()
    answers = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in built["train.json"]}
    rows = built["preference.json"]
    assert len(rows) == 2 * samples.COMPARED == sum(row["chosen"] == answers[row["prompt"]] for row in rows)
    assert all(row["chosen"] != row["rejected"] for row in rows)
    routed = [row for row in rows if "\n" in row["prompt"]]
    assert len(routed) == samples.COMPARED and all(row["rejected"] in answers.values() for row in routed)
    assert not {row["prompt"] for row in rows} & {*questions("validation"), *questions("test")}


def test_the_persona_is_new_to_the_model() -> None:
    own = {answer for kinds in OWN_ANSWERS.values() for answer in kinds.values()}
    assert not own & {answer for kinds in samples.PERSONA.values() for answer in kinds.values()}


def test_the_script_gives_the_shipped_files(tmp_path: Path) -> None:
    samples.main(["--out", str(tmp_path)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["persona.json", "preference.json", "test.json", "train.json", "validation.json"]
    for name in names:
        assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes(), name
        assert json.loads((DATA / name).read_text(encoding="utf-8"))
