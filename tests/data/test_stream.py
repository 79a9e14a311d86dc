"""StreamRows: each pass gives each row once, the seed alone decides about the order, and nothing bad passes by."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data import stream
from tunesmith.data.chats import MarkerChat
from tunesmith.data.flow import Work, survey
from tunesmith.data.sources import limits
from tunesmith.data.stream import StreamOptions, StreamRows
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Example, Pack
from tunesmith.errors import DataError

MINICPM = TextTokenizer.load(Path(__file__).parents[1] / "golden" / "tokenizers" / "minicpm-2b")
WORK = Work(MarkerChat(), MINICPM)
Key = tuple[str, int]


def write(path: Path, count: int, *more: str) -> str:
    made = [json.dumps({"prompt": f"问{n}" * (n % 7 + 1), "completion": f"答{n}"}) for n in range(count)]
    path.write_text("\n".join([*made, *more]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [write(tmp_path / "a.jsonl", 23), write(tmp_path / "b.jsonl", 11), write(tmp_path / "c.jsonl", 1)]


def options(**more: Any) -> StreamOptions:
    return StreamOptions(**{"batch_size": 4, "seed": 7, **more})


def keys(item: Example | Pack) -> list[Key]:
    """File and record of the rows of an item."""
    examples = item.examples if isinstance(item, Pack) else (item,)
    return [(Path(e.origin.file).name, e.origin.record) for e in examples if e.origin]


ALL = [("a.jsonl", n) for n in range(23)] + [("b.jsonl", n) for n in range(11)] + [("c.jsonl", 0)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 9),
    window=st.integers(1, 50),
    seed=st.integers(0, 99),
    group=st.booleans(),
    budget=st.none() | st.integers(80, 200),
    world=st.integers(1, 3),
    small=st.booleans(),
)
def test_each_pass_gives_each_row_once(
    files: list[str],
    batch: int,
    window: int,
    seed: int,
    group: bool,
    budget: int | None,
    world: int,
    small: bool,
) -> None:
    """After any number of passes a row was given so often, less one for each time that it waits for the next pass."""
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(limits, "BLOCK_RECORDS", 5)
            patch.setattr(limits, "CHUNK", 64)
        given: list[list[list[Key]]] = []  # rank -> pass -> rows
        for rank in range(world):
            made = options(
                batch_size=batch,
                window=window,
                seed=seed,
                group_by_length=group,
                budget=budget,
                rank=rank,
                world=world,
                step_batches=world,
                processes=1,
            )
            begun, found = 0, list[list[Key]]([[] for _ in range(5)])

            def counted(*arguments: Any) -> Any:
                nonlocal begun
                begun += 1
                return survey(*arguments)

            patch.setattr(stream, "survey", counted)
            for item in StreamRows(files, WORK, made):
                if begun > 4:
                    break
                found[begun] += keys(item)
            given.append(found)
    total: Counter[Key] = Counter()
    for number in range(1, 5):
        for found in given:
            total.update(found[number])
        owed = {key: number - total[key] for key in ALL}
        assert set(total) <= set(ALL) and min(owed.values()) >= 0
        if budget is None:
            assert sum(owed.values()) == number * len(ALL) % (batch * world), "what waits fills no batch"
        assert sum(owed.values()) < batch * world * (1 if budget is None else 200 // 15)
    if world > 1 and budget is None:
        counts = [sum(map(len, found)) for found in given]
        assert len(set(counts)) == 1, "all ranks get the same number of rows"


def test_the_order_follows_from_the_seed(files: list[str]) -> None:
    def first(**more: Any) -> list[Example]:
        return list(islice(StreamRows(files, WORK, options(**more)), 100))  # type: ignore[arg-type]

    again = first()
    assert first() == again and first(processes=1) == again
    assert first(seed=8) != again and first(window=10) != again
    assert first(rank=0, world=2) != first(rank=1, world=2)
    one, two = again[:32], again[32:64]
    assert one != two, "another order in each pass"


def test_one_stream_can_be_read_twice(files: list[str]) -> None:
    rows = StreamRows(files, WORK, options())
    assert list(islice(rows, 50)) == list(islice(rows, 50))


def test_rows_are_the_rendered_ones(files: list[str]) -> None:
    done = list(survey(files, WORK))
    expected = {
        (Path(done.path).name, int(done.columns.record[row])): done.columns.example(row, done.path)
        for done in done
        if done.columns is not None
        for row in range(len(done.columns))
    }
    for row in islice(StreamRows(files, WORK, options(loss_weights={files[1]: 0.5})), 70):
        assert isinstance(row, Example)
        (key,) = keys(row)
        assert row.weight == (0.5 if key[0] == "b.jsonl" else 1.0)
        row.weight = 1.0
        assert row == expected[key]


def test_packs_keep_to_their_budget(files: list[str]) -> None:
    for item in islice(StreamRows(files, WORK, options(budget=120, batch_size=1)), 40):
        assert isinstance(item, Pack)
        assert sum(len(example.input_ids) for example in item.examples) <= 120
    with pytest.raises(DataError, match="only rows of 1 to 10 tokens can be packed"):
        next(iter(StreamRows(files, WORK, options(budget=10))))


def test_the_report_accounts_for_the_first_pass(files: list[str], tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", 5, "{", '{"prompt": "问"}')
    rows = StreamRows([*files, bad], WORK, options(skip_bad=True))
    assert len(list(islice(rows, 200))) == 200
    report = rows.report
    assert sorted((Path(f.path).name, f.records, f.kept) for f in report.files) == [
        ("a.jsonl", 23, 23),
        ("b.jsonl", 11, 11),
        ("bad.jsonl", 7, 5),
        ("c.jsonl", 1, 1),
    ]
    assert [(error.origin.record, error.field) for error in report.bad] == [(5, "(record)"), (6, "completion")]


def test_what_is_bad_stops_the_stream(files: list[str], tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", 5, '{"prompt": "问"}')
    with pytest.raises(DataError, match=r"bad\.jsonl, record 5, line 6, field 'completion': it is missing"):
        list(islice(StreamRows([*files, bad], WORK, options(window=1000)), 200))
    broken = str(tmp_path / "broken.json")
    Path(broken).write_text('[{"prompt": "a", "completion": "b"}, {')
    for skip in (False, True):
        with pytest.raises(DataError, match=r"broken\.json, line 1, column 39"):
            list(islice(StreamRows([*files, broken], WORK, options(skip_bad=skip)), 200))
        with pytest.raises(DataError, match="There is no file"):
            list(islice(StreamRows([*files, str(tmp_path / "no.jsonl")], WORK, options(skip_bad=skip)), 200))


def test_no_row_at_all_is_said(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.jsonl", 0, '{"prompt": "问"}', '{"prompt": "问", "completion": ""}')
    with pytest.raises(DataError, match="2 of 2 records cannot be used"):
        next(iter(StreamRows([bad], WORK, options(skip_bad=True))))
    disliked = write(tmp_path / "c.jsonl", 0, '{"prompt": "问", "completion": "答", "label": false}')
    with pytest.raises(DataError, match="hold no row to learn from"):
        next(iter(StreamRows([disliked], WORK, options())))


def test_fewer_rows_than_a_batch_are_read_again(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", 3)
    found = [keys(item)[0][1] for item in islice(StreamRows([file], WORK, options(batch_size=8)), 24)]
    assert Counter(found) == {0: 8, 1: 8, 2: 8}


@pytest.mark.parametrize("group", [False, True])
def test_a_step_has_the_same_rows_on_one_rank_and_on_two(files: list[str], group: bool) -> None:
    def steps(rank: int, world: int) -> list[list[Key]]:
        made = options(
            batch_size=4 // world, rank=rank, world=world, step_batches=world, window=12, group_by_length=group
        )
        taken = [keys(item)[0] for item in islice(StreamRows(files, WORK, made), 40 // world)]
        return [taken[start : start + 4 // world] for start in range(0, len(taken), 4 // world)]

    both = [sorted(first + second) for first, second in zip(steps(0, 2), steps(1, 2), strict=True)]
    assert both == [sorted(step) for step in steps(0, 1)] and len(both) == 10
