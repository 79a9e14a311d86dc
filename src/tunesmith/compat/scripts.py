"""The two published scripts: the flags that are their own, their defaults, and what of the model learns.

Sources: finetune/finetune.py of OpenBMB/MiniCPM (2024-02 to 2025) and of OpenBMB/MiniCPM-V (2024-05 to 2024-08, those
that tune 2.0); --use_dpo is that of finetune/sft_dpo_trainer/finetune_dpo_trainer.py (2025) of OpenBMB/MiniCPM. Where a
default changed over time, the last one counts that worked for these models.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .hf_flags import HF_FLAGS
from .words import Flag

MINICPM, MINICPMV = "minicpm", "minicpmv"
NAMES = {MINICPM: "MiniCPM's finetune.py", MINICPMV: "MiniCPM-V's finetune.py"}
DATA_FLAG = {MINICPM: "train_data_path", MINICPMV: "data_path"}

FLAGS = {
    **HF_FLAGS,
    "model_name_or_path": Flag("text", "model"),
    "model_max_length": Flag("int", "data.max_length"),
    "train_data_path": Flag("text", only=MINICPM),
    "data_path": Flag("text", only=MINICPMV),
    "eval_data_path": Flag("text"),
    "use_lora": Flag("bool"),
    "qlora": Flag("bool", only=MINICPM),
    "q_lora": Flag("bool", only=MINICPMV),
    "lora_r": Flag("int"),
    "lora_alpha": Flag("float"),
    "lora_dropout": Flag("float"),
    "lora_target_modules": Flag("list"),
    "lora_bias": Flag("text"),
    "lora_weight_path": Flag(
        "text", refused="to go on from an adapter, run the same command: it resumes.", only=MINICPMV
    ),
    "lora_modules_to_save": Flag("text", refused="--tune_vision says what learns beside the adapter.", only=MINICPMV),
    "lora_layer_replication": Flag("list", refused="leave it out.", only=MINICPMV),
    "lora_layers_to_transform": Flag(
        "list", refused="name the layers' numbers in the expression of --lora_target_modules.", only=MINICPMV
    ),
    "lora_layers_pattern": Flag("text", refused="--lora_target_modules is an expression already.", only=MINICPMV),
    "tune_vision": Flag("bool", only=MINICPMV),
    "tune_llm": Flag("bool", only=MINICPMV),
    "llm_type": Flag("text", only=MINICPMV),
    "max_slice_nums": Flag("int", only=MINICPMV),
    "scale_resolution": Flag("int", only=MINICPMV),
    "picture_roots": Flag("list", only=MINICPMV),
    "use_dpo": Flag("bool", only=MINICPM),
    "dpo_beta": Flag("float", only=MINICPM),
    "sft_loss_weight": Flag("float", only=MINICPM),
    "reference_model_path": Flag("text", only=MINICPM),
}
"""All flags: those of TrainingArguments and those of the scripts. LoRA's numbers are constants in MiniCPM's script, and
flags here; `picture_roots` is ours: folders besides the working directory and that of the data file."""

LORA: dict[str, dict[str, Any]] = {
    MINICPM: {"rank": 64, "alpha": 32.0, "dropout": 0.1, "targets": ["q_proj", "v_proj"], "init": "gaussian"},
    MINICPMV: {
        "rank": 64,
        "alpha": 64.0,
        "dropout": 0.05,
        "targets": r"llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj|v_proj)",
    },
}
MAX_LENGTH = {MINICPM: 512, MINICPMV: 2048}


def choose_script(values: dict[str, Any], asked: str | None) -> str:
    """Return which script a command line is for: the asked one, else the one that its flags belong to.

    Raises:
        ConfigError: no such script, or flags of both.
    """
    if asked is not None and asked not in NAMES:
        raise ConfigError(f"--script is '{asked}', but must be {' or '.join(NAMES)}.")
    owners = {flag.only: name for name, flag in FLAGS.items() if name in values and flag.only}
    script = asked or next(iter(owners), None)
    if script is None:
        raise ConfigError(
            "The training data are missing: give --train_data_path (MiniCPM) or --data_path (MiniCPM-V). In a shell "
            "script, a comment or an empty line between lines that end in '\\' ends the command: take it out."
        )
    for owner, name in owners.items():
        if owner != script:
            why = "--script" if asked else f"--{owners[script]}"
            raise ConfigError(f"--{name} belongs to {NAMES[owner]}, but {why} says {NAMES[script]}. Keep one of them.")
    return script


def tuning_of(script: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the section `tuning`: what learns, and how.

    Raises:
        ConfigError: flags that contradict each other.
    """
    use_lora, quantized = values.get("use_lora", False), values.get("qlora") or values.get("q_lora")
    if quantized and not use_lora:
        name = "qlora" if "qlora" in values else "q_lora"
        raise ConfigError(f"--{name} needs --use_lora, as in the published script: what is quantised does not learn.")
    if values.get("lora_bias", "none") != "none":
        raise ConfigError("--lora_bias: adapters here have no biases. Leave it out.")
    tuning: dict[str, Any] = {"method": "full"}
    if use_lora:
        given = {
            "rank": values.get("lora_r"),
            "alpha": values.get("lora_alpha"),
            "dropout": values.get("lora_dropout"),
            "targets": _targets(values.get("lora_target_modules")),
        }
        known = {key: value for key, value in given.items() if value is not None}
        tuning = {"method": "qlora" if quantized else "lora", **LORA[script], **known}
    return tuning if script == MINICPM else {**tuning, **_parts(values, use_lora)}


