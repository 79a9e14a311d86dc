"""Measure what is saved where rows begin with the same tokens: a shared prefix computed once, beside packing alone.

The rows have a system prompt of 1,000 tokens in common and 100 tokens of their own, which are learned. A full step
(forward, loss, backward), every parameter learning, float32 on the CPU. Each measurement is a process of its own. The
figures are written only if the losses and gradients of both sides agree.

    python bench/prefix.py
    python bench/prefix.py --rows 8 --case nano-minicpm --repeats 1 --no-write
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import section

SIDES = {"packing": "packing alone", "shared": "shared prefix once"}
CASES = {
    "nano-minicpm": "the bundled model, 5,000 words",
    "minicpm-100m": "random weights, 12 layers of width 512, MiniCPM-2B's 122,753 words",
}
PREFIX, OWN, IN_PACK = 1000, 100, 4


def make_objective(case: str) -> Any:
    """Return the model of a case, every parameter learning, with its loss."""
    import torch

    from tunesmith.models.family import family_of
    from tunesmith.models.load import load
    from tunesmith.models.minicpm import MiniCPMConfig, MiniCPMForCausalLM
    from tunesmith.training.objective import Objective

    torch.manual_seed(0)
    if case == "nano-minicpm":
        loaded = load(case, dtype=torch.float32)
        return Objective(loaded.model, loaded.family)
    config = MiniCPMConfig(**section.MINICPM_100M)
    return Objective(MiniCPMForCausalLM(config), family_of(config.to_dict(), case))


def measure_here(side: str, case: str, count: int) -> dict[str, float]:
    """Return the seconds of the fastest of three steps, the peak bytes over those before, loss and gradient."""
    import torch

    from tunesmith.data.collate import collate
    from tunesmith.data.types import IGNORE, Example, Pack
    from tunesmith.models.segments import packing_of
    from tunesmith.models.tree import why_no_tree

    objective = make_objective(case)
    model = objective.inner
    ready = packing_of(model) if side == "packing" else why_no_tree(model, PREFIX + OWN)
    if isinstance(ready, str):
        sys.exit(ready)
    own = torch.Generator().manual_seed(0)
    prefix, *tails = torch.randint(10, 4000, (PREFIX + count * OWN,), generator=own).split([PREFIX, *[OWN] * count])
    rows = [Example(prefix.tolist() + tail.tolist(), [IGNORE] * PREFIX + tail.tolist()) for tail in tails]
    packs: list[Any] = [Pack(tuple(rows[start : start + IN_PACK])) for start in range(0, count, IN_PACK)]
    batch: Any = collate(packs, 0, share=side == "shared")
    objective.train()
    objective(**{name: batch[name][:1, :64] for name in ("input_ids", "attention_mask", "labels")})  # made once
    before, found = section.peak_bytes(), []
    for _ in range(3):
        objective.zero_grad()
        start = time.perf_counter()
        loss = objective(**batch)
        loss.backward()
        found.append(time.perf_counter() - start)
    norm = torch.nn.utils.get_total_norm([p.grad for p in objective.parameters() if p.grad is not None])
    return {
        "seconds": min(found),
        "bytes": section.peak_bytes() - before,
        "loss": float(loss.detach()) / objective.count(batch),
        "gradient": float(norm) / objective.count(batch),
    }


def measure(side: str, case: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the fastest of several processes."""
    command = [sys.executable, __file__, "--job", json.dumps([side, case, options.rows])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    found = []
    for _ in range(options.repeats):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{side}, {case}: the measurement failed\n{done.stderr[-3000:]}")
        found.append(json.loads(done.stdout.splitlines()[-1]))
    best: dict[str, float] = min(found, key=lambda one: one["seconds"])
    print(f"{side}, {case}: {best}", flush=True)
    return best


def main() -> None:
    """Measure and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, action="append", help="a model; default: all")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.job:
        return print(json.dumps(measure_here(*options.job)))
    load, cases = os.getloadavg()[0], options.case or list(CASES)
    found = {(case, side): measure(side, case, options) for case in cases for side in SIDES}
    chosen = "".join(f" --case {case}" for case in options.case or ())
    command = (
        f"python bench/prefix.py{chosen} --rows {options.rows} --repeats {options.repeats} --threads {options.threads}"
    )
    conditions = f"threads: {options.threads}; float32; the fastest of {options.repeats} processes"
    saved = 1 - (PREFIX + options.rows * OWN) / (options.rows * (PREFIX + OWN))
    lines = ["## Shared prefixes: rows that begin alike", ""]
    lines += [section.where(("torch", "transformers"), conditions, load, command), ""]
    lines.append(
        f"A step of {options.rows} rows with {PREFIX:,} tokens in common and {OWN} of their own; every parameter learns. "
        f"{saved:.0%} of the tokens are not computed again."
    )
    lines += ["", "| model | | seconds a step | memory, MiB | loss a label | gradient a label |"]
    lines.append("| --- |" + " --- |" * 5)
    for case in cases:
        plain, shared = (found[case, side] for side in SIDES)
        if any(abs(plain[name] - shared[name]) > 1e-4 * plain[name] for name in ("loss", "gradient")):
            sys.exit(f"the sides differ: {plain} and {shared}")
        for side, text in SIDES.items():
            one = found[case, side]
            lines.append(
                f"| {case} ({CASES[case]}) | {text} | {one['seconds']:.2f} | {one['bytes'] / 2**20:,.0f} | "
                f"{one['loss']:.5f} | {one['gradient']:.5f} |"
            )
        lines.append(
            f"| | ratio | {plain['seconds'] / shared['seconds']:.1f} | {plain['bytes'] / shared['bytes']:.1f} | | |"
        )
    print("\n".join(lines))
    if not options.no_write:
        section.write("prefix", [*lines, ""])


if __name__ == "__main__":
    main()
