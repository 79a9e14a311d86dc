"""MiniCPM-V 2.0, native: a SigLIP tower, a perceiver resampler and MiniCPM-2.4B, under the published names.

A picture is cut into slices before it comes here. Each slice passes the tower and the resampler, and its rows stand
in the sequence in place of the `<unk>` placeholders between `<image>` and `</image>`, unscaled, while embedded text
is multiplied by `scale_emb`. Source: the published modeling_minicpmv.py, resampler.py and modeling_minicpm.py.

The model_type `minicpmv` is also that of 2.5, 2.6 and 4.x, which are other networks: `version_of` tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.utils.generic import can_return_tuple

from ..data.chats import chat_for
from ..errors import ModelError
from . import sight
from .family import Family, Head
from .minicpm import MiniCPMConfig, MiniCPMForCausalLM, MiniCPMPreTrainedModel, minicpm_head
from .resampler import Resampler, ResamplerSizes, grid_code
from .siglip import SiglipTower, TowerSizes
from .weights import load_pretrained

NATIVE = "2.0"
TOWERS = {"vit_so400m_patch14_siglip_384.webli": TowerSizes()}
"""The towers that a config names, before the last block is dropped."""
SPELLED_OUT = {
    "embed_dim": "width",
    "depth_before_drop": "depth",
    "num_heads": "heads",
    "mlp_hidden_dim": "hidden",
    "patch_size": "patch",
    "layer_norm_eps": "eps",
}
"""The fields of `vision_tower` and what they are called in `TowerSizes`."""
FIXED = {"hidden_act": "gelu_erf", "qkv_bias": True, "class_token": False}
INITIAL = 0.02  # standard deviation of new weights of the tower and the resampler


@strict
class MiniCPMVConfig(MiniCPMConfig):
    """The published fields, and `vision_tower`, which spells out a tower that `vision_encoder` does not name."""

    model_type = "minicpmv"
    base_model_tp_plan = None
    base_model_pp_plan = None

    tie_word_embeddings: bool = False
    vision_encoder: str = "vit_so400m_patch14_siglip_384.webli"
    vision_tower: Any = None
    drop_vision_last_layer: bool = True
    query_num: int = 64
    patch_size: int = 14
    image_size: int = 448
    scale_resolution: int = 448
    max_slice_nums: int = 9
    slice_mode: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill in what follows from other fields; unknown fields (`kwargs`) are kept as they are.

        Raises:
            ValueError: as `MiniCPMConfig`; an unknown tower; sizes of the vision side that do not go together.
        """
        super().__post_init__(**kwargs)
        if self.tie_word_embeddings:
            raise ValueError("tie_word_embeddings must be false: MiniCPM-V 2.0 has an output matrix of its own.")
        if self.tower.patch != self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} is not that of the tower, {self.tower.patch}.")
        with torch.device("meta"):  # says what is wrong with query_num and hidden_size
            Resampler(self.resampler)

    @property
    def tower(self) -> TowerSizes:
        """The sizes of the tower, without the block that `drop_vision_last_layer` takes away."""
        if self.vision_tower is not None:
            named, all_blocks = "vision_tower", _spelled_out(self.vision_tower)
        elif self.vision_encoder in TOWERS:
            named, all_blocks = "vision_encoder", TOWERS[self.vision_encoder]
        else:
            raise ValueError(
                f"vision_encoder '{self.vision_encoder}' is not known here. Known: {', '.join(TOWERS)}; any other "
                "SigLIP tower must be spelled out under vision_tower."
            )
        depth = all_blocks.depth - bool(self.drop_vision_last_layer)
        if depth < 1 or all_blocks.width % all_blocks.heads:
            raise ValueError(f"{named}: there must be a block left, and the width must be a multiple of the heads.")
        return TowerSizes(**{**vars(all_blocks), "depth": depth})

    @property
    def resampler(self) -> ResamplerSizes:
        """The sizes of the resampler."""
        return ResamplerSizes(self.hidden_size, self.tower.width, self.query_num)


