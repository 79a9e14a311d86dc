"""tunesmith eval on the command line: the table, JSON, the run's own settings, and mistakes in one paragraph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith import cli
from tunesmith.eval.command import Options
from tunesmith.nano import DATA


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def evaluated(*arguments: str) -> int:
    return cli.main(["eval", *arguments, "--device", "cpu", "--max-new-tokens", "16"])


def test_before_and_after_a_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = [
        "model=nano-minicpm", "output=runs/mine", f"data.train={DATA / 'train.json'}", "data.max_length=128",
        "training.steps=30", "training.batch_size=16", "training.learning_rate=4e-3", "training.schedule=cosine",
        "training.device=cpu", "training.verify=false", "training.report_to=[]", "data.end_of_turn=last",
    ]  # fmt: skip
    assert cli.main(["train", *settings]) == 0
    capsys.readouterr()
    test = str(DATA / "test.json")
    assert evaluated("runs/mine", test, "--baseline", "nano-minicpm") == 0
    shown = capsys.readouterr()
    assert "mine minus nano-minicpm" in shown.out and "perplexity" in shown.out and "chrf" in shown.out
    assert "Wrote runs/eval/mine-" in shown.err
    (file,) = Path("runs/eval").glob("mine-*/results.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["settings"]["rows"]["max_length"] == 128  # the run's own
    assert content["settings"]["rows"]["end_of_turn"] == "last"
    chrf = content["summary"]["answer"]["chrf"]
    assert chrf["models"][0]["value"] > chrf["models"][1]["value"] + 10
    assert chrf["differences"][0]["interval"]["low"] > 0
    assert len(content["rows"]["answer"]) == 40
    assert evaluated("runs/mine", test, "--baseline", "nano-minicpm", "--json") == 0  # everything is known
    printed = json.loads(capsys.readouterr().out)
    assert printed["summary"] == content["summary"]
    assert [model["name"] for model in printed["models"]] == ["runs/mine", "nano-minicpm"]


def test_choices(capsys: pytest.CaptureFixture[str], records: Callable[..., str]) -> None:
    pair = {"sentence1": "天在下雨。", "sentence2": "天气很好。", "label": "contradiction"}
    other = {"sentence1": "他在跑。", "sentence2": "他在动。", "label": "entailment"}
    file = records(pair, other)
    labels = "entailment,neutral,contradiction"
    assert evaluated("nano-minicpm", file, "--task", "choice", "--choices", labels, "--json") == 0
    found = json.loads(capsys.readouterr().out)["summary"]
    assert set(found) == {"choice"} and set(found["choice"]) == {"accuracy", "accuracy_per_token"}


def test_bad_records_that_are_skipped_are_named(
    capsys: pytest.CaptureFixture[str], records: Callable[..., str]
) -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    file = records({"messages": talk}, {"messages": "x"})
    assert evaluated("nano-minicpm", file, "--on-bad", "skip", "--task", "answer") == 0
    assert "Left out: " in (said := capsys.readouterr().err) and "record 1, line 2" in said


def test_ctrl_c_says_that_it_goes_on(
    capsys: pytest.CaptureFixture[str], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.generate.decode import Voice

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Voice, "answer", interrupt)
    assert evaluated("nano-minicpm", data) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nano-minicmp", "DATA"], "nano-minicmp"),
        (["nano-minicpm", "none.json"], "none.json"),
        (["nano-minicpm", "DATA", "--task", "anser"], "did you mean 'answer'"),
        (["nano-minicpm", "DATA", "--metric", "exakt"], "did you mean 'exact'"),
        (["nano-minicpm", "DATA", "--choices", "one"], "give two or more texts"),
        (["nano-minicpm", "DATA", "--top-p", "0.5"], "need --temperature"),
        (["nano-minicpm", "DATA", "--temperature", "-1"], "temperature"),
        (["nano-minicpm", "DATA", "--baseline", "nowhere"], "nowhere"),
        (["nano-minicpm"], "DATA"),
    ],
)
def test_mistakes_are_one_paragraph(
    capsys: pytest.CaptureFixture[str], data: str, arguments: list[str], message: str
) -> None:
    assert cli.main(["eval", *(data if word == "DATA" else word for word in arguments)]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_answers_are_drawn_only_where_a_temperature_is_given() -> None:
    assert Options("m", ["d"]).sampling.greedy
    assert Options("m", ["d"], temperature=0).sampling.greedy
    drawn = Options("m", ["d"], temperature=0.7, top_p=0.9, seed=5).sampling
    assert not drawn.greedy and (drawn.temperature, drawn.top_p, drawn.seed) == (0.7, 0.9, 5)


def test_a_runs_damaged_config_is_named(capsys: pytest.CaptureFixture[str], data: str) -> None:
    Path("run").mkdir()
    Path("run/status.json").write_text("{}")
    for text in ("data: [", "model: x", "- 1"):
        Path("run/config.yaml").write_text(text)
        assert cli.main(["eval", "run", data]) == 2
        assert "run/config.yaml' is damaged" in capsys.readouterr().err