def objective_of(values: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return the section `objective`, empty where answers are learned as they stand.

    Raises:
        ConfigError: a part of the published DPO that is not built.
    """
    if not values.get("use_dpo"):
        idle = ("dpo_beta", "sft_loss_weight", "reference_model_path")
        notes += [f"--{name}: no effect; it belongs to --use_dpo." for name in idle if name in values]
        return {}
    if weight := values.get("sft_loss_weight", 0.0):
        raise ConfigError(
            f"--sft_loss_weight {weight} is not supported; the loss here is DPO's alone. Leave it out, or leave out "
            "--use_dpo too and set `objective: orpo` in the file that --print-config writes: orpo learns the good answer "
            "besides comparing the two."
        )
    model = values["model_name_or_path"]
    reference = values.get("reference_model_path", model)
    if Path(reference) != Path(model):
        raise ConfigError(
            f"--reference_model_path {reference} is not supported; what is compared with is always the model before the "
            f"training, '{model}'. Leave it out, or give the model to begin with as --model_name_or_path."
        )
    notes.append(
        "--use_dpo: the loss is DPO's own, over the sums of the answers' log-probabilities. The published script takes "
        "means over all tokens of a row: for about its strength, divide --dpo_beta by the tokens of a row."
    )
    return {"method": "dpo", "beta": values.get("dpo_beta", 0.1)}


def _targets(texts: list[str] | None) -> list[str] | str | None:
    """Return names of layers as a list (several words, or commas between them), and anything else as an expression."""
    if texts is None or len(texts) > 1:
        return texts
    return texts[0].split(",") if re.fullmatch(r"\w+(,\w+)*", texts[0]) else texts[0]


def _parts(values: dict[str, Any], use_lora: bool) -> dict[str, str]:
    """Return how the parts of MiniCPM-V learn, where that is not said by the method alone."""
    tune_vision = values.get("tune_vision", True)
    tune_llm = values.get("tune_llm", not use_lora)
    vision = "full" if tune_vision else "frozen"
    if use_lora:
        if tune_llm:
            raise ConfigError(
                "--use_lora and --tune_llm true contradict each other, as in the published script: adapters are trained "
                "in place of the language model. Give --tune_llm false."
            )
        return {"language": "lora", "vision": vision, "resampler": "full", "embeddings": "full"}
    if tune_llm and tune_vision:
        return {}
    language = "full" if tune_llm else "frozen"
    return {"method": "lora", "language": language, "vision": vision, "resampler": "full", "embeddings": language}
