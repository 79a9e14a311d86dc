"""DeepSpeed's ZeRO: its configuration, models cut by stage 3, and what its optimizer holds, put together and back.

Its own checkpoints are not used: it reads them by unpickling, which runs code from the file, and each belongs to one
number of ranks. `transformers` drives the engine itself.
"""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, MachineError

AUTO = "auto"
"""DeepSpeed's word, through transformers, for: as the training's settings say."""
_SHARED_MEMORY = "deepspeed_shm_comm"


def prepare(device: str) -> None:
    """Import DeepSpeed and let it join the process group that is there.

    Raises:
        MachineError: it is not installed.
    """
    try:
        import deepspeed
    except ImportError:
        raise MachineError(
            "distributed.engine deepspeed: DeepSpeed is not installed. Run: pip install 'tunesmith[deepspeed]'"
        ) from None
    # it uses torch's old names
    warnings.filterwarnings("ignore", "`torch.distributed.*` is deprecated", FutureWarning)
    warnings.filterwarnings("ignore", "`torch.jit.* is (deprecated|not supported)", DeprecationWarning)
    if device == "cpu":
        # Its faster exchange on one machine is built with g++ at the first start (a minute), and without a compiler
        # nothing starts at all; gloo does the same. The table says what can be built here.
        deepspeed.ops.__compatible_ops__[_SHARED_MEMORY] = False
    deepspeed.init_distributed(dist_backend="gloo" if device == "cpu" else "nccl", verbose=False)


