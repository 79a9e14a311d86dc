"""lm_eval: what is missing is said in words; and, where it is installed, real tasks from files of ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tunesmith.edges import lm_eval
from tunesmith.edges.lm_eval import Asked, Harness, Pair
from tunesmith.errors import ConfigError, MachineError


class Counter:
    """A model whose tokens are bytes; it finds a continuation the likelier, the shorter it is."""

    name, prefix, longest = "counter", 0, 6

    def __init__(self) -> None:
        self.scored: list[Pair] = []
        self.asked: list[Asked] = []

    def encode(self, text: str, special: bool = True) -> list[int]:
        return [self.prefix] * special + list(text.encode())

    def rendered(self, messages: Sequence[dict[str, str]], open_turn: bool) -> str:
        return "".join(f"[{one['content']}]" for one in messages) + ">" * open_turn

    def score(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        self.scored += pairs
        return [(-float(len(continuation)), True) for _, continuation in pairs]

    def write(self, asked: Sequence[Asked]) -> list[str]:
        self.asked += asked
        return ["yes" for _ in asked]


def write_task(folder: Path, **settings: Any) -> None:
    """Write a task file named after its kind, and the documents that it reads."""
    rows = [{"question": "Is it?", "choices": ["yes", "no"], "answer": 1}] * 3
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    files = {"data_files": {"test": str(folder / "rows.jsonl")}, "cache_dir": str(folder / "cache")}
    task = {"dataset_path": "json", "dataset_kwargs": files, "test_split": "test", **settings}
    (folder / f"{task['task']}.yaml").write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MachineError, match=r"pip install 'tunesmith\[lm-eval\]'"):
        lm_eval.library()


@pytest.mark.filterwarnings("ignore")
def test_the_harness_asks_and_counts(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    write_task(
        tmp_path,
        task="choose",
        output_type="multiple_choice",
        doc_to_text="{{question}}",
        doc_to_choice="{{choices}}",
        doc_to_target="answer",
        metric_list=[{"metric": "acc"}],
    )
    write_task(
        tmp_path,
        task="write",
        output_type="generate_until",
        doc_to_text="{{question}}",
        doc_to_target="yes",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 7},
        metric_list=[{"metric": "exact_match"}],
    )
    write_task(
        tmp_path,
        task="read",
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="12345678",
        metric_list=[{"metric": "byte_perplexity"}],
    )
    model = Counter()
    found = lm_eval.run(model, Harness(("choose", "write", "read"), (str(tmp_path),), limit=2))
    figures = found["results"]
    assert figures["choose"]["acc,none"] == 1.0 and figures["write"]["exact_match,none"] == 1.0
    assert figures["read"]["byte_perplexity,none"] == pytest.approx(2.718281828)
    assert model.asked == [Asked("Is it?", ("\n",), 7)] * 2
    assert (model.encode("Is it?"), list(b" no")) in model.scored
    rolled = [pair for pair in model.scored if pair[1][0] in b"12345678"]
    assert b"".join(bytes(continuation) for _, continuation in rolled) == b"12345678" * 2
    assert all(len(context) + len(continuation) <= model.longest for context, continuation in rolled)
    talk = Counter()
    lm_eval.run(talk, Harness(("write",), (str(tmp_path),), limit=1, chat=True))
    assert talk.asked[0].text == "[Is it?]>"


@pytest.mark.filterwarnings("ignore")
def test_tasks_that_cannot_be_loaded(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    with pytest.raises(ConfigError, match=r"lm-eval knows no task 'hellaswa'\. Known with that .*hellaswag"):
        lm_eval.run(Counter(), Harness(("hellaswa",)))
    write_task(
        tmp_path, task="gone", dataset_path="nobody/has-this", dataset_kwargs={}, doc_to_text="", doc_to_target=""
    )
    with pytest.raises(MachineError, match="The data of the task 'gone' is not on this machine. .* --online"):
        lm_eval.run(Counter(), Harness(("gone",), (str(tmp_path),)))
