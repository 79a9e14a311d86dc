"""Measure training steps with pictures against the published way, in one run, and write docs/benchmarks.md.

The published fine-tuning code sends the slices of pictures through the vision tower one at a time, and computes the
logits of every position. tunesmith sends all slices of a batch through in one pass, and computes logits where there is
a label. Both sides train the same random MiniCPM-V 2.0, every parameter, on the same rows in the same order with plain
SGD. Each measurement is a process of its own; the sides take turns. Losses must agree, or nothing is written.

    python bench/vision.py
    python bench/vision.py --steps 2 --repeats 1 --no-write
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from typing import Any

import section

SIDES = ("published", "tunesmith")
SEED, BATCH, WARM = 7, 4, 1
SIZES = ((200, 200), (640, 360), (360, 640), (500, 500), (900, 300), (224, 224), (300, 700), (450, 450))
CONFIG: dict[str, Any] = {
    "model_type": "minicpmv",
    "vocab_size": 20000,
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 256,
    "tie_word_embeddings": False,
    "initializer_range": 0.05,
    "query_num": 16,
    "scale_resolution": 112,
    "patch_size": 14,
    "max_slice_nums": 9,
    "slice_mode": True,
    "drop_vision_last_layer": True,
    "vision_encoder": "bench",
    "vision_tower": {
        "image_size": 112,
        "patch_size": 14,
        "embed_dim": 192,
        "depth_before_drop": 7,
        "num_heads": 4,
        "mlp_ratio": 3.7362,
        "mlp_hidden_dim": 717,
        "hidden_act": "gelu_erf",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "class_token": False,
    },
}


def batches(steps: int) -> list[dict[str, Any]]:
    """Return batches of rows with one picture each, made of noise, with ids drawn at random."""
    import torch

    from tunesmith.data.slicing import Slicing

    draw, slicing, found = random.Random(SEED), Slicing.of(CONFIG), []
    noise = torch.Generator().manual_seed(SEED)
    for _ in range(steps):
        rows, pixels, bounds = [], [], []
        for row in range(BATCH):
            plan = slicing.plan(*draw.choice(SIZES))
            ids, labels = [1], [-100]
            for width, height in plan.sizes:
                bounds.append([row, len(ids) + 1, len(ids) + 1 + slicing.query_num])
                ids += [101, *[0] * slicing.query_num, 102]
                pixels.append(torch.randn(3, height, width, generator=noise))
            question = [draw.randrange(200, CONFIG["vocab_size"]) for _ in range(draw.randint(8, 30))]
            answer = [draw.randrange(200, CONFIG["vocab_size"]) for _ in range(draw.randint(4, 24))]
            labels += [-100] * (len(ids) - 1 + len(question)) + [*answer, 2]
            rows.append(([*ids, *question, *answer, 2], labels))
        length = max(len(ids) for ids, _ in rows)
        found.append(
            {
                "input_ids": torch.tensor([ids + [0] * (length - len(ids)) for ids, _ in rows]),
                "labels": torch.tensor([labels + [-100] * (length - len(labels)) for _, labels in rows]),
                "attention_mask": torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in rows]),
                "pixel_values": pixels,
                "image_bound": torch.tensor(bounds),
            }
        )
    return found


def child(side: str, steps: int) -> None:
    """Train one side and print what it measured."""
    import torch

    from tunesmith.models.minicpmv import FAMILY, MiniCPMVConfig, MiniCPMVForCausalLM
    from tunesmith.ops.loss import plain_loss
    from tunesmith.training.objective import Objective

    class OneByOne(MiniCPMVForCausalLM):
        """The published way of looking."""

        def seen(self, pictures: Any) -> Any:
            return torch.cat([super(OneByOne, self).seen([picture]) for picture in pictures])

    torch.manual_seed(SEED)
    model = (OneByOne if side == "published" else MiniCPMVForCausalLM)(MiniCPMVConfig(**CONFIG))
    objective, seconds, losses = Objective(model, FAMILY), [], []
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for batch in batches(steps):
        start = time.process_time()
        labels, count = batch["labels"], int((batch["labels"][:, 1:] != -100).sum())
        if side == "published":
            loss = plain_loss(model(**{k: v for k, v in batch.items() if k != "labels"}).logits, labels) / count
        else:
            loss = objective(**batch) / count
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.process_time() - start)
        losses.append(float(loss))
    print(json.dumps({"seconds": seconds, "losses": losses, "peak": section.peak_bytes()}))


def main() -> None:
    """Measure and rewrite this file's section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-write", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    if options.side:
        return child(options.side, options.steps)
    load, runs = os.getloadavg()[0], dict[str, list[dict[str, Any]]]()
    for repeat in range(options.repeats):
        for side in SIDES[:: 1 if repeat % 2 == 0 else -1]:
            command = [sys.executable, __file__, "--side", side, "--steps", str(options.steps)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{side}: the measurement failed\n{done.stderr[-3000:]}")
            runs.setdefault(side, []).append(json.loads(done.stdout.splitlines()[-1]))
            print(f"repeat {repeat + 1}, {side}: {statistics.mean(runs[side][-1]['seconds'][WARM:]):.2f} s a step")
    pairs = zip(runs["published"][0]["losses"], runs["tunesmith"][0]["losses"], strict=True)
    gap = max(abs(one - other) for one, other in pairs)
    if not gap <= 1e-3:
        sys.exit(f"the losses differ by {gap:.2g}; the sides did not do the same work")
    rows = (options.steps - WARM) * BATCH
    slices = [len(batch["pixel_values"]) for batch in batches(options.steps)]
    figures = {
        side: (
            statistics.median(rows / sum(run["seconds"][WARM:]) for run in runs[side]),
            statistics.median(run["peak"] / 2**20 for run in runs[side]),
        )
        for side in SIDES
    }
    (old_speed, old_peak), (speed, peak) = figures["published"], figures["tunesmith"]
    command = f"python bench/vision.py --steps {options.steps} --repeats {options.repeats} --threads {options.threads}"
    conditions = f"threads: {options.threads}; float32; processor time"
    lines = [
        "## Training with pictures against the published way",
        "",
        section.where(("torch", "transformers"), conditions, load, command),
        "",
        "A random MiniCPM-V 2.0 (6 layers of width 256, 20,000 words; tower of 6 blocks of width 192), every parameter "
        + f"learns; {BATCH} rows a batch with one picture each, {min(slices)} to {max(slices)} slices a batch; "
        + f"{options.steps} steps, the first not counted; medians of {options.repeats} repeats.",
        "",
        "| | published | tunesmith | tunesmith / published |",
        "| --- | --- | --- | --- |",
        f"| samples a processor second | {old_speed:.2f} | {speed:.2f} | {speed / old_speed:.2f} |",
        f"| peak MiB | {old_peak:,.0f} | {peak:,.0f} | {peak / old_peak:.2f} |",
        "",
        f"Largest difference of a step's loss: {gap:.1e}.",
        "",
    ]
    print("\n".join(lines))
    if not options.no_write:
        section.write("vision", lines)


if __name__ == "__main__":
    main()
