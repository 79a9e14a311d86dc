"""Measure the data path on many generated records, against `datasets.map`, and write docs/benchmarks.md.

Both sides read the same JSONL file of `messages`, use the same tokenizer (the `tokenizers` library itself) and the
same number of processes, write Arrow, and make the same ids and labels (their sums are compared, or nothing is
written). `datasets` does it the way its documentation shows: load_dataset("json"), then map with num_proc. Each
measurement is a process of its own with an empty cache. Memory is the resident memory of a process and all its
children together, sampled ten times a second; pages that they share are counted once for each of them.

    python bench/data.py                     # 1,000,000 records: some minutes
    python bench/data.py --records 20000 --no-write
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import section

MODEL, MAX_LENGTH, SEED = "nano-minicpm", 1024, 42
PACKAGES = ("datasets", "tokenizers", "pyarrow", "numpy")
SIDES = {
    "check": "`tunesmith data check`, with the model",
    "prepare": "tunesmith: check, render and keep (what `train` does)",
    "again": "tunesmith: the second time",
    "map": "`datasets.map`, the same ids and labels, nothing checked",
}
WORDS = {
    "zh": (("小店", "图书馆", "车站", "菜园", "邮局"), ("每天早上开门", "在河的对面", "今天人很多", "下雨时关着"),
           ("怎么走？", "几点开门？", "现在忙吗？"), ("沿着河边一直走，", "先过桥，", "问问门口的人，", "看看墙上的牌子，")),
    "en": (("The bakery", "A train", "The old lamp", "My neighbour", "The garden"),
           (" opens before seven", " stands by the river", " was mended twice", " never hurries"),
           (". What happens then?", ". Why is that?", ". Is it true?"),
           ("Because of the rain, ", "As far as I know, ", "On most days ", "If you look closely, ")),
}  # fmt: skip


def write_records(path: Path, count: int) -> None:
    """Write conversations in Chinese and English, of one to four turns, no two alike."""
    draw = random.Random(SEED)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            who, what, ask, reply = WORDS["zh" if number % 2 else "en"]
            turns = []
            for _ in range(draw.choice((1, 1, 1, 2, 4))):
                question = draw.choice(who) + draw.choice(what) + draw.choice(ask) + f" ({number})"
                answer = "".join(draw.choice(reply) + draw.choice(what) for _ in range(draw.randint(1, 8)))
                turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            stream.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")


def run_check(job: dict[str, Any]) -> dict[str, Any]:
    """Check the file on the command line."""
    command = [sys.executable, "-m", "tunesmith", "data", "check", job["file"], "--model", MODEL, "--json"]
    command += ["--processes", str(job["processes"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    file = json.loads(done.stdout)["files"][0]
    return {"records": file["kept"]}


def run_prepare(job: dict[str, Any]) -> dict[str, Any]:
    """Prepare the rows as a training run does."""
    from tunesmith.data.chat import RenderOptions
    from tunesmith.data.chats import load_chat
    from tunesmith.data.flow import Work
    from tunesmith.data.pipeline import Preparation
    from tunesmith.locate import locate

    tokenizer, chat = load_chat(locate(MODEL))
    work = Work(chat, tokenizer, RenderOptions(MAX_LENGTH))
    report = Preparation(work, processes=job["processes"]).run([job["file"]]).report
    return {"records": report.files[0].kept, "tokens": report.tokens, "labels": report.label_tokens}


def run_map(job: dict[str, Any]) -> dict[str, Any]:
    """Do the same with datasets.map."""
    from datasets import Dataset, disable_progress_bars, load_dataset
    from tokenizers import Tokenizer

    from tunesmith.locate import locate

    disable_progress_bars()
    tokenizer = Tokenizer.from_file(str(locate(MODEL) / "tokenizer.json"))
    bos, eos = tokenizer.token_to_id("<s>"), tokenizer.token_to_id("</s>")

    def render(record: dict[str, Any]) -> dict[str, Any]:
        ids, labels, ended = [bos], [-100], False
        for turn in record["messages"]:
            answer = turn["role"] == "assistant"
            text = turn["content"] if answer else f"<用户>{turn['content']}<AI>"
            piece = tokenizer.encode(text, add_special_tokens=False).ids
            ids += piece
            labels += piece if answer else [eos if ended else -100] + [-100] * (len(piece) - 1)
            ended = answer
        return {"input_ids": [*ids, eos][:MAX_LENGTH], "labels": [*labels, eos][:MAX_LENGTH]}

    loaded = load_dataset("json", data_files=job["file"], split="train", cache_dir=job["cache"])
    assert isinstance(loaded, Dataset)
    rows = loaded.map(render, num_proc=job["processes"], remove_columns=loaded.column_names)
    tokens = labels = 0
    for batch in rows.with_format("arrow").iter(10_000):
        flat = batch["labels"].combine_chunks().flatten().to_numpy()
        tokens, labels = tokens + len(flat), labels + int((flat != -100).sum())
    return {"records": len(rows), "tokens": tokens, "labels": labels}


def child(job: dict[str, Any]) -> None:
    """Run one side and print what it measured."""
    run = {"check": run_check, "prepare": run_prepare, "again": run_prepare, "map": run_map}[job["side"]]
    print(json.dumps(run(job)))


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Run one side in a process of its own; return its result with seconds and peak bytes."""
    environment = {
        **os.environ,
        "TOKENIZERS_PARALLELISM": "false",
        "TUNESMITH_CACHE": job["cache"],
        "HF_HOME": job["cache"],
    }
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            total = 0
            try:
                for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                    total += each.memory_info().rss
            except psutil.Error:
                continue
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, problems = process.communicate()
    over.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{job['side']}: the measurement failed\n{problems[-3000:]}")
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return {**result, "seconds": time.perf_counter() - start, "peak": peak}


