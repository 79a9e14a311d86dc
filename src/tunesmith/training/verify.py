"""The round trip: a clean process loads what was saved and must reproduce logits, prompts and every trained tensor."""

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

from ..data.chat import ChatFormat, render
from ..data.tokenizer import TextTokenizer
from ..data.types import Batch, Conversation, Message
from ..errors import RecordError, RoundTripError
from ..runs import RECORDED, RECORDED_FACTS, read_json, share, write_json
from .objective import Objective, trainable_state

ROWS, TOKENS = 4, 64
_PROBE = Conversation((Message("user", "你好"), Message("assistant", "Hello."), Message("user", "Who are you?")))


def digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's dtype, shape and bytes."""
    data = tensor.detach().cpu().contiguous()
    head = f"{data.dtype}{tuple(data.shape)}".encode()
    return hashlib.sha256(head + data.view(torch.uint8).numpy().tobytes()).hexdigest()


def prompt_ids(chat: ChatFormat, tokenizer: TextTokenizer) -> list[int]:
    """Return a short conversation as chat would send it; nothing where the template refuses it."""
    try:
        return render(_PROBE, chat, tokenizer, open_turn=True).input_ids
    except RecordError:
        return []


def record(
    objective: Objective,
    batches: list[Batch],
    run: Path,
    same_tensors: bool,
    dtype: torch.dtype,
    prompt: list[int],
) -> None:
    """Write what the trained model computes for a few rows, and the digests of what was trained.

    `batches` hold one row each; a row with pictures is taken whole, another one up to `TOKENS`. `same_tensors`: the
    saved tensors are the trained ones (not so for PiSSA, whose adapter is saved in another form; what was trained in
    full beside it is compared all the same). `dtype`: what the clean process must load the model in. `prompt`: the
    `prompt_ids` with the template and the tokenizer of training.
    """
    device = next(objective.parameters()).device
    tensors: dict[str, Tensor] = {}
    for number, batch in enumerate(batches[:ROWS]):
        ids = batch["input_ids"] if "pixel_values" in batch else batch["input_ids"][:, :TOKENS]
        tensors[f"{number}.input_ids"] = ids.contiguous()
        if "pixel_values" in batch:
            tensors[f"{number}.image_bound"] = batch["image_bound"]
            # one picture may stand in a row, or in a pair, twice; a file holds no two names of one tensor
            tensors |= {f"{number}.pixel_values.{n}": pixels.clone() for n, pixels in enumerate(batch["pixel_values"])}
        tensors[f"{number}.logits"] = _logits(objective.inner, _inputs(tensors, number), device)
    save_file(tensors, run / RECORDED)
    share(run / RECORDED)
    learned = trainable_state(objective)
    digests = {name: digest(tensor) for name, tensor in learned.items() if same_tensors or ".lora_" not in name}
    facts = {"dtype": str(dtype).removeprefix("torch."), "device": device.type, "prompt": prompt, "tensors": digests}
    write_json(run / RECORDED_FACTS, facts)


def check_in_clean_process(run: Path) -> dict[str, Any]:
    """Start a new Python that loads the result of the run and compares; return its report.

    Raises:
        RoundTripError: it cannot load the result, or what it loads is not what was trained.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith.training.verify", str(run)], capture_output=True, text=True, check=False
    )
    report: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            report |= json.loads(line)
    if not report:
        raise RoundTripError(f"The saved result in '{run}' cannot be loaded by a clean process:\n{done.stderr[-2000:]}")
    if report["faults"]:
        raise RoundTripError(
            f"What was saved in '{run}' is not what was trained: {'; '.join(report['faults'][:5])}. Do not use the "
            "result; the checkpoints hold the trained weights. Please report this."
        )
    return report


def compare(run: Path) -> dict[str, Any]:
    """Load the result of a run and compare it with the record; return what is wrong, and how much was compared."""
    from ..generate.kernels import use_kernel
    from ..models.load import load, text_tokenizer
    from ..models.quantise import is_quantised

    facts, stored = read_json(run / RECORDED_FACTS), load_file(run / RECORDED)
    dtype = getattr(torch, facts["dtype"])
    loaded = load(run, dtype=dtype, device=facts["device"])
    use_kernel(loaded.model, torch.device(facts["device"]), dtype)  # as in training
    faults = _tensor_faults(loaded.model, facts["tensors"])
    tokenizer = text_tokenizer(loaded.tokenizer)
    if prompt_ids(loaded.family.chat(tokenizer, loaded.model.config.to_dict()), tokenizer) != facts["prompt"]:
        faults.append("a conversation becomes other tokens (another chat template or tokenizer than in training)")
    rows, worst = sum(name.endswith(".logits") for name in stored), 0.0
    inner = loaded.model.get_base_model() if hasattr(loaded.model, "get_base_model") else loaded.model
    for number in range(rows):
        logits = _logits(inner, _inputs(stored, number), torch.device(facts["device"]))
        expected = stored[f"{number}.logits"]
        difference = float((logits - expected).abs().max())
        worst = max(worst, difference)
        if not difference <= (1e-4 if dtype == torch.float32 else 5e-2) * max(1.0, float(expected.abs().max())):
            faults.append(f"the logits of row {number} differ by up to {difference:.3g}")
    quantised = any(is_quantised(module) for module in loaded.model.modules())
    counts = {"rows": rows, "tensors": len(facts["tensors"]), "quantised": quantised}
    return {"faults": faults, "max_logit_difference": worst, **counts}


def unquantised_difference(run: Path) -> float:
    """Put the adapter of a run on the base as it is stored; return how far the logits of the first row are apart.

    That is the error of quantisation, not a fault. It is computed on the CPU: the GPU of such a run may be too small
    for the base, and float16 is slow there.
    """
    from ..models.load import load

    facts, stored = read_json(run / RECORDED_FACTS), load_file(run / RECORDED)
    dtype = torch.float32 if facts["dtype"] == "float32" else torch.bfloat16
    loaded = load(run, dtype=dtype, device="cpu", base="stored")
    logits = _logits(loaded.model.get_base_model(), _inputs(stored, 0), torch.device("cpu"))
    return float((logits - stored["0.logits"]).abs().max())


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
    report = compare(Path(sys.argv[1]))
    print(json.dumps(report), flush=True)  # so that it counts whatever becomes of the rest
    if report["quantised"]:
        print(json.dumps({"unquantised_difference": unquantised_difference(Path(sys.argv[1]))}))
