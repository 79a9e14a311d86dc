"""One evaluation from files to results.json: tasks by the records, several models, and starting again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith.errors import ConfigError, DataError, MachineError
from tunesmith.eval.lineup import Lineup
from tunesmith.eval.run import RESULTS, Plan, chosen_tasks, evaluate
from tunesmith.eval.source import Source
from tunesmith.generate.decode import Voice
from tunesmith.generate.sampling import Sampling

SETTINGS = {"sampling": Sampling(greedy=True, max_new_tokens=12), "batch_size": 2, "metrics": ("exact", "chrf")}


def plan(data: str, output: Path, *models: str, **more: Any) -> Plan:
    lineup = Lineup(dtype="float32", device="cpu")
    return Plan(models or ("nano-minicpm",), Source([data]), lineup, settings=SETTINGS, output=output, **more)


def test_several_models_side_by_side(data: str, adapters: list[str], tmp_path: Path) -> None:
    evaluation = plan(data, tmp_path / "out", adapters[0], "nano-minicpm", adapters[1])
    found = evaluate(evaluation)
    assert evaluation.lineup.loads == 1
    content = json.loads((tmp_path / "out" / RESULTS).read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps(found.content))
    assert [model["name"] for model in content["models"]] == [adapters[0], "nano-minicpm", adapters[1]]
    assert set(content["summary"]) == {"perplexity", "answer"}
    assert set(content["summary"]["answer"]) == {"exact", "chrf"}
    loss = content["summary"]["perplexity"]["loss"]
    assert len(loss["models"]) == 3 and len(loss["differences"]) == 2
    gap = loss["models"][0]["value"] - loss["models"][1]["value"]
    assert loss["differences"][0]["interval"]["value"] == pytest.approx(gap)
    row = content["rows"]["answer"][1]
    assert (row["record"], row["line"], row["expected"]) == (1, 2, "I am Hammer.")
    assert row["file"] == data and row["prompt"] == [{"role": "user", "content": "Who are you?"}]
    assert len(row["models"]) == 3 and set(row["models"][0]) == {"answer", "stopped", "tokens", "metrics"}
    alone = evaluate(plan(data, tmp_path / "alone"))
    assert [one["models"][0] for one in alone.content["rows"]["answer"]] == [
        one["models"][1] for one in content["rows"]["answer"]
    ]


def test_a_second_start_goes_on_and_gives_the_same(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(plan(data, tmp_path / "whole"))
    asked: list[int] = []
    original = Voice.answer

    def stopping(self: Any, prompts: Any, *more: Any) -> None:
        if len(asked) == 1:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(prompts))
        original(self, prompts, *more)

    monkeypatch.setattr(Voice, "answer", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan(data, tmp_path / "out"))
    assert not (tmp_path / "out" / RESULTS).exists()
    again = evaluate(plan(data, tmp_path / "out"))
    assert asked == [2, 0, 2, 1]
    assert again.content["rows"] == whole.content["rows"]
    assert again.content["summary"] == whole.content["summary"]
    more = evaluate(plan(data, tmp_path / "out", "nano-minicpm", "nano-minicpm"))  # a baseline added later
    assert asked == [2, 0, 2, 1]
    assert more.content["rows"]["answer"][0]["models"][0] == whole.content["rows"]["answer"][0]["models"][0]


def test_results_of_another_evaluation_are_not_overwritten(data: str, tmp_path: Path) -> None:
    evaluate(plan(data, tmp_path / "out", tasks=("perplexity",)))
    before = (tmp_path / "out" / RESULTS).read_bytes()
    with pytest.raises(ConfigError, match="holds the results of another evaluation"):
        evaluate(plan(data, tmp_path / "out", tasks=("perplexity",), seed=1))
    assert (tmp_path / "out" / RESULTS).read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be written"):
        evaluate(plan(data, tmp_path / "file"))


def test_another_tokenizer_is_not_compared_token_by_token(data: str, tmp_path: Path) -> None:
    found = evaluate(plan(data, tmp_path / "out", "nano-minicpm", "nano-transnormer")).content["summary"]
    assert found["perplexity"]["loss"]["differences"] == [None]
    assert found["answer"]["exact"]["differences"][0]["p"] is not None


def test_tasks_follow_from_the_records(records: Callable[..., str], data: str, tmp_path: Path) -> None:
    text = records({"text": "Once upon a time."}, name="text.jsonl")
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    choice = records({"messages": talk, "choices": ["b", "c"]}, name="choice.jsonl")
    assert chosen_tasks(plan(text, tmp_path)) == ["perplexity"]
    assert chosen_tasks(plan(data, tmp_path)) == ["perplexity", "answer"]
    assert chosen_tasks(plan(choice, tmp_path)) == ["perplexity", "answer", "choice"]
    assert chosen_tasks(plan(choice, tmp_path, tasks=("choice", "choice"))) == ["choice"]
    with pytest.raises(ConfigError, match="Unknown task 'answers'; did you mean 'answer'"):
        chosen_tasks(plan(data, tmp_path, tasks=("answers",)))


def test_bad_records_are_told_in_the_commands_words(records: Callable[..., str], tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    file = records({"messages": talk}, {"messages": "x"})
    with pytest.raises(DataError, match="(?s)record 1, line 2.*or leave them out with --on-bad skip"):
        evaluate(plan(file, tmp_path / "out"))
    with pytest.raises(DataError, match="(?s)record 1, line 2.*or leave them out with --on-bad skip"):
        evaluate(plan(file, tmp_path / "out", tasks=("perplexity",)))


@pytest.mark.parametrize("tasks", [("perplexity",), ("answer",), ("perplexity", "answer"), ()])
def test_what_is_left_out_is_in_the_results_once(
    records: Callable[..., str], tmp_path: Path, tasks: tuple[str, ...]
) -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    skipping = plan(records({"messages": talk}, {"messages": "x"}), tmp_path / "out", tasks=tasks)
    skipping.source.on_bad = "skip"
    (file,) = evaluate(skipping).content["records"]
    assert (file["records"], file["kept"], [bad["index"] for bad in file["bad"]]) == (2, 1, [1])