def packing(count: int) -> tuple[float, float]:
    """Return seconds to pack so many lengths, and the padding that is left."""
    import numpy as np

    from tunesmith.data.pack import pack

    lengths = np.clip(np.random.default_rng(SEED).lognormal(4.6, 0.8, count), 4, 2048).astype(np.int64)
    start = time.perf_counter()
    packs = pack(lengths, 2048)
    return time.perf_counter() - start, packs.padding_share


def report(records: int, processes: int) -> list[str]:
    """Measure everything and return the section of the report."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as name:
        file = Path(name) / "records.jsonl"
        write_records(file, records)
        size, load = file.stat().st_size, os.getloadavg()[0]
        found = {}
        for side in SIDES:
            cache = str(Path(name) / ("prepare" if side == "again" else side))
            found[side] = measure({"side": side, "file": str(file), "processes": processes, "cache": cache})
            print(f"{side}: {found[side]}", flush=True)
    same = {(found[side]["records"], found[side]["tokens"], found[side]["labels"]) for side in ("prepare", "map")}
    if len(same) != 1 or found["check"]["records"] != records:
        sys.exit(f"the sides did not do the same work: {found}")
    seconds, padding = packing(1_000_000)
    command = f"python bench/data.py --records {records} --processes {processes}"
    where = section.where(PACKAGES, f"{processes} processes", load, command)
    about = (
        f"A JSONL file of {size / 1e6:,.0f} MB, {records:,} conversations of one to four turns in Chinese and English, "
        f"{found['prepare']['tokens']:,} tokens, {found['prepare']['labels']:,} of them labels. Whole processes, start "
        "and imports included; both sides made the same ids and labels."
    )
    lines = [
        f"## Data: {records:,} records",
        "",
        where,
        "",
        about,
        "",
        "| | seconds | records/s | peak memory of all processes, MiB | seconds / datasets.map |",
        "| --- | --- | --- | --- | --- |",
    ]
    for side, about in SIDES.items():
        one = found[side]
        ratio = one["seconds"] / found["map"]["seconds"]
        lines.append(
            f"| {about} | {one['seconds']:,.1f} | {records / one['seconds']:,.0f} | {one['peak'] / 2**20:,.0f} "
            f"| {ratio:.2f} |"
        )
    lines += ["", f"Packing 1,000,000 lengths into rows of 2,048 tokens: {seconds:.1f} s; {padding:.2%} padding.", ""]
    return lines


def main() -> None:
    """Measure and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.job:
        return child(options.job)
    lines = report(options.records, options.processes)
    print("\n".join(lines))
    if not options.no_write:
        section.write("data", lines)


if __name__ == "__main__":
    main()
