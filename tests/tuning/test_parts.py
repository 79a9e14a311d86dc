"""What learns by part: names and numbers, dtypes, gradients; the published LoRA run, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tunesmith import config
from tunesmith.errors import ConfigError
from tunesmith.models.load import load
from tunesmith.models.minicpmv import FAMILY, MiniCPMVConfig, MiniCPMVForCausalLM
from tunesmith.training.objective import trainable_state
from tunesmith.training.settings import TrainConfig
from tunesmith.tuning import full, lora
from tunesmith.tuning._parts import part_of

Tuned = Callable[..., Any]
QKV = r"llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj|v_proj)"
RECIPE = Path(__file__).parents[2] / "configs" / "minicpmv-2-lora.yaml"
PUBLISHED = Path(__file__).parents[1] / "golden" / "minicpmv2" / "finetune_lora"
CHECKPOINT = 3_434_965_792

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def learning(model: torch.nn.Module) -> dict[str, Tensor]:
    """What learns, by the names of an adapter file."""
    named = {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}
    assert len(named) == len(trainable_state(model))
    return named


def layers(model: torch.nn.Module) -> set[str]:
    return {name.split(".lora_A")[0].removeprefix("base_model.model.") for name in learning(model) if "lora_A" in name}


def of(model: torch.nn.Module, path: str) -> set[str]:
    names = {name for name, _ in model.named_parameters()}
    return {name for name in names if name.startswith(f"base_model.model.{path}.") and "lora_" not in name}


def count(model: torch.nn.Module) -> tuple[int, int]:
    """(what learns, all)."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)


@pytest.fixture
def tuned(seeing_folder: Path) -> Tuned:
    """Return a function that loads the golden model and lets parts of it learn."""

    def make(dtype: torch.dtype = torch.float32, **options: Any) -> Any:
        loaded = load(seeing_folder, dtype=dtype, device="cpu")
        return lora.apply(loaded.model, loaded.family, lora.Config.model_validate(options))

    return make


# --- the published numbers -------------------------------------------------------------------------------------------


@pytest.fixture
def real_size() -> MiniCPMVForCausalLM:
    """MiniCPM-V 2.0 in its real size, without memory."""
    sizes = MiniCPMVConfig(
        vocab_size=122753,
        hidden_size=2304,
        intermediate_size=5760,
        num_hidden_layers=40,
        num_attention_heads=36,
        num_key_value_heads=36,
        scale_emb=12,
        scale_depth=1.4,
        dim_model_base=256,
    )
    with torch.device("meta"):
        return MiniCPMVForCausalLM(sizes).to(torch.bfloat16)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ([], (733_677_856, 3_458_558_752)),
        ([f"tuning.targets={QKV}"], (745_474_336, 3_470_355_232)),
        (["tuning.vision=frozen"], (335_930_112, 3_458_558_752)),
        (["tuning.language=frozen", "tuning.resampler=frozen", "tuning.embeddings=frozen"], (397_747_744, CHECKPOINT)),
        (["tuning.language=full", "tuning.vision=frozen", "tuning.resampler=frozen"], (3_007_703_808, CHECKPOINT)),
    ],
    ids=["launch script", "class default", "without vision", "only vision", "only language"],
)
def test_counts_at_the_real_size(changes: list[str], counts: tuple[int, int], real_size: MiniCPMVForCausalLM) -> None:
    """The shipped recipe, and changes of it."""
    settings = config.read(TrainConfig, RECIPE, changes)
    with torch.device("meta"):
        model = lora.apply(real_size, FAMILY, settings.tuning)
    assert count(model) == counts
    assert all(p.dtype == (torch.float32 if p.requires_grad else torch.bfloat16) for p in model.parameters())


def test_full_tuning_counts_at_the_real_size(real_size: MiniCPMVForCausalLM) -> None:
    assert count(full.apply(real_size, FAMILY, full.Config())) == (3_434_818_336, CHECKPOINT)


