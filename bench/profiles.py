"""Profile one training step of the plain recipe and of tunesmith: where the time goes, and how near the limit it is.

A MiniCPM of 100 million parameters with MiniCPM-2B's 122,753 words, LoRA on all linear layers, sentence pairs; all sides
have the same rows. torch's profiler gives the time that each operation takes itself; matrix products are told apart by
their shapes. The limit is the time that the step's matrix products alone would take at the rate at which this machine
multiplies large matrices.

    python bench/profiles.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith.bench import section
from tunesmith.bench.datasets import pairs
from tunesmith.bench.job import RANK, Job
from tunesmith.bench.models import SEED, SIZES
from tunesmith.bench.models import write as write_model

PAGE = Path(__file__).resolve().parents[1] / "docs" / "profile.md"
SIDES = {
    "plain": "plain recipe",
    "labels": "label-only loss, padded to the longest row",
    "tunesmith": "tunesmith",
}
GROUPS = {
    "layers": "matrices of the layers",
    "adapters": "matrices of the adapters",
    "head": "matrix of the words",
    "words": "softmax over the words and its gradient",
    "attention": "attention",
    "optimizer": "clipping and optimiser",
    "rest": "norms, rotary positions, SwiGLU, sums, copies",
}
MATRIX = {"aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm"}
SOFTMAX = ("softmax", "nll_loss", "cross_entropy", "logsumexp")
UPDATE = ("adam", "foreach", "vector_norm", "clip")


def group_of(name: str, shapes: list[Any], words: int) -> str:
    """Return the group of an operation, by its name and the shapes of its inputs; `words`: of the vocabulary."""
    sizes = {size for shape in shapes if isinstance(shape, list) for size in shape if isinstance(size, int)}
    wide = words in sizes
    if name in MATRIX:
        return "head" if wide else "adapters" if RANK in sizes else "layers"
    if "attention" in name:
        return "attention"
    if wide or any(part in name for part in SOFTMAX):
        return "words"
    return "optimizer" if any(part in name.lower() for part in UPDATE) else "rest"


def make_step(side: str, job: Job) -> tuple[Callable[[], float], int]:
    """Return a function that takes one optimiser step and returns the loss a label, and the tokens computed in it."""
    import torch

    from tunesmith import lookup
    from tunesmith.bench.sides.tunesmith import rows_of
    from tunesmith.runs import RunFolder
    from tunesmith.training.settings import TUNING
    from tunesmith.training.steps import build_objective

    config, setup, loaded, rows = rows_of(job)
    assert rows.order is not None  # not a stream
    objective = build_objective(config, setup, loaded, lookup.find(TUNING, "lora"), RunFolder(Path(job.output)))
    # The file has a premise's three hypotheses one behind the other, which is how tunesmith brings them together.
    inputs: Any = rows.collator([rows.items[index] for index in range(job.batch_size)])
    learning = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.learning_rate, fused=True)
    count = objective.count(inputs)
    tree = inputs.get("tree")
    tokens = sum(length * copies for _, length, copies in tree) if tree else inputs["input_ids"].numel()
    compute: Callable[[], Any] = lambda: objective(**inputs)
    if side == "plain":
        wide = padded(inputs, job.max_length)
        tokens = wide["input_ids"].numel()
        compute = lambda: objective.inner(**wide, use_cache=False).loss * count
    objective.train()

    def step() -> float:
        loss = compute()
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach()) / count

    return step, tokens


def padded(batch: Any, length: int) -> dict[str, Any]:
    """Return a batch with every row filled up to `length`."""
    from torch.nn.functional import pad

    short = length - batch["input_ids"].shape[1]
    names = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    return {name: pad(batch[name], (0, short), value=value) for name, value in names.items()}


def added_flops(_: Any, first: Any, second: Any, **__: Any) -> int:
    """Return the operations of `addmm_`, which torch's counter does not know, from the shapes of its matrices."""
    count: int = 2 * first[0] * first[1] * second[1]
    return count


