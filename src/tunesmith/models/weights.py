"""Checkpoint folder <-> model: published, saved and fine-tuned folders, checked before a single weight is used."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers.utils import logging as transformers_logging

from ..data.chats import model_type_of
from ..errors import ModelError
from .files import Stored, read_config, read_tensor, stored_dtype, stored_tensors, weight_files
from .trained import stored_trained

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    Config = TypeVar("Config", bound=PreTrainedConfig)

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
# Read from the file by hand; everything that names code or a Python class is left out.
IGNORED_KEYS = ("auto_map", "architectures", "torch_dtype", "dtype", "transformers_version", "pretraining_tp")
IDENTITY = "tunesmith.json"
"""The file beside an adapter that says which base it belongs to."""
_VOLATILE_KEYS = (*IGNORED_KEYS, "_name_or_path", "use_cache")
_SAMPLE = 2**20


def build_config(config_class: type[Config], folder: str | Path, config: dict[str, Any]) -> Config:
    """Return the config object of a config.json; whatever names code or a dtype in it is ignored.

    Raises:
        ModelError: a value has the wrong type or makes no sense; or the weights are quantised already.
    """
    if config.get("quantization_config"):
        raise ModelError(
            f"{folder}/config.json: the weights are already quantised (quantization_config). Fetch the original, "
            "unquantised model; it can be quantised while it is loaded."
        )
    try:
        with _quiet():
            return config_class.from_dict({key: value for key, value in config.items() if key not in IGNORED_KEYS})
    except Exception as error:  # noqa: BLE001 - the config classes raise their own kinds for a wrong type or value
        raise ModelError(f"{folder}/config.json: {one_line(error)} Correct the file or fetch it again.") from None


def load_pretrained(
    model_class: type[PreTrainedModel],
    config_class: type[PreTrainedConfig],
    folder: str | Path,
    config: dict[str, Any],
    dtype: torch.dtype | None,
) -> tuple[PreTrainedModel, list[str]]:
    """Build `model_class` with the weights of `folder`; return it and the notices a user should see.

    `dtype` None keeps the stored one. A redundant output matrix that equals the tied embedding is dropped; one that
    differs is kept and the model untied. Nothing is ever left at random: a missing, additional or misshapen tensor
    is an error.

    Raises:
        ModelError: as `weight_files`; or names and shapes that do not fit the config.
    """
    built = build_config(config_class, folder, config)
    stored, notices = stored_tensors(folder), []
    if built.tie_word_embeddings and HEAD in stored and not _head_equals_embedding(folder, stored):
        built.tie_word_embeddings = False
        notices.append(
            f"{folder}: config.json says that input and output embeddings are one matrix, but the file holds two "
            "different ones. Both are used (the model is untied)."
        )
    _check_names(folder, model_class, built, stored)
    model, _ = from_folder(model_class, folder, built, dtype or stored_dtype(stored))
    return model, notices


def from_folder(
    model_class: type[PreTrainedModel], folder: str | Path, config: PreTrainedConfig, dtype: torch.dtype
) -> tuple[PreTrainedModel, list[str]]:
    """Let transformers load `model_class`; return it in eval mode, and the stored tensors that it has no place for.

    Raises:
        ModelError: transformers cannot load it, or would fill a tensor in at random.
    """
    if (Path(folder) / "adapter_config.json").is_file():
        raise ModelError(
            f"'{folder}' holds both a model (config.json) and an adapter (adapter_config.json). Move the adapter's "
            "files into a folder of their own."
        )
    try:
        with _quiet():
            model, info = model_class.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                local_files_only=True,
                weights_only=True,
                ignore_mismatched_sizes=True,  # they are named below
                output_loading_info=True,
            )
    except Exception as error:  # whatever it is, the model cannot be built from this folder
        raise ModelError(f"'{folder}' cannot be loaded: {one_line(error)}") from error
    misshapen = [
        f"{name} is {list(found)}, config.json asks for {list(wanted)}"
        for name, found, wanted in sorted(info["mismatched_keys"])
    ]
    if faults := _faults([("missing tensors", sorted(info["missing_keys"])), ("wrong shapes", misshapen)]):
        raise ModelError(_misfit(folder, faults))
    return model.eval(), sorted(info["unexpected_keys"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Let transformers log errors only: what it warns of while loading is checked here and raised.

    Its progress bar is for people: it stays away where stderr is not a terminal.
    """
    before = transformers_logging.get_verbosity()
    hide_bar = transformers_logging.is_progress_bar_enabled() and not sys.stderr.isatty()
    transformers_logging.set_verbosity_error()
    if hide_bar:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
        if hide_bar:
            transformers_logging.enable_progress_bar()