def test_published_run(tuned: Tuned, golden_batch: SimpleNamespace) -> None:
    """Three AdamW steps of the published LoRA script: what learns, gradients, losses and the logits at the end."""
    facts = json.loads((PUBLISHED / "case.json").read_text(encoding="utf-8"))
    start, recorded = (load_file(PUBLISHED / f"{name}.safetensors") for name in ("lora_init", "train"))
    settings, adam = facts["lora"], facts["optimizer"]
    parts = {"vision": "full", "resampler": "full", "embeddings": "full"}
    model = tuned(rank=settings["r"], alpha=settings["alpha"], targets=settings["target_modules"], **parts).train()
    named = learning(model)
    assert sorted(named) == sorted(facts["trainable_names"])
    assert count(model) == (facts["parameter_counts"]["Trainable"], facts["parameter_counts"]["Total"])
    with torch.no_grad():
        for name, tensor in start.items():
            named[name].copy_(tensor)
    rest = {key: adam[key] for key in ("lr", "betas", "eps", "weight_decay")}
    optimizer, losses = torch.optim.AdamW(named.values(), **rest), []
    for step in range(facts["steps"] + 1):
        output = model(**golden_batch.inputs, labels=golden_batch.labels)
        losses.append(output.loss.item())
        if step == facts["steps"]:
            break
        optimizer.zero_grad()
        output.loss.backward()
        if step == 0:
            first = output.logits.detach()[golden_batch.real] - recorded["logits_step0"][golden_batch.real]
            assert float(first.abs().max()) < 3e-4
            for name, norm in facts["grad_l2_norms_step0"].items():
                assert float(named[name].grad.norm()) == pytest.approx(norm, rel=1e-4), name
            for name, expected in recorded.items():
                if name.startswith("grad_step0."):
                    gradient = named[name.removeprefix("grad_step0.")].grad
                    assert (gradient - expected).norm() <= 1e-4 * expected.norm(), name
        optimizer.step()
    assert losses == pytest.approx(facts["losses_before_each_step_and_final"], abs=5e-5)
    last = output.logits.detach()[golden_batch.real] - recorded["logits_final"][golden_batch.real]
    assert float(last.abs().max()) < 3e-3
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen and all(model.get_parameter(name).grad is None for name in frozen)
    assert len(optimizer.state) == len(named)


# --- which parts, and how --------------------------------------------------------------------------------------------


def test_longest_path_counts() -> None:
    assert part_of("llm.model.embed_tokens.weight", FAMILY.parts) == "embeddings"
    assert part_of("llm.lm_head", FAMILY.parts) == "language" and part_of("llm", FAMILY.parts) == "language"
    assert part_of("vpm2.weight", FAMILY.parts) is None


def test_language_alone_is_the_default(tuned: Tuned) -> None:
    model = tuned()
    assert all("lora_" in name for name in learning(model))
    assert len(layers(model)) == 14 and all(name.startswith("llm.model.layers.") for name in layers(model))


@pytest.mark.parametrize("part", ["vision", "resampler", "embeddings", "language"])
def test_one_part_in_full(part: str, tuned: Tuned) -> None:
    path = FAMILY.parts[part]
    model = tuned(**{"language": "frozen", part: "full"})
    expected = of(model, path) - (of(model, FAMILY.parts["embeddings"]) if part == "language" else set())
    assert set(learning(model)) == expected and expected


def test_vision_by_adapters(tuned: Tuned) -> None:
    model = tuned(language="frozen", vision="lora")
    kinds = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    blocks = range(len(model.get_base_model().vpm.blocks))
    assert layers(model) == {f"vpm.blocks.{n}.{kind}" for n in blocks for kind in kinds}
    both = tuned(vision="lora")
    assert layers(both) == layers(model) | layers(tuned())


@pytest.mark.parametrize("targets", ["all-linear", r".*proj", ["q_proj", "proj", "fc1"]])
def test_targets_stay_inside_their_parts(targets: Any, tuned: Tuned) -> None:
    found = layers(tuned(targets=targets))
    assert found and all(name.startswith("llm.model.layers.") for name in found)
    found = layers(tuned(targets=targets, language="full", vision="lora"))
    assert found and all(name.startswith("vpm.blocks.") for name in found if name != "vpm.patch_embed.proj")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"language": "frozen"}, "all frozen"),
        ({"vision": "lora", "targets": ["q_proj"]}, r"part 'vision' \(vpm\).*fc1, fc2, proj, qkv"),
        ({"language": "lora", "targets": r"vpm\..*qkv"}, "part 'language'"),
        ({"targets": "("}, "not a regular expression"),
        ({"targets": ["q_prj"]}, "did you mean 'q_proj'"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], said: str, tuned: Tuned) -> None:
    with pytest.raises(ConfigError, match=said):
        tuned(**options)


def test_seeing_half_precision(tuned: Tuned, golden_batch: SimpleNamespace) -> None:
    """Any mixture of float32 parts and bfloat16 parts computes, with and without autocast, and only they get gradients."""
    plain = tuned(torch.bfloat16)(**golden_batch.inputs).logits.detach()[golden_batch.real]
    text = {name: golden_batch.inputs[name] for name in ("input_ids", "attention_mask")}
    for parts in (
        {"vision": "full"},
        {"resampler": "full"},
        {"embeddings": "full"},
        {"language": "full", "vision": "lora"},
        {"vision": "full", "resampler": "full", "embeddings": "full"},
    ):
        model = tuned(torch.bfloat16, **parts)
        named = learning(model)
        assert {parameter.dtype for parameter in named.values()} == {torch.float32}
        assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
        with torch.no_grad():
            logits = model(**golden_batch.inputs).logits[golden_batch.real]
        assert float((logits - plain).abs().max()) < 0.15, parts
        with torch.autocast("cpu", torch.bfloat16):
            model(**text)
            loss = model(**golden_batch.inputs, labels=golden_batch.labels).loss
        loss.backward()
        got = {name.replace(".default", "") for name, p in model.named_parameters() if p.grad is not None}
        assert got == set(named), parts