def measure_here(side: str, job: Job) -> dict[str, Any]:
    """Return seconds a step (the fastest of three), those of each group in a profiled one, and its matrix work."""
    import torch
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    from tunesmith.models.files import read_config

    words = read_config(Path(job.model))["vocab_size"]
    step, tokens = make_step(side, job)
    loss = step()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added_flops}) as counter:
        step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        step()
    groups = dict.fromkeys(GROUPS, 0.0)
    for event in recorded.key_averages(group_by_input_shape=True):
        groups[group_of(event.key, event.input_shapes, words)] += event.self_cpu_time_total / 1e6
    square = torch.randn(2048, 2048)
    torch.mm(square, square)
    start = time.perf_counter()
    for _ in range(3):
        torch.mm(square, square)
    rate = 3 * 2 * 2048**3 / (time.perf_counter() - start)
    return {
        "loss": loss,
        "tokens": tokens,
        "seconds": min(seconds),
        "groups": groups,
        "flops": counter.get_total_flops(),
        "rate": rate,
    }


def measure(side: str, model: str, folder: Path, threads: int) -> dict[str, Any]:
    """Return what a process of its own measures."""
    told = {} if side == "tunesmith" else {"data.share_prefixes": False, "tuning.fused": False}
    job = Job(
        side="tunesmith",
        model=model,
        rows="",
        records=str(folder / "records.jsonl"),
        output=str(folder / side),
        max_length=pairs.MAX_LENGTH,
        batch_size=pairs.BATCH,
        steps=1,
        device="cpu",
        settings=told,
    )
    job.write(folder / f"{side}.json")
    done = subprocess.run(
        [sys.executable, __file__, "--job", side, str(folder / f"{side}.json")],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{side}: the measurement failed\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side}: {result['seconds']:.2f} s a step, {result['tokens']:,} tokens", flush=True)
    return result


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the report, the limit of each side below its groups."""
    lines = ["| milliseconds a step (share) | " + " | ".join(SIDES.values()) + " |", "| --- " * (len(SIDES) + 1) + "|"]
    for group, title in GROUPS.items():
        cells = []
        for side in SIDES:
            one = found[side]
            cells.append(
                f"{one['groups'][group] * 1e3:,.0f} ({one['groups'][group] / sum(one['groups'].values()):.0%})"
            )
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    facts: dict[str, Callable[[dict[str, Any]], str]] = {
        "**a step without the profiler**": lambda one: f"**{one['seconds'] * 1e3:,.0f}**",
        "tokens that pass the layers": lambda one: f"{one['tokens']:,}",
        "GFLOP of its matrix products": lambda one: f"{one['flops'] / 1e9:,.0f}",
        "the limit: these alone at the machine's rate": lambda one: f"{one['flops'] / one['rate'] * 1e3:,.0f}",
        "limit / step": lambda one: f"{one['flops'] / one['rate'] / one['seconds']:.0%}",
        "loss a label": lambda one: f"{one['loss']:.5f}",
    }
    for title, fact in facts.items():
        lines.append(f"| {title} | " + " | ".join(fact(found[side]) for side in SIDES) + " |")
    return lines


def main() -> None:
    """Profile and rewrite this file's section of docs/profile.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=["nano", "100m"], default="100m", help="the model; nano: to try the harness")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.job:
        return print(json.dumps(measure_here(options.job[0], Job.read(Path(options.job[1])))))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as name:
        folder = Path(name)
        records = pairs.records(pairs.BATCH, SEED)
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (folder / "records.jsonl").write_text(text, encoding="utf-8")
        model = write_model(options.size, folder / "model", "cpu")["native"]
        found = {side: measure(side, model, folder, options.threads) for side in SIDES}
    losses = [one["loss"] for one in found.values()]
    if max(losses) - min(losses) > 1e-4:
        sys.exit(f"the sides do not compute the same loss: {losses}")
    command = f"python bench/profiles.py --threads {options.threads}"
    conditions = f"threads: {options.threads}; float32"
    lines = [section.where(("torch", "transformers", "peft"), conditions, load, command), ""]
    lines.append(
        f"One step over {pairs.BATCH} rows ({pairs.ABOUT}), padded to {pairs.MAX_LENGTH} by the plain recipe; "
        f"{SIZES[options.size].about}; LoRA of rank {RANK} on all linear layers."
    )
    lines += ["", *table(found), ""]
    print("\n".join(lines))
    if not options.no_write and options.size == "100m":
        section.write(PAGE, "bench/profiles.py", lines)


if __name__ == "__main__":
    main()
