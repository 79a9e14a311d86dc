"""Measure what llama.cpp computes from exported GGUF files, beside the run that they were made from.

A short LoRA run on nano-minicpm and one on a small random Llama are trained, exported in each number format and form, and read
back by llama.cpp through llama-cpp-python, which must be installed: pip install 'tunesmith[llama-cpp]'.

    python bench/gguf_files.py
    python bench/gguf_files.py --steps 20 --no-write
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import section

FORMATS = ("f32", "bf16", "q8_0", "q4_0")
ROWS = 16


def train(model: str, rows: Path, output: Path, steps: int) -> Path:
    """Train LoRA adapters for some steps; return the run."""
    from tunesmith.training.run import train as run

    training = {"steps": steps, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "device": "cpu"}
    config: dict[str, Any] = {
        "model": model,
        "output": str(output),
        "data": {"train": str(rows)},
        "tuning": {"method": "lora", "rank": 8},
        "training": {**training, "verify": False, "report_to": []},
    }
    if (found := run(config)).state != "finished":
        raise SystemExit(f"the training of {model} ended as {found.state}")
    return output


def small_llama(folder: Path) -> Path:
    """Write a random Llama with the tokenizer of nano-minicpm."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tunesmith.locate import BUNDLED

    nano = Path(BUNDLED["nano-minicpm"])
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(nano / name, folder / name)
    words = json.loads((nano / "config.json").read_text("utf-8"))["vocab_size"]
    sizes = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6}
    torch.manual_seed(3)
    LlamaForCausalLM(LlamaConfig(vocab_size=words, max_position_embeddings=2048, **sizes)).save_pretrained(folder)
    return folder


def line(name: str, source: Path, quant: str, rows: Path, to: Path) -> str:
    """Export `source` as a GGUF file and return the line of the table."""
    from tunesmith.export.run import export
    from tunesmith.export.source import Settings

    folder, report = export(source, "gguf", to, Settings(quant=quant, data=(str(rows),), rows=ROWS))
    size, check = sum(report["files"].values()), report["check"]
    if "program" not in check:
        raise SystemExit("llama-cpp-python is not installed: pip install 'tunesmith[llama-cpp]'")
    shutil.rmtree(folder)
    cells = [
        f"{one['max_logit_difference']:.2g} | {one['relative_difference']:.2g} | {one['changed_answers']} of {one['answers']}"
        for one in (check, check["program"])
    ]
    return f"| {name} | {quant} | {size / 1e6:.1f} | {cells[0]} | {cells[1]} |"


def main() -> None:
    """Measure and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    from tunesmith.export.run import export
    from tunesmith.export.source import Settings
    from tunesmith.nano import DATA

    rows = Path(DATA) / "validation.json"
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        run = train("nano-minicpm", Path(DATA) / "train.json", root / "minicpm", options.steps)
        table = [line("MiniCPM", run, quant, rows, root / "out") for quant in FORMATS]
        granite, _ = export(run, "granite", root / "granite", Settings(dtype="float32"))
        table += [line("Granite (exported)", granite, quant, rows, root / "out") for quant in ("f32", "q8_0")]
        llama, _ = export(run, "llama", root / "llama", Settings(dtype="float32"))
        table += [line("Llama (exported)", llama, quant, rows, root / "out") for quant in ("f32", "q8_0")]
        base = small_llama(root / "random")
        second = train(str(base), Path(DATA) / "train.json", root / "own", options.steps)
        table.append(line("Llama (trained)", second, "f32", rows, root / "out"))
    conditions = (
        f"{options.steps} steps of LoRA; compared: {ROWS} rows of validation.json, two prompts, and recorded rows"
    )
    packages = ("torch", "transformers", "gguf", "llama_cpp_python")
    lines = ["## GGUF files, read by llama.cpp", ""]
    command = f"python bench/gguf_files.py --steps {options.steps}"
    lines += [section.where(packages, conditions, load, command), ""]
    lines += [
        "Logits and greedy answers (12 tokens) of the exported file beside those of the run in float32. The left three figures are",
        "those of transformers with the file's weights: what the number format costs. The right three are those of llama.cpp, which",
        "also rounds what goes into its products. Differences of logits: the largest, and that relative to the row's largest logit.",
        "",
        "| form | format | MB | transformers | relative | changed | llama.cpp | relative | changed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *table,
    ]
    print("\n".join(lines))
    if not options.no_write:
        section.write("gguf_files", [*lines, ""])


if __name__ == "__main__":
    main()