def configuration(stage: int, offload: str, device: str) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration of a ZeRO stage, and what is to be said of it."""
    pinned = device != "cpu"
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": device != "cpu",
        "contiguous_gradients": True,
        "reduce_bucket_size": AUTO,
    }
    if offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pinned}
    if offload == "all":
        zero["offload_param"] = {"device": "cpu", "pin_memory": pinned}
    if stage == 3:
        zero |= {"stage3_prefetch_bucket_size": AUTO, "stage3_param_persistence_threshold": AUTO}
    batches = dict.fromkeys(("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"), AUTO)
    kinds = {"bf16": {"enabled": AUTO}, "fp16": {"enabled": AUTO}}
    return completed({**batches, "gradient_clipping": AUTO, **kinds, "zero_optimization": zero}, device)


def read(file: Path, device: str) -> tuple[dict[str, Any], list[str]]:
    """Return a DeepSpeed JSON, and what is to be said of it.

    Raises:
        ConfigError: it cannot be read, or has sections that belong into the training's settings.
    """
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"distributed.config: '{file}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"distributed.config: '{file}' is not JSON: {error}.") from None
    if not isinstance(config, dict) or not isinstance(config.get("zero_optimization"), dict):
        raise ConfigError(f"distributed.config: '{file}' has no section zero_optimization with a stage in it.")
    if stage(config) not in (1, 2, 3):
        raise ConfigError(
            f"distributed.config: '{file}' has stage {stage(config)}, which shares nothing out. Use stage 1, 2 or 3, or "
            "distributed.engine=ddp."
        )
    for part in ("offload_optimizer", "offload_param"):
        if (where := (config["zero_optimization"].get(part) or {}).get("device", "none")) not in ("cpu", "none"):
            raise ConfigError(f"distributed.config: '{file}' has {part} on {where}; main memory (cpu) is what works.")
    notes = []
    for section in ("optimizer", "scheduler"):
        values = (config.pop(section, None) or {}).get("params", {}).values()
        if any(value != AUTO for value in values):
            raise ConfigError(
                f"distributed.config: '{file}' sets numbers in its section {section}. They are training settings "
                "here (learning_rate, schedule, warmup_steps, weight_decay ...): set them there and take it out."
            )
        if values:
            notes.append(f"'{file}': its section {section} is auto; the training's own settings are used.")
    made, more = completed(config, device)
    return made, notes + more


def completed(config: dict[str, Any], device: str) -> tuple[dict[str, Any], list[str]]:
    """Return a configuration with what this machine needs, and what is to be said of it."""
    config, notes = copy.deepcopy(config), []
    zero = config["zero_optimization"]
    if "offload_optimizer" in zero and "zero_force_ds_cpu_optimizer" not in config:
        built = device != "cpu" and shutil.which("g++") is not None
        config["zero_force_ds_cpu_optimizer"] = built
        if not built and device != "cpu":
            notes.append("DeepSpeed: no g++ here to build its AdamW for the CPU; torch's is used, which is slower.")
    if device == "cpu":
        for part in ("offload_optimizer", "offload_param"):
            if "pin_memory" in zero.get(part, {}):
                zero[part]["pin_memory"] = False  # there is no GPU to copy to
    return config, notes


def stage(config: dict[str, Any]) -> int:
    """Return the ZeRO stage of a configuration."""
    return int(config["zero_optimization"].get("stage", 0))


def cut(model: nn.Module, config: dict[str, Any], whole_within: Sequence[nn.Parameter]) -> None:
    """Cut all parameters of a built model into as many parts as there are ranks (stage 3).

    Those of `whole_within` are put together while `model` itself computes, not only in their own module's forward.
    """
    import deepspeed

    known = {key: value for key, value in config.items() if value != AUTO}
    known["train_micro_batch_size_per_gpu"] = 1  # of no meaning for the cut, but asked for
    for key in ("train_batch_size", "gradient_accumulation_steps", "gradient_clipping", "bf16", "fp16"):
        known.pop(key, None)
    zero = {key: value for key, value in known["zero_optimization"].items() if value != AUTO}
    dtype = next(model.parameters()).dtype
    deepspeed.zero.Init(module=model, config_dict_or_path={**known, "zero_optimization": zero}, dtype=dtype)
    for parameter in whole_within:
        deepspeed.zero.register_external_parameter(model, parameter)


def exact(parameter: nn.Parameter) -> Tensor:
    """Return the whole float32 weight that the optimizer holds; every rank must ask."""
    from deepspeed.utils import safe_get_full_fp32_param

    tensor: Tensor = safe_get_full_fp32_param(parameter)
    return tensor.detach().cpu()


def moments(optimizer: Any, parameter: nn.Parameter) -> dict[str, Any]:
    """Return the whole tensors, and the numbers, that the optimizer holds for a parameter; every rank must ask."""
    from deepspeed.utils import safe_get_full_optimizer_state

    values = next(iter(_zero(optimizer).optimizer.state.values()))
    return {
        # copies: the count of steps is one for many parameters here, and would go on as one
        key: safe_get_full_optimizer_state(parameter, key).cpu() if _is_moment(value) else copy.deepcopy(value)
        for key, value in values.items()
    }


def put_moments(optimizer: Any, stored: Iterable[tuple[nn.Parameter, dict[str, Any]]]) -> None:
    """Put back, before the first step, what the optimizer held for each parameter."""
    zero, stored = _zero(optimizer), list(stored)
    values = stored[0][1]
    flat = getattr(zero, "fp32_partitioned_groups_flat", None) or zero.single_partition_of_fp32_groups
    for part in flat:
        zero.optimizer.state[part] = {
            key: torch.zeros_like(part) if _is_moment(value) else _number(value, zero.optimizer)
            for key, value in values.items()
        }
    link(optimizer)
    for parameter, kept in stored:
        for key, value in kept.items():
            if _is_moment(value):
                _put(parameter, value, key)


def link(optimizer: Any) -> None:
    """Let each parameter know where its moments are (stages 1 and 2), before these are asked for.

    DeepSpeed does so after the step of its first group, when the other groups have none yet.
    """
    from deepspeed.utils import lazy_init_hp_params_optimizer_state

    zero = _zero(optimizer)
    if hasattr(zero, "single_partition_of_fp32_groups"):
        for parameters, part in zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True):
            lazy_init_hp_params_optimizer_state(parameters, part, zero.optimizer.state)


def put_exact(stored: Iterable[tuple[nn.Parameter, Tensor]]) -> None:
    """Put back the float32 weights that the optimizer holds; the model has them already, rounded to its dtype."""
    for parameter, value in stored:
        _put(parameter, value)


def _put(parameter: nn.Parameter, value: Tensor, key: str | None = None) -> None:
    """Put a whole tensor in the place of a weight, or of a moment of it."""
    from deepspeed import comm, utils

    if not hasattr(parameter, "ds_id"):
        if key is None:
            utils.safe_set_full_fp32_param(parameter, value)
        else:
            utils.safe_set_full_optimizer_state(parameter, value, key)
        return
    # stage 3: by its part of this rank, as the setters of whole tensors do not know that the last part is filled up
    size = utils.safe_get_local_fp32_param(parameter).numel()
    flat = nn.functional.pad(value.flatten(), (0, size * comm.get_world_size() - value.numel()))
    part = flat.narrow(0, size * comm.get_rank(), size)
    if key is None:
        utils.safe_set_local_fp32_param(parameter, part)
    else:
        utils.safe_set_local_optimizer_state(parameter, part, key)


def _zero(optimizer: Any) -> Any:
    """Return DeepSpeed's own optimizer inside accelerate's wrapper."""
    return optimizer.optimizer


def _is_moment(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _number(value: Any, optimizer: Any) -> Any:
    """Return a step count as an optimizer wants it: torch's as a tensor, DeepSpeed's own as a number."""
    if type(optimizer).__module__.startswith("torch."):
        return value.clone() if isinstance(value, Tensor) else torch.tensor(float(value))
    return int(value)
