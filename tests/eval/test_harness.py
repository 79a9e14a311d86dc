"""What the harness asks is answered by the model: likelihoods, the likeliest tokens, texts; and what it finds is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tunesmith.cli import main
from tunesmith.edges import lm_eval
from tunesmith.edges.lm_eval import Asked, Harness
from tunesmith.errors import ConfigError, MachineError
from tunesmith.eval.harness import Answers, run, table
from tunesmith.eval.lineup import Lineup
from tunesmith.models.load import Loaded

TEXTS = ("Who are you?", "The grass is", "你好")


@pytest.fixture
def answers(nano: Loaded) -> Answers:
    return Answers(nano, "nano")


def test_scores_are_those_of_the_models_logits(answers: Answers, nano: Loaded) -> None:
    pairs = [(answers.encode(text), answers.encode(more, special=False)) for text in TEXTS for more in (" green", "a")]
    model: Any = nano.model
    greedy = model(input_ids=torch.tensor([pairs[0][0]])).logits[0, -1].argmax().item()
    pairs.append((pairs[0][0], [greedy]))
    for (context, continuation), (logp, best) in zip(pairs, answers.score(pairs), strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1]
        chosen = torch.tensor(continuation)
        wanted = logits.log_softmax(-1).gather(1, chosen[:, None]).sum()
        assert logp == pytest.approx(float(wanted), abs=1e-3)
        assert best == bool((logits.argmax(-1) == chosen).all())
    assert answers.score(pairs)[-1][1] and answers.cut == 0


def test_rows_that_are_too_long_lose_their_beginning(answers: Answers) -> None:
    answers.longest = 8
    long, short = list(range(10, 30)), list(range(20, 27))
    assert answers.score([(long, [5])])[0] == pytest.approx(answers.score([(list(range(23, 30)), [5])])[0])
    assert answers.cut == 1 and len(short) == 7
    assert answers.score([([9], long)])[0][0] == pytest.approx(answers.score([([22], list(range(23, 30)))])[0][0])


def test_begin_token_and_chat_format(answers: Answers) -> None:
    ids = answers.encode("Who?")
    assert ids[0] == answers.prefix and ids[1:] == answers.encode("Who?", special=False)
    assert answers.rendered([{"role": "user", "content": "Who?"}], True) == "<用户>Who?<AI>"


def test_texts_end_where_they_are_told(answers: Answers) -> None:
    asked = [answers.rendered([{"role": "user", "content": text}], True) for text in TEXTS]
    whole = answers.write([Asked(text, (), 24) for text in asked])
    assert all(whole) and len(set(whole)) > 1
    for text, written in zip(asked, whole, strict=True):
        sign = written[2]
        assert answers.write([Asked(text, (sign,), 24)]) == [written[: written.index(sign)]]
    drawn = [Asked(text, (), 24, (1.5, None, None)) for text in asked]
    assert answers.write([*drawn, Asked(asked[0], (), 24)])[-1] == whole[0]
    assert answers.write(drawn) == answers.write(drawn)  # the seed is the harness's


def test_results_are_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that finds what it is told to: several models, errors where there are some, no figure that is none."""
    figures = {"alias": "a", "acc,none": 0.5, "acc_stderr,none": 0.1, "f1,strict": 0.25, "f1_stderr,strict": "N/A"}
    result = {"results": {"mine": figures}, "versions": {"mine": 1}, "config": {"left": "out"}}
    monkeypatch.setattr(lm_eval, "library", lambda: "0.0")
    monkeypatch.setattr(lm_eval, "run", lambda model, plan: result)
    console = Console(quiet=True)
    folder, lines, notes = run(("nano-minicpm",) * 2, Harness(("mine",)), Lineup(device="cpu"), tmp_path / "o", console)
    assert [(line.figure, line.values) for line in lines] == [
        ("acc", ((0.5, 0.1),) * 2),
        ("f1 (strict)", ((0.25, None),) * 2),
    ]
    assert notes == [] and table(("a", "b"), lines).row_count == 2
    content = json.loads((folder / "results.json").read_text("utf-8"))
    assert content["lm_eval"] == "0.0" and content["models"][0]["results"] == {"mine": figures}
    assert "config" not in content["models"][0]
    with pytest.raises(ConfigError, match="holds the results of another evaluation"):
        run(("nano-minicpm",), Harness(("other",)), Lineup(device="cpu"), folder, console)
    with pytest.raises(MachineError, match="cannot be written"):
        run(("nano-minicpm",), Harness(("other",)), Lineup(device="cpu"), folder / "results.json" / "x", console)


def test_the_command_says_what_does_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["nano"], "give DATA, files of records, or tasks"),
        (["nano", "--online"], "--online belongs to --lm-eval"),
        (["nano", str(tmp_path), "--lm-eval", "x"], "--lm-eval has tasks with data of their own"),
        (["nano", "--lm-eval", "x", "--include-path", str(tmp_path / "no")], "is not a folder"),
    ):
        assert main(["eval", *arguments]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.filterwarnings("ignore")
def test_the_harness_own_model_finds_the_same(nano: Loaded, answers: Answers, tmp_path: Path) -> None:
    """Where the library is installed: its own class for transformers' models is the reference."""
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=nano.model, tokenizer=nano.tokenizer, add_bos_token=True, batch_size=4)
    ours = lm_eval._language_model(answers)

    def asked(kind: str, *arguments: Any) -> list[Any]:
        return [Instance(kind, {}, one, number) for number, one in enumerate(arguments)]

    pairs = asked("loglikelihood", *((text, more) for text in TEXTS for more in (" green", " 2", "")[:2]), ("", "Who?"))
    for one, other in zip(ours.loglikelihood(pairs), theirs.loglikelihood(pairs, disable_tqdm=True), strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-3) and one[1] == other[1]
    texts = asked("loglikelihood_rolling", *((text * 3,) for text in TEXTS))
    # with a begin token of its own it would count that as a token of the text
    plain = HFLM(pretrained=nano.model, tokenizer=nano.tokenizer, add_bos_token=False, batch_size=4)
    found = plain.loglikelihood_rolling(texts, disable_tqdm=True)
    assert ours.loglikelihood_rolling(texts) == pytest.approx(found, abs=1e-3)
    settings = {"until": ["。", "\n"], "max_gen_toks": 12, "do_sample": False}
    prompts = asked(
        "generate_until", *((answers.rendered([{"role": "user", "content": t}], True), settings) for t in TEXTS)
    )
    assert ours.generate_until(prompts) == theirs.generate_until(prompts, disable_tqdm=True)
