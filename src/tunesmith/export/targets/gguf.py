"""gguf: one file for llama.cpp: a dense MiniCPM, Granite or Llama, with tokenizer and chat template inside.

llama.cpp turns neighbouring numbers of a head where transformers turns its two halves, so the rows of the query and
key matrices are put in that order. Source: llama.cpp, conversion/llama.py and conversion/minicpm.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ...edges import gguf, llama_cpp
from ...errors import ConfigError, MachineError, ModelError
from ...models.load import text_tokenizer
from ...models.weights import EMBEDDING, HEAD
from .. import forms
from ..expected import ANSWER, LONGEST
from ..folder import EXACT, ROUNDED
from ..merge import merge, published_tensors
from ..readers import Reading
from ..source import Source, Task, Written
from ..vocabulary import encode, vocabulary

OPTIONS = ("quant",)
FILE = "model.gguf"
KINDS = {"f32": "F32", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
"""Number formats that are written here; those of `TOOL` are made from BF16."""
TOOL, BY_TOOL = "llama-quantize", ("q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k")
BOUNDS = {"f32": EXACT, "bf16": ROUNDED, "q8_0": ROUNDED, "q6_k": 0.1}
BYTES = {"f32": 4.0, "bf16": 2.0, "q8_0": 1.07, "q4_0": 0.6}
"""Of a weight."""
COARSE = 0.5
"""The bound of a format of 4 or 5 bits: what it costs depends on the model, and is written down."""
OUTER = {EMBEDDING: "token_embd.weight", "model.norm.weight": "output_norm.weight", HEAD: "output.weight"}
INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def refusal(source: Source) -> str:
    """Return why llama.cpp has no place for the model here, or an empty string.

    Raises:
        ConfigError: an unknown number format. MachineError: a tool or the library for it is missing.
    """
    quant = _quant(source)
    if quant not in (*KINDS, *BY_TOOL):
        raise ConfigError(f"--quant {quant}: known are {', '.join((*KINDS, *BY_TOOL))}.")
    if quant in BY_TOOL and shutil.which(TOOL) is None:
        raise MachineError(
            f"--quant {quant} is made by llama.cpp's own tool, and '{TOOL}' is not on the PATH. Install llama.cpp, or "
            f"choose one of {', '.join(KINDS)}."
        )
    gguf.library()
    if source.model_type == "minicpmv":
        return "pictures need a second file (the projector), which is not written here; merged keeps the whole model"
    if source.model_type in ("llama", "granite"):
        return ""
    if source.model_type != "minicpm":
        return "only a dense MiniCPM, a Granite and a Llama have a form there that is written here"
    return forms.refusal(source, "granite")


def write(out: Written, folder: Path) -> None:
    """Write the file; what the tool makes replaces the one that it is made from."""
    model, quant = merge(out.loaded.model), _quant(out.source)
    content = _content(out, model)
    gguf.write_file(folder / FILE, content, KINDS.get(quant, "BF16"), out.tell)
    if quant in BY_TOOL:
        coarse = folder / f"made-{FILE}"
        command = [TOOL, str(folder / FILE), str(coarse), quant.upper()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not coarse.is_file():
            raise MachineError(f"{TOOL} failed: {(done.stderr or done.stdout).strip()[-500:]}")
        coarse.replace(folder / FILE)
    whether = (
        ""
        if llama_cpp.version()
        else " llama.cpp itself did not: pip install 'tunesmith[llama-cpp]' (built from source)."
    )
    out.notes.append(f"The weights are {quant}. gguf and transformers read the file back.{whether}")


def read(task: Task, device: str) -> Reading:
    """Read the file back: the model as its metadata describe it, and the ids as llama.cpp makes them."""
    from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

    content = gguf.read_file(Path(task.folder) / FILE)
    data, arch = content.metadata, content.architecture
    sizes = {
        "vocab_size": content.shapes["token_embd.weight"][0],
        "hidden_size": data[f"{arch}.embedding_length"],
        "intermediate_size": data[f"{arch}.feed_forward_length"],
        "num_hidden_layers": data[f"{arch}.block_count"],
        "num_attention_heads": data[f"{arch}.attention.head_count"],
        "num_key_value_heads": data[f"{arch}.attention.head_count_kv"],
        "head_dim": data[f"{arch}.rope.dimension_count"],
        "max_position_embeddings": data[f"{arch}.context_length"],
        "rms_norm_eps": data[f"{arch}.attention.layer_norm_rms_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": data[f"{arch}.rope.freq_base"]},
        "tie_word_embeddings": "output.weight" not in content.shapes,
        "attention_bias": "blk.0.attn_q.bias" in content.shapes,
    }
    with torch.device("meta"):
        if arch == "llama":
            model: Any = LlamaForCausalLM(LlamaConfig(**sizes))
        else:
            scales = {
                "embedding_multiplier": data[f"{arch}.embedding_scale"],
                "residual_multiplier": data[f"{arch}.residual_scale"],
                "logits_scaling": data[f"{arch}.logit_scale"],
                "attention_multiplier": data.get(f"{arch}.attention.scale", sizes["head_dim"] ** -0.5),
            }
            model = GraniteForCausalLM(GraniteConfig(**sizes, **scales))
    names = {_name(name): name for name in model.state_dict() if _name(name) in content.shapes}
    if set(names) != set(content.shapes):
        raise ModelError(f"{FILE} has tensors of no known name: {sorted(set(content.shapes) - set(names))[:3]}")
    heads = {"attn_q": sizes["num_attention_heads"], "attn_k": sizes["num_key_value_heads"]}
    state = {
        theirs: _turned(torch.from_numpy(content.get(ours)), heads.get(ours.split(".")[-2]), back=True)
        for ours, theirs in names.items()
    }
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config)  # its tables are not stored
    return Reading(
        model.to(device).eval(),
        lambda text: encode(data, text),
        data.get("tokenizer.chat_template"),
        f"gguf and transformers, as {type(model).__name__}",
    )


class _ByProgram:
    """llama.cpp as what `expected.logits_of` calls."""

    def __init__(self, engine: llama_cpp.Engine) -> None:
        self.engine = engine

    def __call__(self, input_ids: Tensor) -> Any:
        return SimpleNamespace(logits=torch.from_numpy(self.engine.logits(input_ids[0].tolist()))[None])


def read_by_program(task: Task) -> Reading | None:
    """Let llama.cpp read the file, if llama-cpp-python is installed."""
    if (version := llama_cpp.version()) is None:
        return None
    engine = llama_cpp.Engine(Path(task.folder) / FILE, LONGEST + ANSWER)
    by = f"llama.cpp (llama-cpp-python {version})"
    return Reading(_ByProgram(engine), engine.encode, engine.chat_template, by)


def bound(out: Written) -> float:
    """Return the largest relative difference of logits that is allowed."""
    return max(BOUNDS.get(_quant(out.source), COARSE), 0.0 if out.exact else ROUNDED)


def size(out: Written) -> int:
    """Return about how many bytes the file will have; made by the tool, there are two for a while."""
    numbers = sum(parameter.numel() for parameter in out.loaded.model.parameters())
    return round(numbers * BYTES.get(_quant(out.source), 3.0))


def _quant(source: Source) -> str:
    return (source.settings.quant or "q8_0").lower()


def _content(out: Written, model: Any) -> gguf.Content:
    """Return metadata and tensors under llama.cpp's names."""
    config, arch = model.config, out.source.model_type
    if (kind := config.rope_parameters.get("rope_type", "default")) != "default":
        raise ConfigError(f"The positions are stretched by '{kind}', which is not written into GGUF files here.")
    tensors = {_name(name): tensor for name, tensor in published_tensors(model).items()}
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    tokenizer = text_tokenizer(out.loaded.tokenizer)
    stops = out.loaded.family.chat(tokenizer, config.to_dict()).stop_ids(tokenizer) if tokenizer.chat_template else ()
    metadata: dict[str, Any] = {
        "general.name": Path(out.source.name).name,
        f"{arch}.vocab_size": int(config.vocab_size),
        f"{arch}.context_length": int(config.max_position_embeddings),
        f"{arch}.embedding_length": int(config.hidden_size),
        f"{arch}.feed_forward_length": int(config.intermediate_size),
        f"{arch}.block_count": int(config.num_hidden_layers),
        f"{arch}.attention.head_count": int(config.num_attention_heads),
        f"{arch}.attention.head_count_kv": int(config.num_key_value_heads),
        f"{arch}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{arch}.rope.dimension_count": int(head_dim),
        f"{arch}.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        **_scales(arch, config),
        **vocabulary(tokenizer, int(config.vocab_size), tuple(stops)),
    }
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}

    def get(name: str) -> Any:
        tensor = tensors[name].detach().float().cpu()
        if not torch.isfinite(tensor).all():
            raise ModelError(f"The weight {name} holds infinite numbers or NaN. Was the training sound?")
        return _turned(tensor, heads.get(name.split(".")[-2])).contiguous().numpy()

    return gguf.Content(arch, metadata, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, get)


