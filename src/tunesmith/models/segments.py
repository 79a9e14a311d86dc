"""Packed rows in any causal model: how it is called on them, and the proof that segments never see each other.

transformers isolates segments by itself where `position_ids` begin again and no attention mask is given (a mask of ones
beside them leaks without a word). It does so with a (T, T) mask, which is slow on a CPU; the attention implementation
"segments" asks transformers for the same rule and computes each segment alone, and a forest of tokens (`tree.py`) a run
at a time. On a GPU "segments_varlen" hands the segments to torch's kernel for sequences of any length, if that is proven
there. All other calls go to "sdpa".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..ops.attention import first_visible, segment_attention
from ..ops.tree import tree_attention
from ..ops.varlen import DTYPES, Sequences, difference, fits, load_kernel, varlen_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "segments"
"""The attention implementation that computes each segment alone."""
VARLEN = "segments_varlen"
"""The attention implementation that hands all segments to one kernel, on a GPU in half precision."""
BOUND = 2**-5
"""How far that kernel may be from the plain form, as a share of the largest number: four times the unit of bfloat16."""
LENGTHS = ((5, 4, 7), (8, 6))
"""Tokens of the segments that prove a model, in two rows; the second row is padded."""

UNFIT = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What models of third parties raise when they are called in a way that they were not written for."""


@dataclass(frozen=True)
class Packing:
    """How a model treats packed rows, proven: `attention` is the implementation that it was proven with.

    `longest`: where a batch has a longer segment, the rotary tables of all its rows may change (dynamic and longrope
    scaling), so that packed and unpacked rows differ; None where there is no such length. `note`: why a faster
    implementation is not used.
    """

    attention: str
    longest: int | None = None
    note: str = ""

    def why_not(self, max_length: int, device: str) -> str | None:
        """Return why rows of up to `max_length` tokens should not be packed on this kind of device, or None."""
        if self.longest is not None and max_length > self.longest:
            return f"its positions are stretched in rows of more than {self.longest:,} tokens, for all rows of a batch"
        if device == "cpu" and self.attention != NAME:
            return (
                "on a CPU its attention cannot be computed segment by segment, and a full mask costs more than padding"
            )
        return None


def packed_inputs(model: Any, segments_BT: Tensor, position_ids_BT: Tensor) -> dict[str, Tensor]:
    """Return what a model's forward is given for packed rows, beside the ids.

    segments_BT: 0 padding, otherwise the number of the segment; position_ids_BT begin again at 0 in each segment. A
    native model that reads segment numbers itself says so with `takes_segments = True` on its class, and gets them as
    its `attention_mask`; all others get the positions and no mask.
    """
    if getattr(model, "takes_segments", False):
        return {"attention_mask": segments_BT, "position_ids": position_ids_BT}
    return {"position_ids": position_ids_BT}


def packing_of(model: PreTrainedModel) -> Packing | str:
    """Prove that segments of a packed row never see each other in this model; return how, or why they would.

    `model` is the transformers model itself, without PEFT's wrapper. A model with "sdpa" is switched to "segments" on a
    CPU, and on a GPU in half precision to "segments_varlen", if the proof holds with it; otherwise it stays as it is:
    on a GPU with a (T, T) mask.
    """
    before, note = model.config._attn_implementation, ""
    if before == "sdpa" and model._can_set_attn_implementation():
        faster, note = _faster(model)
        if faster is not None:
            model.set_attn_implementation(faster)
            if (fault := _fault(model)) is None:
                return Packing(faster, stretched_from(model.config))
            note = fault if faster == VARLEN else ""
            model.set_attn_implementation(before)
    fault = _fault(model)
    return Packing(before or "eager", stretched_from(model.config), note) if fault is None else fault


def _faster(model: PreTrainedModel) -> tuple[str | None, str]:
    """Return the implementation to try before "sdpa", or None and why there is none."""
    if not _on_gpu(model):
        return (NAME if model.device.type == "cpu" else None), ""
    if model.dtype not in DTYPES:
        return None, f"torch's kernel for segments computes in half precision, and the model is in {model.dtype}"
    try:
        config = model.config.get_text_config()
        heads = config.num_attention_heads, getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads[0]
        apart = difference(load_kernel(), heads, size, model.dtype, model.device)
    except Exception as error:  # noqa: BLE001 - a compiler and a driver stand behind it
        reason = (str(error).strip().splitlines() or [""])[0]
        return None, f"torch's kernel for segments fails here ({type(error).__name__}: {reason})"
    if not apart <= BOUND:
        return None, f"torch's kernel for segments computes something else here (by {apart:.2g} of the largest number)"
    return VARLEN, ""


