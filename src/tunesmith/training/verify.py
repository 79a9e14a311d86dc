"""The round trip: a clean process loads what was saved and must reproduce recorded logits and every trained tensor."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.types import Batch
from ..errors import RoundTripError
from ..runs import read_json, write_json
from .objective import Objective, trainable_state

LOGITS, FACTS = "verification.safetensors", "verification.json"
ROWS, TOKENS = 4, 64


def digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's dtype, shape and bytes."""
    data = tensor.detach().cpu().contiguous()
    head = f"{data.dtype}{tuple(data.shape)}".encode()
    return hashlib.sha256(head + data.view(torch.uint8).numpy().tobytes()).hexdigest()


def record(objective: Objective, batches: list[Batch], run: Path, same_tensors: bool, dtype: torch.dtype) -> None:
    """Write what the trained model computes for a few rows, and the digests of what was trained.

    `batches` hold one row each; a row with pictures is taken whole, another one up to `TOKENS`. `same_tensors`: the
    saved tensors are the trained ones (not so for PiSSA, whose adapter is saved in another form; what was trained in
    full beside it is compared all the same). `dtype`: what the clean process must load the model in.
    """
    device = next(objective.parameters()).device
    tensors: dict[str, Tensor] = {}
    for number, batch in enumerate(batches[:ROWS]):
        ids = batch["input_ids"] if "pixel_values" in batch else batch["input_ids"][:, :TOKENS]
        tensors[f"{number}.input_ids"] = ids.contiguous()
        if "pixel_values" in batch:
            tensors[f"{number}.image_bound"] = batch["image_bound"]
            tensors |= {f"{number}.pixel_values.{slice}": pixels for slice, pixels in enumerate(batch["pixel_values"])}
        tensors[f"{number}.logits"] = _logits(objective.inner, _inputs(tensors, number), device)
    save_file(tensors, run / LOGITS)
    learned = trainable_state(objective)
    digests = {name: digest(tensor) for name, tensor in learned.items() if same_tensors or ".lora_" not in name}
    write_json(run / FACTS, {"dtype": str(dtype).removeprefix("torch."), "device": device.type, "tensors": digests})


def check_in_clean_process(run: Path) -> dict[str, Any]:
    """Start a new Python that loads the result of the run and compares; return its report.

    Raises:
        RoundTripError: it cannot load the result, or what it loads is not what was trained.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith.training.verify", str(run)], capture_output=True, text=True, check=False
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise RoundTripError(
            f"The saved result in '{run}' cannot be loaded by a clean process:\n{done.stderr[-2000:]}"
        ) from None
    if report["faults"]:
        raise RoundTripError(
            f"What was saved in '{run}' is not what was trained: {'; '.join(report['faults'][:5])}. Do not use the "
            "result; the checkpoints hold the trained weights. Please report this."
        )
    return report


def compare(run: Path) -> dict[str, Any]:
    """Load the result of a run and compare it with the record; return {"faults", "max_logit_difference", "rows"}."""
    from ..models.load import load

    facts, stored = read_json(run / FACTS), load_file(run / LOGITS)
    dtype = getattr(torch, facts["dtype"])
    loaded = load(run, dtype=dtype, device=facts["device"])
    faults = _tensor_faults(loaded.model, facts["tensors"])
    rows, worst = sum(name.endswith(".logits") for name in stored), 0.0
    inner = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    for number in range(rows):
        logits = _logits(inner, _inputs(stored, number), torch.device(facts["device"]))
        expected = stored[f"{number}.logits"]
        difference = float((logits - expected).abs().max())
        worst = max(worst, difference)
        if not difference <= (1e-4 if dtype == torch.float32 else 5e-2) * max(1.0, float(expected.abs().max())):
            faults.append(f"the logits of row {number} differ by up to {difference:.3g}")
    return {"faults": faults, "max_logit_difference": worst, "rows": rows, "tensors": len(facts["tensors"])}


def _tensor_faults(model: torch.nn.Module, digests: dict[str, str]) -> list[str]:
    if not digests:
        return []
    loaded = dict(model.named_parameters())
    return [
        f"{name} is {'missing' if name not in loaded else 'different'}"
        for name, value in digests.items()
        if name not in loaded or digest(loaded[name]) != value
    ]


def _inputs(stored: dict[str, Tensor], number: int) -> dict[str, Any]:
    """Return the model's arguments for a recorded row."""
    inputs: dict[str, Any] = {"input_ids": stored[f"{number}.input_ids"]}
    if f"{number}.image_bound" in stored:
        inputs["image_bound"] = stored[f"{number}.image_bound"]
        count = len(inputs["image_bound"])
        inputs["pixel_values"] = [stored[f"{number}.pixel_values.{slice}"] for slice in range(count)]
    return inputs


@torch.no_grad()
def _logits(model: Any, inputs: dict[str, Any], device: torch.device) -> Tensor:
    was_training = model.training
    model.eval()
    moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}
    logits: Tensor = model(**moved).logits[0].float().cpu().contiguous()
    model.train(was_training)
    return logits


if __name__ == "__main__":
    print(json.dumps(compare(Path(sys.argv[1]))))