def _spelled_out(tower: Any) -> TowerSizes:
    """Return the sizes that `vision_tower` says."""
    if not isinstance(tower, dict) or (missing := {*SPELLED_OUT, "image_size"} - set(tower)):
        what = f"lacks {', '.join(sorted(missing))}" if isinstance(tower, dict) else "must be an object"
        raise ValueError(f"vision_tower {what}.")
    for name, value in FIXED.items():
        if tower.get(name, value) != value:
            raise ValueError(f"vision_tower.{name} must be {value!r}: no other tower is known here.")
    numbers = {name: tower[name] for name in (*SPELLED_OUT, "image_size")}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, float if name.endswith("eps") else int) or value <= 0:
            raise ValueError(f"vision_tower.{name} must be a number greater than 0, not {value!r}.")
    sizes = {ours: numbers[name] for name, ours in SPELLED_OUT.items()}
    return TowerSizes(**sizes, side=tower["image_size"] // tower["patch_size"])


class Decoder:
    """A MiniCPM-V without its head, called as transformers' decoders are, with pictures; a view, no module.

    What it does not have itself is looked up in the language model's decoder.
    """

    def __init__(self, model: MiniCPMVForCausalLM) -> None:
        self.model = model

    def __call__(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_bound: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the final norm's output, (B, T, D); the arguments are those of the model's forward."""
        inputs = self.model.embedded(input_ids, inputs_embeds, pixel_values, image_bound, past_key_values)
        return self.model.llm.model(past_key_values=past_key_values, **inputs, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "model":  # not there yet: a copy is being made
            raise AttributeError(name)
        return getattr(self.model.llm.model, name)


class MiniCPMVForCausalLM(MiniCPMPreTrainedModel, GenerationMixin):
    """Tower, resampler and language model; generation, caches and the text's attention are transformers' own.

    `touches_vision`: a batch without pictures sends one empty picture through the vision side and adds 0 times the
    result, as the published code does: distributed training waits for a gradient of every parameter on every rank.
    """

    config: MiniCPMVConfig
    config_class = MiniCPMVConfig
    _no_split_modules: ClassVar[list[str]] = ["MiniCPMDecoderLayer", "TowerBlock", "Resampler"]
    touches_vision = False

    def __init__(self, config: MiniCPMVConfig) -> None:
        super().__init__(config)
        self.llm = MiniCPMForCausalLM(config)
        self.vpm = SiglipTower(config.tower)
        self.resampler = Resampler(config.resampler)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the language model's embedding."""
        return self.llm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's embedding."""
        self.llm.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the language model's output matrix."""
        return self.llm.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the language model's output matrix."""
        self.llm.set_output_embeddings(new_embeddings)

    def get_decoder(self) -> Decoder:
        """Return the model without its head; it takes pictures too."""
        return Decoder(self)

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(  # transformers reads these names from the signature: it must spell them out
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_bound: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits (B, T, V) float32 and, with `labels`, the mean loss, as `MiniCPMForCausalLM`.

        pixel_values: normalised float tensors (3, height, width) of any sizes, the slices of the batch in order.
        image_bound: (n, 3) int64, for each slice its row, the position of its first placeholder and the position
        behind its last one; positions count from the row's first token, padding and cached tokens included. Slices in
        the cached part are not computed again.
        """
        inputs = self.embedded(input_ids, inputs_embeds, pixel_values, image_bound, past_key_values)
        return self.llm(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            return_dict=True,
            **inputs,
            **kwargs,
        )

    def embedded(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Sequence[Tensor] | None = None,
        image_bound: Tensor | None = None,
        past_key_values: Any = None,
    ) -> dict[str, Tensor | None]:
        """Return what the language model is given: the ids as they are, or `inputs_embeds` with pictures in them.

        Raises:
            ValueError: pictures and `image_bound` do not fit each other, or the ids.
        """
        slices = [] if pixel_values is None else list(pixel_values)
        places = 0 if image_bound is None else len(image_bound)
        if len(slices) != places:
            raise ValueError(f"{len(slices)} pictures (pixel_values), but {places} places for them (image_bound).")
        looks = bool(slices) or (self.touches_vision and past_key_values is None)
        table, dtype = self.get_input_embeddings(), self.llm.model.norm.weight.dtype
        if not looks and (inputs_embeds is not None or table.weight.dtype == dtype):
            return {"input_ids": input_ids, "inputs_embeds": inputs_embeds}
        if inputs_embeds is None:  # the table has another dtype than the layers where one of them was trained in full
            inputs_embeds = (table(input_ids) * self.config.scale_emb).to(dtype)
        if not looks:
            return {"inputs_embeds": inputs_embeds}
        if image_bound is None or not slices:
            empty = torch.zeros(3, self.config.patch_size, self.config.patch_size)
            return {"inputs_embeds": inputs_embeds + 0.0 * self.seen([empty]).mean()}
        cached = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        bounds = [(row, first - cached, end - cached) for row, first, end in image_bound.tolist()]
        _check_bounds(bounds, inputs_embeds.shape[:2], self.config.query_num, cached)
        here = [number for number, (_, first, _) in enumerate(bounds) if first >= 0]
        if here:
            rows_SQD = self.seen([slices[number] for number in here]).to(inputs_embeds.dtype)
            starts_S = torch.tensor([bounds[n][0] * inputs_embeds.shape[1] + bounds[n][1] for n in here])
            index_N = (starts_S[:, None] + torch.arange(self.config.query_num)).flatten().to(inputs_embeds.device)
            flat = inputs_embeds.flatten(0, 1).index_copy(0, index_N, rows_SQD.flatten(0, 1).to(inputs_embeds.device))
            inputs_embeds = flat.view_as(inputs_embeds)
        return {"inputs_embeds": inputs_embeds}

    def seen(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return (n, Q, D): the rows that stand for n pictures, float tensors (3, height, width) of any sizes.

        One pass for all, pictures of one size side by side. A tensor that stands in the list several times (a prompt
        that is continued in several ways) is computed once. What the tower (1, rows, columns, C) or the resampler
        (Q, D) has made of a picture before may stand in its place.
        """
        return sight.look(self.vpm, self.resampler, pictures, self.llm.model.norm.weight.device)

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, is_first_iteration: bool | None = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the arguments of the next forward; pictures go into the first one only, where there is a cache."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in ("pixel_values", "image_bound"):
                inputs.pop(name, None)
        return inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor | None, dict[str, Any]]:
        """Repeat each row `expand_size` times, with its pictures (beams, several answers)."""
        names = [name for name in ("pixel_values", "image_bound") if model_kwargs.get(name) is not None]
        own = {name: model_kwargs.pop(name) for name in names}
        input_ids, expanded = super()._expand_inputs_for_generation(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **model_kwargs
        )
        if len(own) == 2 and expand_size > 1:
            own["pixel_values"] = [picture for picture in own["pixel_values"] for _ in range(expand_size)]
            copies = own["image_bound"].repeat_interleave(expand_size, dim=0)
            copies[:, 0] = copies[:, 0] * expand_size + torch.arange(len(copies), device=copies.device) % expand_size
            own["image_bound"] = copies
        return input_ids, {**expanded, **own}

    def _init_weights(self, module: nn.Module) -> None:
        """Give new weights their first values; transformers leaves alone what was loaded."""
        super()._init_weights(module)
        if not isinstance(module, (SiglipTower, Resampler)):
            return
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                std = parameter.shape[0] ** -0.5 if name == "proj" else INITIAL
                init.normal_(parameter, std=std)
        if isinstance(module, Resampler):
            side = round(len(module.query) ** 0.5)
            init.copy_(module.pos_embed, grid_code((side, side), module.query.shape[1], module.query.device))


def _check_bounds(bounds: list[tuple[int, int, int]], shape: Sequence[int], queries: int, cached: int) -> None:
    """Check that each picture has its place in the rows of `shape`; positions count from the end of the cache."""
    rows, tokens = shape
    before = (-1, 0, 0)
    for row, first, end in sorted(bounds):
        where = f"image_bound [{row}, {first + cached}, {end + cached}]"
        if end - first != queries:
            raise ValueError(f"{where}: a picture needs {queries} placeholders, not {end - first}.")
        if not 0 <= row < rows or first < -cached or end > tokens or first < 0 < end:
            raise ValueError(f"{where} is not inside the {rows} rows of {tokens} tokens ({cached} more are cached).")
        if row == before[0] and first < before[2]:
            raise ValueError(f"{where} begins inside the picture before it.")
        before = (row, first, end)


def version_of(config: dict[str, Any]) -> str:
    """Return the version that a config.json of model_type minicpmv seems to be of; "2.0" is the one known here."""
    if config.get("version") is not None:
        return str(config["version"])
    if config.get("vision_config") is not None:
        return "2.5"
    if config.get("vision_tower") is not None:
        return NATIVE
    if config.get("vision_encoder") in TOWERS and (config.get("hidden_size"), config.get("query_num")) == (2304, 64):
        return NATIVE if "slice_mode" in config else "1.0"
    return "of an unknown version"


def minicpmv_head(model: MiniCPMVForCausalLM) -> Head:
    """Return the head, which is the language model's."""
    return minicpm_head(model.llm)


def load_minicpmv(
    folder: str | Path, config: dict[str, Any], dtype: torch.dtype | None
) -> tuple[MiniCPMVForCausalLM, list[str]]:
    """Return the model of a folder and the notices that a user should see; `config` is its config.json.

    Raises:
        ModelError: another version than 2.0; or as `load_pretrained`.
    """
    if (version := version_of(config)) != NATIVE:
        raise ModelError(
            f"{folder}/config.json: this seems to be MiniCPM-V {version}. Of the models that call themselves "
            f"'minicpmv', {NATIVE} (openbmb/MiniCPM-V-2) is the one that is native here; the others are different "
            "networks. Code from a checkpoint is never executed; later versions that transformers itself runs have "
            "a model_type of their own (minicpmv4_6, ...)."
        )
    model, notices = load_pretrained(MiniCPMVForCausalLM, MiniCPMVConfig, folder, config, dtype)
    model.resampler.pos_embed.requires_grad_(False)  # as published; loading makes all that is loaded learn
    return model, notices


FAMILY = Family(
    model_type="minicpmv",
    recognises=lambda config: (
        config.get("model_type") == "minicpmv"
        and (version_of(config) == NATIVE or "minicpmv" not in CONFIG_MAPPING_NAMES)
    ),
    load=load_minicpmv,
    chat=partial(chat_for, "minicpmv"),
    head=minicpmv_head,
    lora_targets=r"llm\.model\.layers\.\d+\.(self_attn\.[qkvo]|mlp\.(gate|up|down))_proj",
    parts={"language": "llm", "vision": "vpm", "resampler": "resampler", "embeddings": "llm.model.embed_tokens"},
    frozen=("resampler.pos_embed",),
)

AutoConfig.register("minicpmv", MiniCPMVConfig, exist_ok=True)
AutoModelForCausalLM.register(MiniCPMVConfig, MiniCPMVForCausalLM, exist_ok=True)
