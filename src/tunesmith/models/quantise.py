"""A base model in 4 or 8 bits: its frozen linear layers are held quantised, one after the other, on the device.

Norms, embeddings, the head and routers stay as they are. The numbers are those of bitsandbytes: NF4 and FP4 in blocks
of 64 with one scale each (QLoRA, arXiv 2305.14314), the scales themselves in 8 bits with double quantisation, or
LLM.int8 (arXiv 2208.07339). The layers are made by transformers' own integration; PEFT knows them.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import MachineError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .family import Family

KINDS = ("nf4", "fp4", "int8")
# On some processors it recommends at its import a package that would fetch code; and int8 warns in every product.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Quantisation:
    """How a base is held: `kind` is one of KINDS; `double`: the scales are quantised too (4 bits only).

    `parts`: of a model with parts, those whose linear layers are quantised.
    """

    kind: str = "nf4"
    double: bool = True
    parts: tuple[str, ...] = ()

    @classmethod
    def read(cls, content: Any) -> Quantisation:
        """Return what `vars` of one has become in a JSON file.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(content, Mapping) or set(content) != {"kind", "double", "parts"}:
            raise ValueError(f"{content!r} has not the keys kind, double, parts")
        found = cls(content["kind"], content["double"], tuple(content["parts"]))
        if found.kind not in KINDS or not isinstance(found.double, bool):
            raise ValueError(f"{content!r} is no quantisation that is known here ({', '.join(KINDS)})")
        return found

    def __str__(self) -> str:
        """Return words for a sentence: "nf4 with double quantisation"."""
        return f"{self.kind} with double quantisation" if self.double and self.kind != "int8" else self.kind


def quantise(model: PreTrainedModel, family: Family, how: Quantisation, device: torch.device) -> None:
    """Replace the linear layers of a model on the CPU by quantised ones on `device`, one after the other.

    The device never holds more than one of them in full precision. They compute in the dtype of the weight that they
    replace. The rest of the model is left where it is.

    Raises:
        MachineError: bitsandbytes is not installed.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MachineError(
            f"A base in {how.kind} needs bitsandbytes, which is not installed. Run: pip install 'tunesmith[quant]'"
        )
    for name in layers(model, family, how):
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        model.set_submodule(name, _quantised(layer, how, device))
    marked: Any = model
    setattr(marked, "is_loaded_in_8bit" if how.kind == "int8" else "is_loaded_in_4bit", True)  # read by PEFT


def layers(model: PreTrainedModel, family: Family, how: Quantisation) -> list[str]:
    """Return the names of the linear layers that are quantised.

    Not the head, and not the router of a mixture of experts (the layer that stands beside `experts`): it is small, and
    a wrong expert costs more than a wrong digit.
    """
    paths = [family.parts[part] for part in how.parts if part in family.parts]
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if type(module) is nn.Linear
        and module is not head
        and (not family.parts or any(name.startswith(f"{path}.") for path in paths))
        and not hasattr(model.get_submodule(name.rpartition(".")[0]), "experts")
    ]


@torch.no_grad()
def dequantise(model: PreTrainedModel) -> None:
    """Put plain linear layers with the same, rounded values in the place of quantised ones, in their compute dtype."""
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    for name, layer in [(name, module) for name, module in model.named_modules() if is_quantised(module)]:
        assert isinstance(layer, nn.Linear)
        weight = dequantize_bnb_weight(layer.weight, getattr(layer, "state", None))
        with torch.device("meta"):
            plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        plain.weight = nn.Parameter(weight.to(layer.plain_dtype), requires_grad=False)
        plain.bias = layer.bias
        model.set_submodule(name, plain.train(layer.training))
    marked: Any = model
    marked.is_loaded_in_4bit = marked.is_loaded_in_8bit = False


def is_quantised(module: nn.Module) -> bool:
    """Tell whether a module is a layer that `quantise` has made."""
    return hasattr(module, "plain_dtype")


def count(parameter: torch.Tensor) -> int:
    """Return how many numbers a parameter stands for: of one in 4 bits, two are stored in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else prod(state.shape)


def held_bytes(model: nn.Module) -> int:
    """Return the bytes of all parameters with the scales and tables of quantised ones, each storage once."""
    tensors: list[torch.Tensor] = []
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            state = getattr(parameter, "quant_state", None)
            inner = getattr(state, "state2", None)
            scales = [getattr(one, name, None) for one in (state, inner) for name in ("absmax", "code", "offset")]
            rows = getattr(parameter, "SCB", None)
            rows = getattr(getattr(module, "state", None), "SCB", None) if rows is None else rows
            tensors += [one for one in (parameter.data, *scales, rows) if isinstance(one, torch.Tensor)]
    return sum({one.data_ptr(): one.numel() * one.element_size() for one in tensors}.values())


@torch.no_grad()
def _quantised(layer: nn.Linear, how: Quantisation, device: torch.device) -> nn.Module:
    from transformers import BitsAndBytesConfig
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    if how.kind == "int8":
        settings = BitsAndBytesConfig(load_in_8bit=True)
    else:
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=how.kind,
            bnb_4bit_use_double_quant=how.double,
            bnb_4bit_compute_dtype=layer.weight.dtype,
        )
    holder: Any = replace_with_bnb_linear(nn.Sequential(layer), quantization_config=settings)
    made, empty = holder[0], holder[0].weight
    made.weight = type(empty)(layer.weight.data, requires_grad=False, **vars(empty)).to(device)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.data.to(device), requires_grad=False)
    made.plain_dtype = layer.weight.dtype
    # Else an evaluation on a processor with AVX512-BF16 packs the weights for good, in a form that has no gradient.
    made.support_avx512bf16_for_cpu = False
    return made.train(layer.training)
