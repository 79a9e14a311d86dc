"""What a run's folder says, also of a run that has hardly begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.models.weights import fingerprint
from tunesmith.nano import MODEL
from tunesmith.report.facts import Facts, check_run


def test_a_finished_run(facts: Facts) -> None:
    assert facts.state == "finished" and facts.result_is_adapter and facts.validates
    assert [step for step, _ in facts.series("loss")] == [1, 2, 3, 4] and facts.series("nothing") == []
    assert [step for step, _ in facts.series("eval_loss")] == [0, 4]
    assert facts.seconds > 0 and facts.base_fingerprint == fingerprint(MODEL)
    layers, width, wide, keys = 4, 192, 512, 64
    shapes = [(width, width)] * 2 + [(width, keys)] * 2 + [(width, wide)] * 3  # q, o; k, v; gate, up, down
    assert facts.parameters == (layers * sum(4 * (rows + columns) for rows, columns in shapes), 2_534_592)


def test_a_run_that_has_hardly_begun(run: Path) -> None:
    for name in ("metrics.jsonl", "data.json", "environment.json", "status.json"):
        (run / name).unlink()
    (run / "status.json").write_text('{"state": "running", "step": 0}')
    (run / "adapter").rename(run / "elsewhere")
    facts = Facts.read(run)
    assert (facts.state, facts.result, facts.lines, facts.data, facts.base_fingerprint) == ("running", None, [], {}, "")
    assert facts.seconds == 0 and facts.parameters[0] == 0 and not facts.result_is_adapter


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        check_run(tmp_path / "nowhere")
    (tmp_path / "status.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"it has no config\.yaml\."):
        check_run(tmp_path)