def _head_equals_embedding(folder: str | Path, stored: dict[str, Stored]) -> bool:
    if EMBEDDING not in stored or stored[HEAD].shape != stored[EMBEDDING].shape:
        return EMBEDDING not in stored
    head, embedding = read_tensor(folder, HEAD), read_tensor(folder, EMBEDDING)
    return head is not None and embedding is not None and torch.equal(head, embedding)


def _check_names(
    folder: str | Path, model_class: type[PreTrainedModel], config: PreTrainedConfig, stored: dict[str, Stored]
) -> None:
    try:
        with _quiet(), torch.device("meta"):
            wanted = {name: tuple(tensor.shape) for name, tensor in model_class(config).state_dict().items()}
    except Exception as error:  # noqa: BLE001 - sizes that do not go together show themselves in many ways
        raise ModelError(f"{folder}/config.json does not describe a model: {one_line(error)}") from None
    if config.tie_word_embeddings:
        wanted.pop(HEAD, None)
        stored = {name: value for name, value in stored.items() if name != HEAD}
    # Old files also hold the rotary tables, which follow from the config.
    extra = sorted(name for name in set(stored) - set(wanted) if not name.endswith("rotary_emb.inv_freq"))
    shapes = [
        f"{name} is {list(stored[name].shape)}, config.json asks for {list(wanted[name])}"
        for name in sorted(set(wanted) & set(stored))
        if stored[name].shape != wanted[name]
    ]
    missing = sorted(set(wanted) - set(stored))
    if faults := _faults([("missing tensors", missing), ("unknown tensors", extra), ("wrong shapes", shapes)]):
        raise ModelError(_misfit(folder, faults))


def _faults(found: list[tuple[str, list[str]]]) -> str:
    return "; ".join(
        f"{title} ({len(names)}): {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}"
        for title, names in found
        if names
    )


def _misfit(folder: str | Path, faults: str) -> str:
    return (
        f"The weights in '{folder}' do not fit its config.json. {faults[0].upper()}{faults[1:]}. "
        "Nothing is filled in at random: fetch the folder again, or correct config.json."
    )


def one_line(error: Exception) -> str:
    """Return the message of a third party's error as one sentence of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):  # prints as the bare key
        text = str(error.args[0]) if " " in text else f"{text} is not known"
    text = text if len(text) <= 400 else f"{text[:400]} ..."
    return text if text[-1] in ".!?" else f"{text}."


def identity_of(folder: str | Path) -> dict[str, Any]:
    """Return what tells one base model from another: its config, its tensors, and the weight files' sizes and ends.

    The ends (the first and last MiB of each file, as SHA-256) tell two trainings of one architecture apart.

    Raises:
        ModelError: as `read_config` and `stored_tensors`.
    """
    config = {key: value for key, value in read_config(folder).items() if key not in _VOLATILE_KEYS}
    tensors = sorted(f"{name} {list(shape)} {dtype}" for name, (shape, dtype) in stored_tensors(folder).items())
    files = {file.name: [file.stat().st_size, _ends(file)] for file in weight_files(folder)}
    return {"config": config, "tensors": hashlib.sha256("\n".join(tensors).encode()).hexdigest(), "files": files}


def fingerprint(folder: str | Path) -> str:
    """Return the SHA-256 over `identity_of` a model folder.

    Raises:
        ModelError: as `identity_of`.
    """
    return _digest(identity_of(folder))


def write_adapter_identity(folder: Path, base: Path, name: str, quantisation: Mapping[str, Any] | None = None) -> None:
    """Write beside an adapter which base model it belongs to, and which tensors were trained in full.

    `base` is the base model's folder; `name` what the user calls it (a path or the name of a bundled model);
    `quantisation` how the base was held while the adapter was trained, as `quantise.Quantisation.read` takes it.

    Raises:
        ModelError: as `identity_of`.
    """
    identity = identity_of(base)
    content = {
        "base": str(base.resolve()) if Path(name).exists() else name,
        "base_fingerprint": _digest(identity),
        "family": model_type_of(read_config(base)),
        "base_identity": identity,
    }
    if quantisation is not None:
        content["quantisation"] = dict(quantisation)
    if trained := stored_trained(folder):
        content["trained_parts"] = {name: list(stored.shape) for name, stored in sorted(trained.items())}
    (folder / IDENTITY).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _digest(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _ends(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(_SAMPLE)
        stream.seek(max(0, file.stat().st_size - _SAMPLE))
        return hashlib.sha256(start + stream.read()).hexdigest()
