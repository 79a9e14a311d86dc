"""python -m tunesmith.bench.prepare REQUEST: what all sides of a case get: models, records, rows as ids, and their orders.

A process of its own, so that the one that measures never imports torch and stays small.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .. import lookup
from ..errors import TunesmithError
from .job import Job
from .models import SEED, write
from .sides.tunesmith import rows_of

DATASETS = "tunesmith.bench.datasets"


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a case, and a job for tunesmith; everything lies in the folder of the request.

    The request: dataset, size, device (auto, cpu or cuda), batch_size (None: that of the data set), steps, folder, models
    (the folder of the size's model, which is written once).
    """
    import torch

    folder, models = Path(request["folder"]), Path(request["models"])
    device = request["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    forms = models / "forms.json"
    if not forms.is_file():
        models.mkdir(parents=True)
        forms.write_text(json.dumps(write(request["size"], models, device)), encoding="utf-8")
    places = json.loads(forms.read_text("utf-8"))
    dataset = lookup.find(DATASETS, request["dataset"], "data set")
    batch_size = request["batch_size"] or dataset.BATCH
    records = dataset.records(batch_size * request["steps"], SEED)
    job = Job(
        side="tunesmith",
        model=places["native"],
        rows=str(folder / "rows.json"),
        records=str(folder / "records.jsonl"),
        output=str(folder / "prepared"),
        max_length=dataset.MAX_LENGTH,
        batch_size=batch_size,
        steps=request["steps"],
        device=device,
    )
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    Path(job.records).write_text(text, encoding="utf-8")
    rows = _rows(job)
    Path(job.rows).write_text(json.dumps(rows), encoding="utf-8")
    return {
        "job": asdict(job),
        "models": places,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else "no GPU used",
        "tokens": [len(ids) for ids, _ in rows["rows"]],
    }


def _rows(job: Job) -> dict[str, Any]:
    """Return the rows as ids and labels, in three orders: tunesmith's, by length, and as they come (shuffled)."""
    from ..data.order import EpochOrder

    _, _, _, own = rows_of(job)
    apart = replace(job, settings={"data.share_prefixes": False})
    _, _, _, by_length = rows_of(apart)
    assert own.train is not None and own.order is not None and by_length.order is not None  # not a stream
    shuffled = EpochOrder(own.train.lengths, job.batch_size, SEED)
    examples = [own.train[number] for number in range(len(own.train))]
    return {
        "rows": [[list(example.input_ids), list(example.labels)] for example in examples],
        "pad_id": own.pad_id,
        "orders": {
            "tunesmith": own.order.indexes().tolist(),
            "length": by_length.order.indexes().tolist(),
            "shuffled": shuffled.indexes().tolist(),
        },
    }


def main() -> None:
    """Prepare what the command line's file asks for; write the facts beside it."""
    path = Path(sys.argv[1])
    try:
        found = prepare(json.loads(path.read_text("utf-8")))
    except TunesmithError as error:
        sys.exit(str(error))
    path.with_suffix(".result").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
