"""Measure what a token costs in long rows: linear attention beside softmax attention, and its block form beside naive.

Training (a full step: forward, loss, backward) and generation (a token behind a context) of the two bundled nano
models at growing lengths, float32 on the CPU. Each measurement is a process of its own. The figures and the plot
docs/length.png are written only if both forms of the attention give the same numbers.

    python bench/length.py
    python bench/length.py --longest 4096 --no-write
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import section

MODELS = {"nano-transnormer": "linear attention", "nano-minicpm": "softmax attention"}
FORMS = {"naive": "naive", "block": "block-parallel"}
SHORTEST, GENERATED, HEADS, SIZE = 1024, 32, 8, 64
PLOT = section.ROOT / "docs" / "length.png"


def fastest(call: Callable[[], Any]) -> float:
    """Return the processor seconds of the fastest of several calls; one that takes long is not repeated."""
    found = [math.inf]
    while len(found) < 6 and sum(found[1:]) < 10:
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def train(name: str, tokens: int) -> dict[str, float]:
    """Return seconds and peak bytes of one training step on one row, every parameter learning."""
    import torch

    from tunesmith.models.family import family_of
    from tunesmith.models.files import read_config
    from tunesmith.models.load import load_model, resolve
    from tunesmith.training.objective import Objective

    folder = resolve(name).base
    model = load_model(folder, dtype="float32", device="cpu").train()
    objective = Objective(model, family_of(read_config(folder), folder))
    ids = torch.randint(10, 4000, (1, tokens), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}
    objective(**{name: value[:, :64] for name, value in inputs.items()}).backward()  # what is made once
    before = section.peak_bytes()
    seconds = fastest(lambda: objective(**inputs).backward())
    return {"seconds": seconds, "bytes": section.peak_bytes() - before}


def generate(name: str, tokens: int) -> dict[str, float]:
    """Return the seconds of a generated token behind `tokens` others, and the bytes of the cache."""
    import torch

    from tunesmith.models.load import load_model

    model = load_model(name, dtype="float32", device="cpu")
    ids = torch.randint(10, 4000, (1, tokens), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cache = None
        for part in ids.split(2048, dim=1):
            cache = model(part, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values
        start = time.process_time()
        for _ in range(GENERATED):
            cache = model(ids[:, :1], past_key_values=cache, use_cache=True).past_key_values
        seconds = (time.process_time() - start) / GENERATED
    kept = cache.states if hasattr(cache, "states") else [x for y in cache.layers for x in (y.keys, y.values)]
    return {"seconds": seconds, "bytes": sum(x.numel() * x.element_size() for x in kept)}


def attend(form: str, tokens: int) -> dict[str, float]:
    """Return seconds and peak bytes of one form of the attention, forward and backward, and a sum to compare."""
    import torch

    from tunesmith.ops.lightning import Decay, block_attention, decay_rates, naive_attention

    own = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, HEADS, tokens, SIZE, generator=own, requires_grad=True) for _ in range(3)]
    decay, function = Decay(decay_rates(HEADS, 0, 2)), {"naive": naive_attention, "block": block_attention}[form]
    function(*(part[:, :, :32] for part in parts), decay)[0].sum().backward()
    before = section.peak_bytes()
    seconds = fastest(lambda: function(*parts, decay)[0].square().mean().backward())
    peak = section.peak_bytes() - before
    with torch.no_grad():
        total = float(function(*parts, decay)[0].double().abs().mean())
    return {"seconds": seconds, "bytes": peak, "sum": total}


WHAT = {"train": train, "generate": generate, "attend": attend}


def measure(what: str, name: str, tokens: int, options: argparse.Namespace) -> dict[str, float]:
    """Return the fastest of several processes."""
    command = [sys.executable, __file__, "--job", json.dumps([what, name, tokens])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    found = []
    for _ in range(options.repeats):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{what}, {name}, {tokens} tokens: the measurement failed\n{done.stderr[-3000:]}")
        found.append(json.loads(done.stdout.splitlines()[-1]))
    best: dict[str, float] = min(found, key=lambda one: one["seconds"])
    print(f"{what}, {name}, {tokens} tokens: {best}", flush=True)
    return best


def table(title: str, names: dict[str, str], found: dict[Any, dict[str, float]], unit: str) -> list[str]:
    """Return rows of lengths with, for each name, the cost of a token and of memory."""
    lines = [f"### {title}", "", "| tokens | " + " | ".join(f"{text}: {unit}, MiB" for text in names.values()) + " |"]
    lines.append("| --- |" + " --- |" * len(names))
    for tokens in sorted({tokens for _, tokens in found}):
        cells = []
        for name in names:
            one = found[name, tokens]
            cost = one["seconds"] * 1e6 / (1 if "generated" in unit else tokens)
            cells.append(f"{cost:,.0f}, {one['bytes'] / 2**20:,.1f}")
        lines.append(f"| {tokens:,} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def draw(trained: dict[Any, dict[str, float]], generated: dict[Any, dict[str, float]]) -> None:
    """Draw the cost of a token over the length, both models, into docs/length.png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    sides = (
        ("training: processor microseconds a token", trained, False),
        ("generation: processor microseconds a token", generated, True),
    )
    for axes, (title, found, single) in zip(figure.subplots(1, 2), sides, strict=True):
        for (name, text), colour in zip(MODELS.items(), ("#2563eb", "#ea580c"), strict=True):
            lengths = sorted(tokens for one, tokens in found if one == name)
            costs = [found[name, t]["seconds"] * 1e6 / (1 if single else t) for t in lengths]
            axes.plot(lengths, costs, color=colour, marker="o", markersize=4, label=f"{name} ({text})")
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, [f"{length // 1024}k" for length in lengths])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("tokens in the row" if not single else "tokens before")
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(PLOT, dpi=120)


def main() -> None:
    """Measure and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--longest", type=int, default=32768, help="tokens of the longest row; doubled from 1,024 on")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.job:
        what, name, tokens = options.job
        return print(json.dumps(WHAT[what](name, tokens)))
    load = os.getloadavg()[0]
    lengths = [SHORTEST * 2**power for power in range(20) if SHORTEST * 2**power <= options.longest]
    trained, generated = (
        {(name, tokens): measure(what, name, tokens, options) for tokens in lengths for name in MODELS}
        for what in ("train", "generate")
    )
    short = [tokens for tokens in (128, 256, 512, 1024, 2048, 4096) if tokens <= options.longest]
    forms = {(form, tokens): measure("attend", form, tokens, options) for tokens in short for form in FORMS}
    for tokens in short:
        one, other = forms["naive", tokens]["sum"], forms["block", tokens]["sum"]
        if abs(one - other) > 1e-5 * one:
            sys.exit(f"the forms differ at {tokens} tokens: {one} and {other}")
    command = (
        f"python bench/length.py --longest {options.longest} --repeats {options.repeats} --threads {options.threads}"
    )
    conditions = f"threads: {options.threads}; float32; processor time; the fastest of {options.repeats} processes"
    lines = ["## Long rows: what a token costs", ""]
    lines += [section.where(("torch", "transformers"), conditions, load, command), ""]
    lines += table("Training, one row, every parameter", MODELS, trained, "us a token")
    lines += table("Generation behind a context (memory: the cache)", MODELS, generated, "us a generated token")
    about = f"The attention alone, forward and backward ({HEADS} heads of {SIZE})"
    lines += table(about, FORMS, forms, "us a token")
    print("\n".join(lines))
    if not options.no_write:
        draw(trained, generated)
        section.write("length", [*lines, "![What a token costs over the length](length.png)", ""])


if __name__ == "__main__":
    main()
