"""MiniCPM-V 2.0 against every number of the published code, and rows with and without pictures in all combinations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from tunesmith.errors import ModelError
from tunesmith.models import family as families
from tunesmith.models.files import stored_tensors
from tunesmith.models.load import load_model
from tunesmith.models.minicpmv import FAMILY, MiniCPMVConfig, MiniCPMVForCausalLM, version_of
from tunesmith.models.segments import NAME, packing_of

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
RUNS = [
    *(("chat_noslice", run) for run in ("square", "tiny20", "two_turn", "text_only")),
    *(("chat_sliced", run) for run in ("wide203x88", "grid3x2", "tall70x260")),
]
PUBLISHED: dict[str, Any] = {
    "model_type": "minicpmv",
    "architectures": ["MiniCPMV"],
    "vocab_size": 122753,
    "hidden_size": 2304,
    "intermediate_size": 5760,
    "num_hidden_layers": 40,
    "num_attention_heads": 36,
    "num_key_value_heads": 36,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096,
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 256,
    "tie_word_embeddings": False,
    "vision_encoder": "vit_so400m_patch14_siglip_384.webli",
    "drop_vision_last_layer": True,
    "query_num": 64,
    "patch_size": 14,
    "scale_resolution": 448,
    "max_slice_nums": 9,
    "slice_mode": True,
    "image_size": 448,
    "mm_use_im_start_end": True,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
}
GREEDY = {"max_new_tokens": 16, "do_sample": False, "pad_token_id": 0}

Model = Callable[[str], Any]
Prompt = Callable[[str, str], Any]

# PEFT asks transformers 5.23 for something by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def same_gradients(first: dict[str, Tensor], second: dict[str, Tensor], tolerance: float) -> None:
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        assert (gradient - second[name]).norm() <= tolerance * second[name].norm() + 1e-9, name


# --- the published numbers -------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("case", "run"), RUNS)
def test_embeddings_and_logits(case: str, run: str, attention: str, golden_prompt: Prompt, vision_model: Model) -> None:
    prompt, model = golden_prompt(case, run), vision_model(case)
    model.set_attn_implementation(attention)
    seen: list[Tensor] = []
    model.llm.model.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits = model(**prompt.inputs).logits[0]
    close(seen[0][0], prompt.tensors["inputs_embeds"], 2e-5)
    close(logits[prompt.facts["logits_tail_first_position"] :], prompt.tensors["logits_tail"], 5e-5)


@pytest.mark.parametrize(("case", "run"), RUNS)
def test_greedy_generation(case: str, run: str, golden_prompt: Prompt, vision_model: Model) -> None:
    prompt, model = golden_prompt(case, run), vision_model(case)
    calls: list[int] = []
    model.vpm.register_forward_hook(lambda *_: calls.append(1))
    ids = model.generate(**prompt.inputs, attention_mask=torch.ones_like(prompt.ids), **GREEDY)
    assert ids[0, prompt.ids.shape[1] :].tolist() == prompt.facts["greedy_new_ids"]
    assert len(calls) == bool(prompt.pictures)  # at the prompt only


@pytest.fixture(scope="module")
def tuned() -> SimpleNamespace:
    """The golden fine-tuning batch, as the model takes it; labels are aligned with the ids here."""
    tensors = load_file(GOLDEN / "finetune_batch" / "batch.safetensors")
    facts = json.loads((GOLDEN / "finetune_batch" / "case.json").read_text(encoding="utf-8"))
    bounds = [torch.nn.functional.pad(tensors[f"image_bound.{row}"], (1, 0), value=row) for row in range(3)]
    raw = [tensors[f"slice_uint8.{row}.{n}"] for row in range(3) for n in range(len(bounds[row]))]
    inputs = {
        "input_ids": tensors["input_ids"],
        "attention_mask": tensors["attention_mask"].long(),
        "pixel_values": [((one.float() / 255 - 0.5) / 0.5).permute(2, 0, 1) for one in raw],
        "image_bound": torch.cat(bounds),
    }
    labels = torch.nn.functional.pad(tensors["labels"][:, :-1], (1, 0), value=-100)
    return SimpleNamespace(tensors=tensors, facts=facts, inputs=inputs, labels=labels)


def test_fine_tuning_loss_and_gradients(tuned: SimpleNamespace, vision_model: Model) -> None:
    model = vision_model("finetune_batch").train()
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["resampler.pos_embed"]
    model.requires_grad_(True)
    output = model(**tuned.inputs, labels=tuned.labels)
    real = tuned.inputs["attention_mask"].bool()
    close(output.logits[real].detach(), tuned.tensors["logits"][real], 5e-5)
    close(output.loss.detach(), tuned.tensors["loss"][0], 1e-5)
    found = gradients(model, output.loss)
    assert found.keys() == tuned.facts["grad_l2_norms"].keys()
    for name, norm in tuned.facts["grad_l2_norms"].items():
        assert float(found[name].norm()) == pytest.approx(norm, rel=5e-5), name
    recorded = {name.removeprefix("grad."): value for name, value in tuned.tensors.items() if name.startswith("grad.")}
    same_gradients({name: found[name] for name in recorded}, recorded, 5e-5)


# --- pictures in batches ---------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tuned: SimpleNamespace) -> dict[str, Any]:
    """Four rows: pictures of several sizes, none in the second row, a picture of another shape in the last."""
    ids = tuned.inputs["input_ids"][[0, 1, 1, 2]].clone()
    mask = tuned.inputs["attention_mask"][[0, 1, 1, 2]]
    bounds, pictures = tuned.inputs["image_bound"], tuned.inputs["pixel_values"]
    ids[1] = torch.where(mask[1] > 0, torch.randint(120, 500, ids[1].shape), 0)
    rows = torch.tensor([0, 2, 3])[bounds[:, 0]]
    pictures = [*pictures[:-1], torch.randn(3, 33, 50)]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": pictures,
        "image_bound": torch.cat((rows[:, None], bounds[:, 1:]), dim=1),
    }


def row_of(batch: dict[str, Any], row: int) -> dict[str, Any]:
    """One row alone, without padding."""
    mine = (batch["image_bound"][:, 0] == row).nonzero().flatten().tolist()
    bounds = batch["image_bound"][mine].clone()
    bounds[:, 0] = 0
    pictures = [batch["pixel_values"][number] for number in mine]
    ids = batch["input_ids"][row, batch["attention_mask"][row] > 0][None]
    return {"input_ids": ids, **({"pixel_values": pictures, "image_bound": bounds} if mine else {})}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_mixed_batch_is_the_same_as_its_rows(mixed: dict[str, Any], vision_model: Model, checkpointing: bool) -> None:
    model = vision_model("finetune_batch").double().train()
    mixed["pixel_values"] = [picture.double() for picture in mixed["pixel_values"]]
    alone = [model(**row_of(mixed, row)).logits[0] for row in range(4)]
    weights = [torch.randn_like(one) for one in alone]
    expected = gradients(model, torch.stack([(a * w).sum() for a, w in zip(alone, weights, strict=True)]).sum())
    passes: list[int] = []
    model.vpm.blocks[0].norm1.register_forward_hook(lambda *_: passes.append(1))
    if checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    logits = model(**mixed, use_cache=False).logits
    together = [logits[row, mixed["attention_mask"][row] > 0] for row in range(4)]
    for one, other in zip(together, alone, strict=True):
        close(one, other, 1e-6)  # logits are rounded nowhere, but rotary tables are float32
    found = gradients(model, torch.stack([(a * w).sum() for a, w in zip(together, weights, strict=True)]).sum())
    same_gradients(found, expected, 1e-6)
    assert len(found) == len(list(model.parameters())) - 1
    assert len(passes) == 1 + checkpointing  # one pass for all slices; with checkpointing the block is computed again


def test_gradients_do_not_reach_the_placeholder_row(tuned: SimpleNamespace, vision_model: Model) -> None:
    model = vision_model("finetune_batch").train()
    logits = model(**row_of(tuned.inputs, 0)).logits  # without padding, which has the id of the placeholder too
    assert not gradients(model, logits.sum())["llm.model.embed_tokens.weight"][0].any()


def test_without_pictures(mixed: dict[str, Any], vision_model: Model) -> None:
    model = vision_model("finetune_batch").train()
    text = {name: mixed[name][1:2] for name in ("input_ids", "attention_mask")}
    plain = model(**text, labels=text["input_ids"]).loss
    found = gradients(model, plain)
    assert found and all(name.startswith("llm.") for name in found)
    empty = {"pixel_values": [], "image_bound": torch.zeros(0, 3, dtype=torch.int64)}
    assert torch.equal(model(**text, **empty, labels=text["input_ids"]).loss, plain)
    model.touches_vision = True
    touched = model(**text, labels=text["input_ids"]).loss
    assert torch.equal(touched, plain)
    all_of_them = gradients(model, touched)
    assert all_of_them.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, gradient in all_of_them.items():
        assert torch.equal(gradient, found[name]) if name in found else not gradient.any(), name


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", NAME])
def test_packed_rows_are_the_same_as_their_segments(mixed: dict[str, Any], vision_model: Model, attention: str) -> None:
    model = vision_model("finetune_batch")
    assert packing_of(model).attention == NAME
    model.set_attn_implementation(attention)
    rows = [row_of(mixed, row) for row in range(4)]
    lengths = [one["input_ids"].shape[1] for one in rows]
    starts = torch.tensor([0, *lengths]).cumsum(0)
    bounds = torch.cat(
        [
            one["image_bound"] + torch.tensor([0, s, s])
            for one, s in zip(rows, starts, strict=False)
            if "image_bound" in one
        ]
    )
    logits = model(
        input_ids=torch.cat([one["input_ids"] for one in rows], dim=1),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        pixel_values=[picture for one in rows for picture in one.get("pixel_values", ())],
        image_bound=bounds,
        use_cache=False,
    ).logits[0]
    for part, one in zip(logits.split(lengths), rows, strict=True):
        close(part, model(**one).logits[0], 5e-5)


@torch.no_grad()
def test_decoder_and_head_are_the_model(mixed: dict[str, Any], vision_model: Model) -> None:
    model = vision_model("finetune_batch")
    hidden = model.get_decoder()(**mixed, use_cache=False)[0]
    head = FAMILY.head(model)
    assert head is not None and torch.equal(head(hidden), model(**mixed).logits)
    assert model.get_decoder().layers is model.llm.model.layers
    with pytest.raises(AttributeError):
        _ = model.get_decoder().nothing_of_this_name


@torch.no_grad()
def test_autocast(golden_prompt: Prompt, vision_model: Model) -> None:
    model, prompt = vision_model("chat_sliced"), golden_prompt("chat_sliced", "grid3x2")
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(**prompt.inputs).logits[0, -40:]
    assert (logits - prompt.tensors["logits_tail"]).norm() < 0.05 * prompt.tensors["logits_tail"].norm()


# --- generation ------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("cut", [30, 58, -1])
def test_cached_decoding_is_the_full_forward(golden_prompt: Prompt, vision_model: Model, cut: int) -> None:
    prompt, model = golden_prompt("chat_sliced", "wide203x88"), vision_model("chat_sliced")
    assert prompt.bounds.tolist() == [[0, 5, 21], [0, 24, 40], [0, 42, 58]]
    full = model(**prompt.inputs).logits
    if cut == 30:  # inside the second picture
        with pytest.raises(ValueError, match=r"image_bound \[0, 24, 40\] is not inside the 1 rows of 30 tokens"):
            model(**{**prompt.inputs, "input_ids": prompt.ids[:, :cut]}, use_cache=True)
        return
    first = model(**{**prompt.inputs, "input_ids": prompt.ids[:, :cut]}, use_cache=True)
    calls: list[int] = []
    model.vpm.register_forward_hook(lambda *_: calls.append(1))
    # Bounds count from the start of the row: pictures that are cached are not computed again.
    rest = model(**{**prompt.inputs, "input_ids": prompt.ids[:, cut:]}, past_key_values=first.past_key_values)
    close(torch.cat((first.logits, rest.logits), dim=1), full, 5e-5)
    assert not calls


@torch.no_grad()
def test_a_talk_goes_on_with_a_new_picture(golden_prompt: Prompt, vision_model: Model) -> None:
    prompt, model = golden_prompt("chat_sliced", "wide203x88"), vision_model("chat_sliced")
    cut = 23
    first = model(
        input_ids=prompt.ids[:, :cut], pixel_values=prompt.pictures[:1], image_bound=prompt.bounds[:1], use_cache=True
    )
    rest = model(**{**prompt.inputs, "input_ids": prompt.ids[:, cut:]}, past_key_values=first.past_key_values)
    close(rest.logits, model(**prompt.inputs).logits[:, cut:], 5e-5)


def batch_of(prompts: list[Any]) -> dict[str, Any]:
    """Prompts as rows, padded at the left."""
    longest = max(prompt.ids.shape[1] for prompt in prompts)
    gaps = [longest - prompt.ids.shape[1] for prompt in prompts]
    left = [torch.nn.functional.pad(prompt.ids, (gap, 0)) for prompt, gap in zip(prompts, gaps, strict=True)]
    masks = [(torch.arange(longest) >= gap).long() for gap in gaps]
    bounds = [p.bounds + torch.tensor([row, gap, gap]) for row, (p, gap) in enumerate(zip(prompts, gaps, strict=True))]
    return {
        "input_ids": torch.cat(left),
        "attention_mask": torch.stack(masks),
        "pixel_values": [picture for prompt in prompts for picture in prompt.pictures],
        "image_bound": torch.cat(bounds),
    }


@pytest.mark.parametrize("case", ["chat_noslice", "chat_sliced"])
@pytest.mark.parametrize("cache", ["dynamic", "static", None])
def test_left_padded_generation(case: str, cache: str | None, golden_prompt: Prompt, vision_model: Model) -> None:
    model, prompts = vision_model(case), [golden_prompt(case, run) for place, run in RUNS if place == case]
    batch = batch_of(prompts)
    options = {"cache_implementation": cache} if cache else {"use_cache": False, "max_new_tokens": 3}
    ids = model.generate(**batch, **{**GREEDY, **options})
    for row, prompt in zip(ids[:, batch["input_ids"].shape[1] :].tolist(), prompts, strict=True):
        expected = prompt.facts["greedy_new_ids"][: len(row)]
        assert row[: len(expected)] == expected and not any(row[len(expected) :])


def test_beams_keep_their_pictures(golden_prompt: Prompt, vision_model: Model) -> None:
    model = vision_model("chat_sliced")
    prompts = [golden_prompt("chat_sliced", run) for run in ("wide203x88", "tall70x260")]
    options = {**GREEDY, "max_new_tokens": 6, "num_beams": 3, "num_return_sequences": 2, "eos_token_id": None}
    slices: list[int] = []
    model.vpm.register_forward_hook(lambda _, inputs, __: slices.append(len(inputs[0])))
    batch = batch_of(prompts)
    together = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    assert slices == [sum(len(prompt.pictures) for prompt in prompts)]  # each once, whatever the number of beams
    for number, prompt in enumerate(prompts):
        alone = model.generate(**prompt.inputs, attention_mask=torch.ones_like(prompt.ids), **options)
        assert torch.equal(together[2 * number : 2 * number + 2], alone[:, prompt.ids.shape[1] :])


# --- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "complaint"),
    [
        ([[0, 5, 21], [0, 24, 40]], "3 pictures .* but 2 places"),
        ([[0, 5, 21], [0, 24, 39], [0, 42, 58]], "needs 16 placeholders, not 15"),
        ([[0, 5, 21], [0, 24, 40], [1, 42, 58]], r"\[1, 42, 58\] is not inside the 1 rows"),
        ([[0, -1, 15], [0, 24, 40], [0, 42, 58]], r"\[0, -1, 15\] is not inside"),
        ([[0, 5, 21], [0, 20, 36], [0, 42, 58]], r"\[0, 20, 36\] begins inside the picture before it"),
        ([[0, 5, 21], [0, 24, 40], [0, 990, 1006]], r"\[0, 990, 1006\] is not inside"),
    ],
)
def test_bounds_that_do_not_fit(
    bounds: list[list[int]], complaint: str, golden_prompt: Prompt, vision_model: Model
) -> None:
    prompt, model = golden_prompt("chat_sliced", "wide203x88"), vision_model("chat_sliced")
    with pytest.raises(ValueError, match=complaint):
        model(**{**prompt.inputs, "image_bound": torch.tensor(bounds)})


@pytest.mark.parametrize("missing", ["pixel_values", "image_bound"])
def test_half_of_it_is_not_enough(missing: str, golden_prompt: Prompt, vision_model: Model) -> None:
    inputs = golden_prompt("chat_sliced", "wide203x88").inputs
    with pytest.raises(ValueError, match="places for them"):
        vision_model("chat_sliced")(**{**inputs, missing: None})


# --- folders, names, versions ----------------------------------------------------------------------------------------


def test_names_shapes_and_counts_of_the_published_model() -> None:
    official = json.loads((GOLDEN / "official_state_dict.json").read_text(encoding="utf-8"))
    assert FAMILY.recognises(PUBLISHED)
    config = MiniCPMVConfig.from_dict(PUBLISHED)
    with torch.device("meta"):
        model = MiniCPMVForCausalLM(config)
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == official["tensors"]
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counts == official["by_prefix"]
    assert counts == {"llm": 3_007_703_808, "vpm": 397_747_744, "resampler": 29_514_240}
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert (sum(counts.values()), learning) == (3_434_965_792, 3_434_818_336)  # resampler.pos_embed is frozen
    assert FAMILY.recognises(json.loads(config.to_json_string()))


@torch.no_grad()
def test_folders(vision_folder: Callable[[str], Path], golden_prompt: Prompt, tmp_path: Path) -> None:
    folder, prompt = vision_folder("chat_noslice"), golden_prompt("chat_noslice", "square")
    model = load_model(folder, device="cpu", dtype="bf16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    model.save_pretrained(tmp_path / "saved")
    stored = stored_tensors(tmp_path / "saved")
    assert stored == stored_tensors(folder)
    logits = model(**prompt.inputs).logits
    assert (logits[0, -40:] - prompt.tensors["logits_tail"]).norm() < 0.05 * prompt.tensors["logits_tail"].norm()
    assert torch.equal(load_model(tmp_path / "saved", device="cpu", dtype="bf16")(**prompt.inputs).logits, logits)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert type(plain) is MiniCPMVForCausalLM and torch.equal(plain(**prompt.inputs).logits, logits)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_new_weights_are_usable() -> None:
    config = MiniCPMVConfig.from_dict(json.loads((GOLDEN / "finetune_batch" / "config.json").read_text("utf-8")))
    model = MiniCPMVForCausalLM(config)
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all() and (parameter.ndim == 1 or parameter.any()), name
    assert float(model.resampler.query.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert float(model.vpm.pos_embed.detach().std()) == pytest.approx(0.02, rel=0.1)


VERSIONS = [
    ({**PUBLISHED}, "2.0"),
    ({**PUBLISHED, "vision_tower": None}, "2.0"),
    ({**PUBLISHED, "version": 2.6}, "2.6"),
    ({**PUBLISHED, "version": "4.5", "vision_config": {}}, "4.5"),
    ({**PUBLISHED, "vision_config": {"model_type": "siglip"}, "hidden_size": 4096}, "2.5"),
    ({key: value for key, value in PUBLISHED.items() if key != "slice_mode"}, "1.0"),
    ({**PUBLISHED, "hidden_size": 4096, "query_num": 96}, "of an unknown version"),
]


@pytest.mark.parametrize(("config", "version"), VERSIONS)
def test_versions(config: dict[str, Any], version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert version_of(config) == version
    assert families.family_of(config, tmp_path) is FAMILY
    if version != "2.0":
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(ModelError, match=f"MiniCPM-V {version}.* 2.0 .*is the one that is native"):
            FAMILY.load(tmp_path, config, None)
        # If transformers learns the name one day, it may have the others.
        monkeypatch.setattr("tunesmith.models.minicpmv.CONFIG_MAPPING_NAMES", {"minicpmv": "AnyConfig"})
        assert not FAMILY.recognises(config)


def test_later_versions_stay_with_transformers(tmp_path: Path) -> None:
    assert not FAMILY.recognises({"model_type": "minicpmv4_6"}) and not FAMILY.recognises({"model_type": "minicpm"})


TOWER = json.loads((GOLDEN / "chat_sliced" / "config.json").read_text(encoding="utf-8"))["vision_tower"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"vision_encoder": "vit_huge"}, "vision_encoder 'vit_huge' is not known here"),
        ({"vision_tower": {"embed_dim": 48}}, "vision_tower lacks depth_before_drop, image_size"),
        ({"vision_tower": 3}, "vision_tower must be an object"),
        ({"vision_tower": {**TOWER, "hidden_act": "gelu_tanh"}}, "vision_tower.hidden_act must be 'gelu_erf'"),
        ({"vision_tower": {**TOWER, "num_heads": 0}}, "vision_tower.num_heads must be a number greater than 0"),
        ({"vision_tower": {**TOWER, "num_heads": 5}}, "multiple of the heads"),
        ({"vision_tower": {**TOWER, "depth_before_drop": 1}}, "there must be a block left"),
        ({"vision_tower": {**TOWER, "patch_size": 7}}, "patch_size 14 is not that of the tower, 7"),
        ({"query_num": 60}, "query_num 60 a square"),
        ({"hidden_size": 2340}, "hidden_size 2340 must be a multiple of 128"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings must be false"),
    ],
)
def test_configs_that_make_no_sense(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        MiniCPMVConfig.from_dict({**PUBLISHED, **change})


# --- adapters --------------------------------------------------------------------------------------------------------


def test_lora_acts_on_the_language_model_and_the_vision_side_can_be_trained_with_it(
    golden_prompt: Prompt, vision_model: Model
) -> None:
    model, prompt = vision_model("chat_noslice"), golden_prompt("chat_noslice", "square")
    settings = LoraConfig(
        r=2, target_modules=FAMILY.lora_targets, modules_to_save=["resampler", "vpm"], task_type="CAUSAL_LM"
    )
    tuned: Any = get_peft_model(model, settings).train()
    names = {name.split(".lora_A")[0] for name, _ in tuned.named_parameters() if ".lora_A" in name}
    assert len(names) == 2 * 7 and all(".llm.model.layers." in name for name in names)
    tuned(**prompt.inputs, labels=prompt.ids).loss.backward()
    for part in (model.resampler, model.vpm):
        kept = list(part.modules_to_save["default"].named_parameters())
        assert kept and all(p.grad is not None for name, p in kept if name != "pos_embed")
        assert all(p.grad is None for p in part.original_module.parameters())
    ids = tuned.eval().generate(**prompt.inputs, attention_mask=torch.ones_like(prompt.ids), **GREEDY)
    assert ids[0, prompt.ids.shape[1] :].tolist() == prompt.facts["greedy_new_ids"]  # LoRA begins at zero