def _on_gpu(model: PreTrainedModel) -> bool:
    return model.device.type == "cuda"


# --- the proof -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def _fault(model: PreTrainedModel) -> str | None:
    """Return what is wrong with packed rows, or None: segments compute what they compute alone, whatever is beside."""
    name, was_training = type(model).__name__, model.training
    model.eval()
    try:
        ids_BT, segments_BT, positions_BT = _rows(model)
        inputs, words = packed_inputs(model, segments_BT, positions_BT), model.get_input_embeddings().num_embeddings
        first_BT, last_BT = segments_BT == 1, segments_BT == segments_BT.amax(dim=1, keepdim=True)
        changed = [torch.where(where_BT, (ids_BT + 1) % words, ids_BT) for where_BT in (first_BT, last_BT)]
        packed, first_changed, last_changed = (_hidden(model, ids, inputs) for ids in (ids_BT, *changed))
        joined, alone = _hidden(model, ids_BT, {}), _alone(model, ids_BT)
    except UNFIT as error:
        return f"{name} cannot be called on packed rows ({type(error).__name__}: {error})"
    finally:
        model.train(was_training)
    # A causal model cannot let a later segment change an earlier one: such a difference is rounding (0 in most models,
    # but the rows of mixed experts are computed in groups). Beside it nothing may come from an earlier segment either.
    rounding = _largest(packed, last_changed, first_BT)
    if not _largest(packed, first_changed, segments_BT > 1) <= 10 * rounding:
        return (
            f"in {name} the tokens of one segment change what another one computes: it carries a state along the row "
            "(recurrent and hybrid models), or its attention does not follow position_ids"
        )
    allowed = 1e-3 if packed.dtype in (torch.float32, torch.float64) else 5e-2
    if not _largest(packed, alone, segments_BT > 0) <= allowed * _largest(joined, alone, segments_BT > 0):
        return f"in {name} a segment of a packed row does not compute what it computes alone"
    return None


