"""Measure a training step of tunesmith against the plain recipe, in one run, and write docs/benchmarks.md.

The plain recipe is what the published scripts do: HF's Trainer and PEFT's LoRA on the same native model, every row
padded to the maximum length, logits of all positions. A second plain recipe pads to the longest row of each batch, so
that one sees what the padding costs and what the logits cost. All sides get the same rows in the same batches, the
same model, seed, learning rate, precision (float32) and threads. Each measurement is a process of its own; the sides
take turns. Losses must agree, or nothing is written.

    python bench/step.py                 # all cases, 3 repeats
    python bench/step.py --case nano-minicpm --repeats 1 --no-write
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import section

SIDES = ("plain", "plain, less padding", "tunesmith")
MAX_LENGTH, BATCH, SEED, LEARNING_RATE = 128, 8, 42, 2e-4
PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True)
class Case:
    """A model to train, and how many steps: the first `warm` ones are not counted."""

    name: str
    about: str
    steps: int
    warm: int


CASES = (
    Case("nano-minicpm", "the bundled model, 5,000 words", steps=60, warm=10),
    Case("minicpm-100m", "random weights, 12 layers of width 512, MiniCPM-2B's 122,753 words", steps=6, warm=1),
)


def write_rows(path: Path, count: int) -> None:
    """Write sentence-pair questions with one-word answers, in Chinese and English, as `messages` records."""
    draw = random.Random(SEED)
    zh = {
        "who": ["小明", "老师", "我的朋友", "那个司机", "邻居家的孩子", "医生", "图书馆的管理员"],
        "what": ["正在公园里跑步", "昨天买了一本新书", "在厨房里准备晚饭", "坐火车去了北京", "刚刚看完一场电影"],
        "more": ["", "，因为天气很好", "，虽然已经很累了", "，然后和同事喝了一杯咖啡"],
    }
    en = {
        "who": ["A man", "The teacher", "My friend", "The driver", "A child next door", "The doctor"],
        "what": ["is running in the park", "bought a new book yesterday", "is cooking dinner", "took the train home"],
        "more": ["", " because the weather is fine", " although it was late"],
    }
    ask_zh = "这两句话的关系是蕴含、矛盾还是中立？\n第一句：{0}。\n第二句：{1}。"
    ask_en = "Is this entailment, contradiction or neutral?\nFirst: {0}.\nSecond: {1}."
    labels = {ask_zh: ["蕴含", "矛盾", "中立"], ask_en: ["entailment", "contradiction", "neutral"]}
    rows = []
    for _ in range(count):
        words, ask = draw.choice([(zh, ask_zh), (en, ask_en)])
        pair = ["".join(draw.choice(words[part]) for part in ("who", "what", "more")) for _ in range(2)]
        if words is en:
            pair = [" ".join(draw.choice(words[part]).strip() for part in words).strip() for _ in range(2)]
        answer = draw.choice(labels[ask])
        question = {"role": "user", "content": ask.format(*pair)}
        rows.append({"messages": [question, {"role": "assistant", "content": answer}]})
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")


def make_model(case: Case, folder: Path) -> str:
    """Return the model of a case as tunesmith's `model` setting; random weights are made here, in `folder`."""
    from tunesmith.locate import locate

    if case.name == "nano-minicpm":
        return case.name
    import torch
    from transformers.utils.logging import disable_progress_bar

    from tunesmith.models.minicpm import MiniCPMConfig, MiniCPMForCausalLM

    config = MiniCPMConfig(**section.MINICPM_100M)
    disable_progress_bar()
    torch.manual_seed(SEED)
    MiniCPMForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(locate("nano-minicpm") / name, folder / name)
    return str(folder)


def settings(job: dict[str, Any]) -> dict[str, Any]:
    """Return the tunesmith configuration of a measurement."""
    return {
        "model": job["model"],
        "output": job["output"],
        # the batches of the plain recipe: rows that begin alike are not brought together (bench/prefix.py does so)
        "data": {"train": job["rows"], "max_length": MAX_LENGTH, "share_prefixes": False},
        "tuning": {"method": "lora", "rank": 16, "alpha": 32},
        "training": {
            "steps": job["steps"],
            "batch_size": BATCH,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_ratio": 0.0,
            "precision": "fp32",
            "device": "cpu",
            "seed": SEED,
            "report_to": "none",
            "verify": False,
        },
    }


