"""load(): from a name, a model folder, an adapter or a run to a model that answers."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from ..data.chats import model_type_of, with_template
from ..data.tokenizer import TextTokenizer
from ..errors import AdapterError, ConfigError, MachineError, ModelError
from ..locate import locate
from ..runs import CONFIG as RUN_CONFIG
from ..runs import STATUS as RUN_STATUS
from .adapter import CONFIG as ADAPTER_CONFIG
from .adapter import apply_adapter, base_of, check_base, quantisation_of
from .family import family_of
from .files import read_config, stored_dtype, stored_tensors
from .quantise import Quantisation, dequantise, quantise

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from .family import Family

RESULTS = ("adapter", "model")
"""The folders of a run that hold its result."""
DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
    "float64": torch.float64,
}
_log = logging.getLogger("tunesmith")


class Loaded(NamedTuple):
    """A model (with its adapter, if any; in eval mode), its tokenizer and its family."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerFast
    family: Family


class Place(NamedTuple):
    """What a folder is: a base model, and the adapter on top, if any."""

    base: Path
    adapter: Path | None = None


def load(
    folder_or_run: str | Path,
    adapter: str | Path | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    chat_template: str | None = None,
    base: Quantisation | Literal["as_trained", "rounded", "stored"] = "as_trained",
) -> Loaded:
    """Load a model folder, an adapter, a run, or a bundled model by name; return model, tokenizer and family.

    `adapter`: the folder of an adapter, or of a run with one, to put on the base model `folder_or_run`. `dtype` and
    `device`: as in `load_model`. `chat_template`: the name of a shipped template or the path of a `.jinja` file, in place
    of the one that the model or the run has. Notices go to the logger "tunesmith".

    `base`: how the base model is held. "as_trained": quantised if the adapter was trained on it so (QLoRA), so that it
    computes what was trained. "rounded": with the same rounded values in full precision; merge an adapter into this.
    "stored": as it is stored; a QLoRA adapter works on it too, a little differently. Or a Quantisation.

    Raises:
        ModelError: the folder is unfinished, incomplete or damaged; says what is wrong and what to do.
        AdapterError: the adapter is damaged, or belongs to another base.
        ConfigError: there is no such chat template, or the model cannot take one.
        MachineError: the base is to be quantised, and bitsandbytes is not installed.
    """
    place = resolve(folder_or_run)
    if adapter is not None:
        if place.adapter is not None:
            raise AdapterError(
                f"'{folder_or_run}' is itself an adapter. Give the base model's folder beside `adapter`."
            )
        place = Place(place.base, resolve(adapter, base=place.base).adapter)
        if place.adapter is None:
            raise AdapterError(f"'{adapter}' holds a whole model, not an adapter. Load it by itself.")
    if place.adapter is not None:
        check_base(place.adapter, place.base)
    kind = model_type_of(read_config(place.base))
    tokenizer = with_template(TextTokenizer.load(tokenizer_folder(place)), kind, chat_template)
    how = base if isinstance(base, Quantisation) else None
    if how is None and base != "stored" and place.adapter is not None:
        how = quantisation_of(place.adapter)
    model, family = _build(place.base, dtype, device, how)
    if how is not None and base == "rounded":
        dequantise(model)
    elif how is not None and base == "as_trained":
        _log.warning("The base model is held in %s, as the adapter was trained on it.", how)
    return Loaded(
        model if place.adapter is None else apply_adapter(model, place.adapter),
        fast_tokenizer(tokenizer),
        family,
    )


def load_model(
    folder: str | Path, dtype: torch.dtype | str | None = None, device: torch.device | str | None = None
) -> PreTrainedModel:
    """Return the native model of a folder (or of a run that trained all of it, or a bundled one), in eval mode.

    `dtype`: a torch dtype or its name ("bfloat16", "bf16", ...); None = see `default_dtype`. `device`: None = the GPU
    if there is one, else the CPU.

    Raises:
        ModelError: the folder is incomplete or damaged, or holds an adapter.
        ConfigError: an unknown dtype. MachineError: no such device.
    """
    place = resolve(folder)
    if place.adapter is not None:
        raise ModelError(f"'{folder}' holds an adapter, not a whole model. Use tunesmith.load('{folder}').")
    return _build(place.base, dtype, device)[0]


