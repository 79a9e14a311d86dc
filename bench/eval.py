"""Measure how fast `tunesmith eval` answers: in batches, beside the same questions one by one.

Questions of the kinds that nano-minicpm was made for, drawn anew; greedy answers on the CPU, with the prompts and the stop
rules of chat on both sides. Each measurement is a process of its own; every answer of one side is compared with
that of the other, and how many differ is written down.

    python bench/eval.py
    python bench/eval.py --questions 200 --no-write
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from typing import Any

import section

MODEL, SEED, LONGEST = "nano-minicpm", 7, 64


def answer(batch_size: int, questions: int) -> dict[str, Any]:
    """Answer drawn questions in batches of this size; return the seconds, the tokens and the answers."""
    from tunesmith.data.types import Conversation, Message
    from tunesmith.generate.batch import answers
    from tunesmith.generate.decode import Voice
    from tunesmith.generate.sampling import Sampling
    from tunesmith.models.load import load
    from tunesmith.nano import text

    draw, tasks = random.Random(SEED), sorted(text.TASKS)
    talks = [text.draw(draw, tasks[number % len(tasks)], held_out=True).messages for number in range(questions)]
    asked = [Conversation(tuple(Message(m["role"], m["content"]) for m in talk[:-1])) for talk in talks]
    voice, sampling = Voice(load(MODEL, dtype="float32", device="cpu")), Sampling(greedy=True, max_new_tokens=LONGEST)
    prompts = [voice.prompt(one, sampling) for one in asked]
    for _ in answers(voice, prompts[:2], sampling, batch_size):  # what is made once
        pass
    start, busy, tokens, texts = time.perf_counter(), time.process_time(), 0, [""] * questions
    for batch in answers(voice, prompts, sampling, batch_size):
        for number, writer in batch:
            tokens, texts[number] = tokens + writer.tokens, writer.text
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": seconds, "busy": busy, "tokens": tokens, "texts": texts}


def measure(batch_size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a process of its own finds."""
    command = [sys.executable, __file__, "--job", json.dumps([batch_size, options.questions])]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"batches of {batch_size}: the measurement failed\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"batches of {batch_size}: {found['seconds']:.1f} s, {found['tokens']} tokens", flush=True)
    return found


def main() -> None:
    """Measure and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.job:
        return print(json.dumps(answer(*options.job)))
    load = os.getloadavg()[0]
    alone, *together = (measure(size, options) for size in (1, *options.batches))
    conditions = f"threads: {options.threads}; float32; {options.questions} questions; one process a line"
    sizes = " ".join(map(str, options.batches))
    command = f"python bench/eval.py --questions {options.questions} --batches {sizes} --threads {options.threads}"
    lines = ["## Answers of an evaluation", ""]
    lines += [section.where(("torch", "transformers"), conditions, load, command), ""]
    lines += [
        "| | seconds | tokens a second | times as fast | processor time | answers that differ |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for size, found in zip((1, *options.batches), (alone, *together), strict=True):
        name = "one by one" if size == 1 else f"batches of {size}"
        differ = sum(a != b for a, b in zip(alone["texts"], found["texts"], strict=True))
        speed, ratio = found["tokens"] / found["seconds"], alone["seconds"] / found["seconds"]
        share = found["busy"] / alone["busy"]
        lines.append(f"| {name} | {found['seconds']:,.1f} | {speed:,.0f} | {ratio:.1f} | {share:.0%} | {differ} |")
    print("\n".join(lines))
    if not options.no_write:
        section.write("eval", [*lines, ""])


if __name__ == "__main__":
    main()