def _rows(model: PreTrainedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Return random ids, the numbers of their segments, and positions, each (2, T), for `LENGTHS`."""
    tokens = max(sum(lengths) for lengths in LENGTHS)
    segments_BT, positions_BT = (torch.zeros(len(LENGTHS), tokens, dtype=torch.int64) for _ in range(2))
    for row, lengths in enumerate(LENGTHS):
        total = sum(lengths)
        segments_BT[row, :total] = torch.arange(1, len(lengths) + 1).repeat_interleave(torch.tensor(lengths))
        positions_BT[row, :total] = torch.cat([torch.arange(length) for length in lengths])
    own = torch.Generator().manual_seed(0)  # the global random state stays as it is
    ids_BT = torch.randint(model.get_input_embeddings().num_embeddings, segments_BT.shape, generator=own)
    return ids_BT.to(model.device), segments_BT.to(model.device), positions_BT.to(model.device)


def _hidden(model: PreTrainedModel, ids_BT: Tensor, inputs: dict[str, Tensor]) -> Tensor:
    """Return the last hidden states, (B, T, D)."""
    hidden_BTD: Tensor = model.get_decoder()(input_ids=ids_BT, use_cache=False, **inputs)[0]
    return hidden_BTD


def _alone(model: PreTrainedModel, ids_BT: Tensor) -> Tensor:
    """Return the last hidden states with each segment computed in a row of its own; 0 on padding."""
    rows = []
    for ids_T, lengths in zip(ids_BT, LENGTHS, strict=True):
        parts = [_hidden(model, part[None], {}) for part in ids_T[: sum(lengths)].split(lengths)]
        rows.append(pad(torch.cat(parts, dim=1), (0, 0, 0, len(ids_T) - sum(lengths))))
    return torch.cat(rows)


def _largest(first_BTX: Tensor, second_BTX: Tensor, where_BT: Tensor) -> float:
    return float((first_BTX - second_BTX)[where_BT].abs().max())


def stretched_from(config: Any) -> int | None:
    """Return the least length at which a rotary table of this config begins to depend on the longest sequence."""
    config = config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    tables = [rope, *(table for table in rope.values() if isinstance(table, dict))]  # one for all layers, or by kind
    found = []
    for table in tables:
        if table.get("rope_type") == "dynamic":
            found.append(config.max_position_embeddings)
        elif table.get("rope_type") == "longrope":
            found.append(table.get("original_max_position_embeddings") or config.max_position_embeddings)
    return min(found, default=None)


# --- the attention implementation ------------------------------------------------------------------------------------


def _mask(**options: Any) -> Tensor | None:
    """Return what "sdpa" would, but for packed rows first_BT int64 as (B, 1, 1, T), which is for `_attend`."""
    first_BT = _first_visible(**options)
    return ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](**options) if first_BT is None else first_BT[:, None, None]


def _first_visible(
    *,
    mask_function: Callable[..., Tensor],
    batch_size: int,
    q_length: int,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    **options: Any,
) -> Tensor | None:
    """Return where the tokens that each token sees begin, or None where rows are not packed or this does not say it.

    transformers hands over its whole rule (segments, windows, ...) as `mask_function(row, head, query, key)`. It is
    asked for neighbours, and then wherever "each token sees first[t] ... t" could be wrong.
    """
    whole = options.get("kv_length") == q_length and attention_mask is None
    if not whole or q_length < 2 or options.get("allow_is_causal_skip", True) or options.get("use_vmap"):
        return None
    device = options.get("device")
    rows, head = torch.arange(batch_size, device=device)[:, None], torch.zeros((), dtype=torch.int64, device=device)
    index_BT = torch.arange(q_length, device=device).expand(batch_size, -1)

    def sees(query: Tensor, key: Tensor) -> Tensor:
        return mask_function(rows, head, query, key).expand(query.shape)

    cut_BT = pad(~sees(index_BT[:, 1:], index_BT[:, :-1]), (1, 0))
    first_BT = first_visible(cut_BT.cumsum(1), local_size)
    says_it = (
        sees(index_BT, first_BT).all()
        & ~(sees(index_BT, (first_BT - 1).clamp(min=0)) & (first_BT > 0)).any()
        & ~sees(index_BT[:, :-1], index_BT[:, 1:]).any()
    )
    return first_BT if cut_BT.any() and says_it else None


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """Return the attention's output (B, T, H, K): a segment at a time if the mask is `_mask`'s own, else as "sdpa".

    With runs (1, 1, R, 3) in place of the mask, R at least 2, it is that of a forest.
    """
    if attention_mask is None or attention_mask.dtype != torch.int64:
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **options)
    if options.get("softcap") is not None or options.get("position_bias") is not None:
        raise ValueError("Attention by segments computes neither a softcap nor a position bias.")
    scale, dropout = options.get("scaling"), options.get("dropout", 0.0)
    if attention_mask.shape[2] > 1:
        runs = [(parent, length, count) for parent, length, count in attention_mask[0, 0].tolist()]
        return tree_attention(query, key, value, runs, scale, dropout), None
    return segment_attention(query, key, value, attention_mask[:, 0, 0], scale, dropout), None


class _AttendVarlen:
    """As `_attend`, but all segments go to the kernel in one call; what does not fit it gets the whole mask."""

    def __init__(self) -> None:
        self._newest: tuple[Tensor, Sequences | None] | None = None

    def __call__(
        self, module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attention's output (B, T, H, K)."""
        if attention_mask is None or attention_mask.dtype != torch.int64:
            return _attend(module, query, key, value, attention_mask, **options)
        sequences = self._sequences(attention_mask) if fits(query, value, options.get("dropout", 0.0)) else None
        if sequences is None or options.get("softcap") is not None or options.get("position_bias") is not None:
            index_T = torch.arange(query.shape[2], device=query.device)
            whole_B1TT = (index_T >= attention_mask.transpose(2, 3)) & (index_T <= index_T[:, None])
            return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, whole_B1TT, **options)
        return varlen_attention(query, key, value, sequences, load_kernel(), options.get("scaling")), None

    def _sequences(self, first_B11T: Tensor) -> Sequences | None:
        """Return the sequences of a mask: all layers of a model are called with the same one."""
        if self._newest is None or self._newest[0] is not first_B11T:
            self._newest = first_B11T, Sequences.of(first_B11T[:, 0, 0])
        return self._newest[1]


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)
AttentionInterface.register(VARLEN, _AttendVarlen())
AttentionMaskInterface.register(VARLEN, _mask)
