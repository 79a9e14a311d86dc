"""A forest of tokens in any causal model: how it is called on rows that share beginnings, and the proof that it may be.

The attention implementation "segments" is told the runs of the forest in place of a mask; positions count from the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..ops.tree import Run
from .segments import NAME, UNFIT, VARLEN, stretched_from

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RUNS: list[Run] = [(-1, 7, 1), (0, 3, 2), (0, 5, 1), (2, 2, 1), (2, 4, 1), (-1, 6, 1)]
"""The forest that proves a model."""
PATHS = (((0, 0), (1, 0)), ((0, 0), (1, 1)), ((0, 0), (2, 0), (3, 0)), ((0, 0), (2, 0), (4, 0)), ((5, 0),))
"""Its rows: from a root to a leaf, each run with the number of its copy."""
WINDOWS = ("sliding_window", "attention_chunk_size")
"""What configs call the number of tokens that a token sees at most, in some layers."""


def tree_inputs(runs: Sequence[Run], places_BT: Tensor, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """Return what a model's forward is given for a batch whose rows are the paths of a forest, ids included.

    places_BT: where each token of the rows stands among the N tokens of the forest. `inputs`: input_ids, attention_mask
    (0 is padding) and, where rows are packed, position_ids, each (B, T); pixel_values and image_bound, if there are any.
    """
    ids_BT, real_BT = inputs["input_ids"], inputs["attention_mask"] != 0
    positions_BT = inputs.get("position_ids", torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT))
    size = sum(length * count for _, length, count in runs)
    places = places_BT[real_BT]
    made: dict[str, Any] = {
        # rows that share a place have the same token and position there, so it does not matter which is written last
        "input_ids": ids_BT.new_zeros(1, size).index_copy_(1, places, ids_BT[real_BT][None]),
        "position_ids": positions_BT.new_zeros(1, size).index_copy_(1, places, positions_BT[real_BT][None]),
        "attention_mask": torch.tensor(runs)[None, None],  # stays on the CPU: it is read there
    }
    if "image_bound" in inputs:
        slots: dict[int, tuple[int, int]] = {}
        for number, (row, first, end) in enumerate(inputs["image_bound"].tolist()):
            slots.setdefault(int(places_BT[row, first]), (number, end - first))
        made["pixel_values"] = [inputs["pixel_values"][number] for number, _ in slots.values()]
        bounds = [(0, place, place + length) for place, (_, length) in slots.items()]
        made["image_bound"] = torch.tensor(bounds, device=ids_BT.device)
    return made


def why_no_tree(model: PreTrainedModel, max_length: int) -> str | None:
    """Return why rows of up to `max_length` tokens cannot share what they have in common in this model, or None.

    None is proven on the model, which is the transformers model itself, without PEFT's wrapper; it is then switched to
    "segments". Otherwise it stays as it is.
    """
    config, before = model.config.get_text_config(), model.config._attn_implementation
    stretched = stretched_from(model.config)
    if stretched is not None and max_length > stretched:
        return f"its positions are stretched in rows of more than {stretched:,} tokens, for all rows of a batch"
    for name in WINDOWS:
        window = getattr(config, name, None)
        if window is not None and max_length > window:
            return f"its {name} of {window:,} tokens is shorter than data.max_length"
    if before not in ("sdpa", NAME, VARLEN) or not model._can_set_attn_implementation():
        return f"its attention ({before}) cannot be replaced"
    model.set_attn_implementation(NAME)
    fault = _fault(model)
    if fault is not None:
        model.set_attn_implementation(before)
    return fault


@torch.no_grad()
def _fault(model: PreTrainedModel) -> str | None:
    """Return what is wrong with a forest in this model, or None: each row computes what it computes alone."""
    name, was_training = type(model).__name__, model.training
    own = torch.Generator().manual_seed(0)  # the global random state stays as it is
    places = _places()
    size = sum(length * count for _, length, count in RUNS)
    ids_1T = torch.randint(model.get_input_embeddings().num_embeddings, (1, size), generator=own).to(model.device)
    longest = max(map(len, places))
    places_BT = torch.stack([torch.nn.functional.pad(row, (0, longest - len(row))) for row in places])
    real_BT = torch.stack([torch.arange(longest) < len(row) for row in places]).long()
    places_BT, real_BT = places_BT.to(model.device), real_BT.to(model.device)
    model.eval()
    try:
        inputs = tree_inputs(RUNS, places_BT, {"input_ids": ids_1T[0][places_BT], "attention_mask": real_BT})
        found = _hidden(model, **inputs)[0]
        joined = _hidden(model, input_ids=ids_1T)[0]
        alone = [_hidden(model, input_ids=ids_1T[:, row.to(model.device)])[0] for row in places]
    except UNFIT as error:
        return f"{name} cannot be called on a tree of tokens ({type(error).__name__}: {error})"
    finally:
        model.train(was_training)
    allowed = 1e-3 if found.dtype in (torch.float32, torch.float64) else 5e-2
    wrong, scale = (
        max(float((x[row.to(x.device)] - one).abs().max()) for row, one in zip(places, alone, strict=True))
        for x in (found, joined)
    )
    if not wrong <= allowed * scale:
        return f"in {name} a row that shares tokens with others does not compute what it computes alone"
    return None


def _places() -> list[Tensor]:
    """Return for each row of `PATHS` where its tokens stand."""
    starts = [sum(length * count for _, length, count in RUNS[:number]) for number in range(len(RUNS))]
    return [
        torch.cat([torch.arange(RUNS[run][1]) + starts[run] + copy * RUNS[run][1] for run, copy in path])
        for path in PATHS
    ]


def _hidden(model: PreTrainedModel, **inputs: Any) -> Tensor:
    """Return the last hidden states, (B, T, D)."""
    hidden_BTD: Tensor = model.get_decoder()(use_cache=False, **inputs)[0]
    return hidden_BTD