def resolve(name_or_path: str | Path, base: Path | None = None) -> Place:
    """Find out what a folder is: a model, an adapter (its base is looked up unless given), or a run.

    Raises:
        ModelError: none of them, or a run without a result.
        AdapterError: an adapter whose base is not there.
    """
    folder = locate(name_or_path)
    if (folder / "config.json").is_file():
        return Place(folder)
    if (folder / ADAPTER_CONFIG).is_file():
        return Place(base or base_of(folder), folder)
    if (folder / RUN_STATUS).is_file() and (folder / RUN_CONFIG).is_file():
        return resolve(_result(folder), base)
    raise ModelError(
        f"'{folder}' is neither a model (no config.json), nor an adapter (no {ADAPTER_CONFIG}), nor a run (no "
        f"{RUN_STATUS}). Was the download complete?"
    )


def _result(run: Path) -> Path:
    """Return the folder with the result of a run."""
    try:
        status = json.loads((run / RUN_STATUS).read_text(encoding="utf-8"))
        state = status["state"]
    except (ValueError, KeyError, TypeError):
        status, state = {}, "unknown"
    for name in RESULTS:  # written whole and renamed last: what is there is complete
        if (run / name).is_dir():
            if state == "failed":
                _log.warning("%s: this run is marked as failed: %s", run, status.get("reason", "no reason is given"))
            return run / name
    raise ModelError(
        f"The run '{run}' has no result yet; its state is '{state}'. Run the same training command again: it goes on "
        "from the newest good checkpoint."
    )


def default_dtype(device: torch.device, stored: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in: the stored one, but float32 where the device has no fast form of it."""
    if stored == torch.bfloat16:
        return stored if _has_bfloat16(device) else torch.float32
    return torch.float32 if stored == torch.float16 and device.type == "cpu" else stored


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capable = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capable.get("avx512_bf16") or capable.get("amx_bf16") or capable.get("bf16"))
    return True


def fast_tokenizer(tokenizer: TextTokenizer) -> PreTrainedTokenizerFast:
    """Return a tokenizer for transformers around the very backend that data uses, so that the ids are the same.

    transformers does not read the folder itself: it would rebuild some tokenizers from their vocabulary.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend,
        chat_template=tokenizer.chat_template,
        name_or_path=tokenizer.source,
        clean_up_tokenization_spaces=False,
        **tokenizer.special,
    )


def text_tokenizer(tokenizer: PreTrainedTokenizerFast | TextTokenizer) -> TextTokenizer:
    """Return the tokenizer of a `Loaded` as data, chat and evaluation use it: read again from the same folder.

    The chat template is the one that the `Loaded` has.
    """
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer
    return replace(TextTokenizer.load(tokenizer.name_or_path), chat_template=tokenizer.chat_template)


def _build(
    folder: Path,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    how: Quantisation | None = None,
) -> tuple[PreTrainedModel, Family]:
    config, where = read_config(folder), _device(device)
    family = family_of(config, folder)
    kind = default_dtype(where, stored_dtype(stored_tensors(folder))) if dtype is None else _dtype(dtype)
    model, notices = family.load(folder, config, kind)
    for notice in notices:
        _log.warning("%s", notice)
    if how is not None:
        quantise(model, family, how, where)
    placed: Any = model.to(where)
    return placed, family


def _device(device: torch.device | str | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MachineError(f"The device '{device}' cannot be used here: {reason}") from None
    return found


def _dtype(dtype: torch.dtype | str) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype.removeprefix("torch.")
    if name not in DTYPES:
        raise ConfigError(f"Unknown dtype '{dtype}'. Known: {', '.join(DTYPES)}.")
    return DTYPES[name]


def tokenizer_folder(place: Place) -> Path:
    """Return where the tokenizer is: beside the adapter, if it brings its own, else with the base."""
    own = place.adapter is not None and any(
        (place.adapter / f"tokenizer.{kind}").is_file() for kind in ("json", "model")
    )
    return place.adapter if own and place.adapter is not None else place.base