def run_tunesmith(job: dict[str, Any]) -> dict[str, Any]:
    """Train through the project's own entry; the times are those that it writes to metrics.jsonl."""
    from tunesmith.runs import RunFolder
    from tunesmith.training.run import train

    train(settings(job))
    lines = [line for line in RunFolder(Path(job["output"])).metric_lines() if "loss" in line]
    return {"seconds": [line["seconds"] for line in lines], "losses": [line["loss"] for line in lines]}


def run_plain(job: dict[str, Any]) -> dict[str, Any]:
    """Train the plain way: the same rows in the same order, padded to the maximum, through the model's own loss."""
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments, set_seed

    import tunesmith.models  # noqa: F401 - registers MiniCPM with transformers
    from tunesmith.locate import locate

    rows, pad_id = ordered_rows(job)
    padded = [
        {
            "input_ids": torch.tensor(ids + [pad_id] * (MAX_LENGTH - len(ids))),
            "attention_mask": torch.tensor([1] * len(ids) + [0] * (MAX_LENGTH - len(ids))),
            "labels": torch.tensor(labels + [-100] * (MAX_LENGTH - len(ids))),
        }
        for ids, labels in rows
    ]

    class InOrder(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
            return SequentialSampler(padded)

    seconds: list[float] = []

    def collate(batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        stacked = {key: torch.stack([row[key] for row in batch]) for key in batch[0]}
        length = MAX_LENGTH if job["side"] == "plain" else int(stacked["attention_mask"].sum(1).max())
        return {key: value[:, :length] for key, value in stacked.items()}

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.mark = time.perf_counter()

        def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
            if "loss" in (logs or {}):
                now = time.perf_counter()
                seconds.append(now - self.mark)
                self.mark = now

    model = AutoModelForCausalLM.from_pretrained(locate(job["model"]), dtype=torch.float32)
    set_seed(SEED)
    model = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", bias="none", task_type="CAUSAL_LM")
    )
    arguments = TrainingArguments(
        output_dir=job["output"],
        max_steps=job["steps"],
        per_device_train_batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        seed=SEED,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = InOrder(model=model, args=arguments, train_dataset=padded, data_collator=collate, callbacks=[Clock()])
    trainer.train()
    return {
        "seconds": seconds,
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "tokens": [len(ids) for ids, _ in rows],
        "labels": [sum(label != -100 for label in labels[1:]) for _, labels in rows],
    }


def ordered_rows(job: dict[str, Any]) -> tuple[list[tuple[list[int], list[int]]], int]:
    """Return ids and labels of all rows in the order in which tunesmith takes them, and the padding token."""
    from tunesmith.config import read
    from tunesmith.models.load import load
    from tunesmith.training.rows import arrange, prepare_rows
    from tunesmith.training.settings import TrainConfig
    from tunesmith.training.setup import choose

    config = read(TrainConfig, settings(job))
    setup = choose(config)
    rows = arrange(config, setup, load(job["model"]), prepare_rows(config, setup))
    assert rows.order is not None  # not a stream
    examples = [rows.items[index] for index in rows.order][: job["steps"] * BATCH]
    return [(list(example.input_ids), list(example.labels)) for example in examples], rows.pad_id


def child(job_file: Path) -> None:
    """Run one measurement and write what was measured beside the job."""
    job = json.loads(job_file.read_text("utf-8"))
    measured = run_tunesmith(job) if job["side"] == "tunesmith" else run_plain(job)
    peak = section.peak_bytes()
    job_file.with_suffix(".result").write_text(json.dumps({**measured, "peak": peak}), encoding="utf-8")


def measure(case: Case, side: str, model: str, folder: Path, threads: int) -> dict[str, Any]:
    """Run one side in a process of its own and return what it measured."""
    folder.mkdir(parents=True)
    rows = folder / "rows.jsonl"
    write_rows(rows, case.steps * BATCH)
    job = {"side": side, "model": model, "rows": str(rows), "output": str(folder / "run"), "steps": case.steps}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, __file__, "--job", str(folder / "job.json")],
        env={**environment, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{case.name}, {side}: the measurement failed\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads((folder / "job.result").read_text("utf-8"))
    shutil.rmtree(folder)
    return result


def compare(case: Case, folder: Path, repeats: int, threads: int) -> list[str]:
    """Measure all sides in turns and return the section of the report.

    Exits with an error if the losses do not agree: then the sides did not do the same work.
    """
    model = make_model(case, folder / "model")
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for repeat in range(repeats):
        for side in SIDES[repeat % 3 :] + SIDES[: repeat % 3]:
            runs[side].append(measure(case, side, model, folder / f"{SIDES.index(side)}-{repeat}", threads))
            counted = sum(runs[side][-1]["seconds"][case.warm :]) / (case.steps - case.warm)
            print(f"{case.name}, repeat {repeat + 1}/{repeats}, {side}: {counted:.3f} s a step", flush=True)
    plain = runs["plain"][0]
    others = [run["losses"] for side in SIDES[1:] for run in runs[side]]
    gap = max(abs(a - b) for losses in others for a, b in zip(plain["losses"], losses, strict=True))
    if not gap <= 1e-3 * max(plain["losses"]):
        sys.exit(f"{case.name}: the losses differ by {gap:.2g}; the sides did not do the same work")
    labels, tokens = plain["labels"], plain["tokens"]
    counted_labels, counted_rows = sum(labels[case.warm * BATCH :]), (case.steps - case.warm) * BATCH
    facts = {}
    for side in SIDES:
        times = [sum(run["seconds"][case.warm :]) for run in runs[side]]
        facts[side] = {
            "labels": [counted_labels / t for t in times],
            "rows": [counted_rows / t for t in times],
            "peak": [run["peak"] / 2**20 for run in runs[side]],
        }
    about = (
        f"{len(tokens)} rows of {min(tokens)} to {max(tokens)} tokens (mean {statistics.mean(tokens):.1f}), "
        f"{statistics.mean(labels):.1f} of them labels, batch {BATCH}, padded to {MAX_LENGTH} by the plain recipe; "
        f"{case.steps} steps, the first {case.warm} not counted; {repeats} repeats."
    )
    lines = [
        f"### {case.name}: {case.about}",
        "",
        about,
        "",
        "| median (least to most) | " + " | ".join(SIDES) + " | tunesmith / plain |",
        "| --- " * (len(SIDES) + 2) + "|",
    ]
    for key, title, digits in (("labels", "label tokens/s", 1), ("rows", "samples/s", 2), ("peak", "peak MiB", 0)):
        cells = [_spread(facts[side][key], digits) for side in SIDES]
        ratio = statistics.median(facts["tunesmith"][key]) / statistics.median(facts["plain"][key])
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {ratio:.2f} |")
    shown = sorted({0, case.warm, case.steps // 2, case.steps - 1})
    lines += ["", "| loss at step | " + " | ".join(str(step + 1) for step in shown) + " |"]
    lines.append("| --- " * (len(shown) + 1) + "|")
    for side in SIDES:
        losses = runs[side][0]["losses"]
        lines.append(f"| {side} | " + " | ".join(f"{losses[step]:.5f}" for step in shown) + " |")
    lines += ["", f"Largest difference of a step's loss: {gap:.1e}.", ""]
    return lines


def _spread(values: list[float], digits: int) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f} to {most:,.{digits}f})"


def main() -> None:
    """Run the cases and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append", help="only this one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--steps", type=int, help="only so many, to try the harness; nothing is written")
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.job:
        return child(options.job)
    command = f"python bench/step.py --repeats {options.repeats} --threads {options.threads}"
    conditions = f"threads: {options.threads}; float32"
    where = section.where(PACKAGES, conditions, os.getloadavg()[0], command)
    lines = ["## Training step against the plain recipe", "", where, ""]
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as name:
        for case in CASES:
            if not options.case or case.name in options.case:
                chosen = replace(case, steps=options.steps, warm=1) if options.steps else case
                lines += compare(chosen, Path(name) / case.name, options.repeats, options.threads)
    print("\n".join(lines))
    if not (options.no_write or options.case or options.steps):
        section.write("step", lines)


if __name__ == "__main__":
    main()
