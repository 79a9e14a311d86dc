"""Three rows of a premise stand together and have the three answers."""

from __future__ import annotations

from tunesmith.bench.datasets import pairs


def test_rows_of_a_premise_begin_alike_and_differ() -> None:
    records = pairs.records(300, seed=7)
    questions = [record["messages"][0]["content"] for record in records]
    assert len(set(questions)) == 300
    for start in range(0, 300, 3):
        premises = {question.split("\n")[1] for question in questions[start : start + 3]}
        answers = [record["messages"][1]["content"] for record in records[start : start + 3]]
        assert len(premises) == 1 and answers == ["entailment", "neutral", "contradiction"]
    assert len(pairs.records(7, seed=7)) == 7