def _scales(arch: str, config: Any) -> dict[str, float]:
    if arch == "llama":
        return {}
    if arch == "granite":
        own = {
            "embedding_scale": config.embedding_multiplier,
            "residual_scale": config.residual_multiplier,
            "logit_scale": config.logits_scaling,
            "attention.scale": config.attention_multiplier,
        }
    else:
        own = {
            "embedding_scale": config.scale_emb,
            "residual_scale": config.residual_multiplier,
            "logit_scale": config.width,
        }
    return {f"{arch}.{name}": float(value) for name, value in own.items()}


def _name(name: str) -> str:
    """Return llama.cpp's name of a tensor."""
    if name in OUTER:
        return OUTER[name]
    _, _, number, *rest, kind = name.split(".")
    part = ".".join(rest)
    if part not in INNER:
        raise ModelError(f"llama.cpp has no place for the tensor {name} of this architecture.")
    return f"blk.{number}.{INNER[part]}.{kind}"


def _turned(tensor: Tensor, heads: int | None, back: bool = False) -> Tensor:
    """Return query or key rows (H * D, ...) in llama.cpp's order, or `back` in transformers'; others as they are."""
    if heads is None:
        return tensor
    half = tensor.shape[0] // heads // 2
    shape = (heads, half, 2) if back else (heads, 2, half)
    return tensor.reshape(*shape, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)
