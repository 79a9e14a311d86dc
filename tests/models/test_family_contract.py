"""What every native family must do, whatever its architecture. A new family needs its tiny sizes here, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tunesmith.models.family import Family, families
from tunesmith.models.load import load_model
from tunesmith.ops.loss import label_loss, plain_loss

TINY: dict[str, dict[str, Any]] = {
    "minicpm": {
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,
        "scale_emb": 12,
        "scale_depth": 1.4,
        "dim_model_base": 20,
    },
    "minicpmv": {
        "hidden_size": 128,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "initializer_range": 0.1,
        "scale_emb": 12,
        "scale_depth": 1.4,
        "dim_model_base": 20,
        "query_num": 4,
        "vision_encoder": "tiny",
        "vision_tower": {
            "image_size": 42,
            "patch_size": 14,
            "embed_dim": 24,
            "depth_before_drop": 3,
            "num_heads": 2,
            "mlp_hidden_dim": 40,
            "layer_norm_eps": 1e-6,
        },
    },
    "transnormer": {
        "hidden_dim": 48,
        "decoder_layers": 3,
        "decoder_attention_heads": 4,
        "glu_dim": 96,
        "init_std": 0.1,
    },
}
# What a family takes beside the ids, for two rows: without it not every parameter takes part.
BESIDE: dict[str, dict[str, Any]] = {
    "minicpmv": {
        "pixel_values": [torch.linspace(-1, 1, 3 * 28 * width).view(3, 28, width) for width in (42, 28, 42)],
        "image_bound": torch.tensor([[0, 2, 6], [1, 1, 5], [1, 8, 12]]),
    },
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
VOCAB, HIDDEN, TOKENS = 90, 48, 17
NATIVE = {family.model_type: family for family in families() if family.model_type != "auto"}
SOFTMAX = [name for name in NATIVE if name != "transnormer"]
VARIANTS = [(name, {}) for name in NATIVE] + [("minicpm", EXPERTS), ("minicpm", {"tie_word_embeddings": False})]

# PEFT asks transformers 5.23 for something by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join([variant[0], *variant[1]]))
def variant(request: pytest.FixtureRequest) -> tuple[Family, Any]:
    """A family and a tiny random model of it, in eval mode."""
    name, options = request.param
    config = CONFIG_MAPPING[name](**{"vocab_size": VOCAB, "hidden_size": HIDDEN, **TINY[name], **options})
    return NATIVE[name], AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture
def family(variant: tuple[Family, Any]) -> Family:
    """The family of the variant."""
    return variant[0]


@pytest.fixture
def model(variant: tuple[Family, Any]) -> Any:
    """The model of the variant."""
    return variant[1]


@pytest.fixture
def beside(family: Family) -> dict[str, Any]:
    """What the family takes beside the ids."""
    return BESIDE.get(family.model_type, {})


@pytest.fixture
def ids() -> Tensor:
    """Two rows of tokens, none of them special."""
    return torch.randint(3, VOCAB, (2, TOKENS))


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_known_by_its_config(family: Family, model: Any) -> None:
    assert family.recognises(model.config.to_dict())
    assert not family.recognises({"model_type": "llama"}) and not family.recognises({})


@torch.no_grad()
def test_forward(model: Any, ids: Tensor) -> None:
    output = model(input_ids=ids, output_hidden_states=True)
    assert output.logits.shape == (2, TOKENS, VOCAB) and output.logits.dtype == torch.float32
    assert torch.isfinite(output.logits).all()
    assert len(output.hidden_states) == model.config.num_hidden_layers + 1
    assert torch.equal(output.hidden_states[-1], model.get_decoder()(input_ids=ids)[0])
    assert torch.equal(model(input_ids=ids, logits_to_keep=3).logits, output.logits[:, -3:])
    places = torch.tensor([0, 5])
    assert torch.equal(model(input_ids=ids, logits_to_keep=places).logits, output.logits[:, places])
    assert isinstance(model(input_ids=ids, return_dict=False), tuple)


@torch.no_grad()
def test_head(family: Family, model: Any, ids: Tensor, beside: dict[str, Any]) -> None:
    head = family.head(model)
    assert head is not None and head.module is model.get_output_embeddings()
    torch.testing.assert_close(
        head(model.get_decoder()(input_ids=ids, **beside)[0]), model(input_ids=ids, **beside).logits
    )


def test_loss_is_the_one_of_ops(family: Family, model: Any, ids: Tensor, beside: dict[str, Any]) -> None:
    labels = ids.masked_fill(ids % 3 == 0, -100)
    count = int((labels[:, 1:] != -100).sum())
    head = family.head(model)
    assert head is not None
    summed = plain_loss(model(input_ids=ids, **beside).logits, labels)
    torch.testing.assert_close(model(input_ids=ids, **beside, labels=labels).loss, summed / count)
    torch.testing.assert_close(model(input_ids=ids, **beside, labels=labels, num_items_in_batch=7).loss, summed / 7)
    hidden = model.get_decoder()(input_ids=ids, **beside)[0]
    chunked = label_loss(hidden, labels, head, list(head.module.parameters()))
    plain = gradients(model, summed)
    for name, gradient in gradients(model, chunked).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_cached_decoding_is_the_full_forward(model: Any, ids: Tensor, cache: str) -> None:
    output = model.generate(
        ids[:, :5],
        attention_mask=torch.ones(2, 5, dtype=torch.long),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        cache_implementation=cache,
        output_logits=True,
        return_dict_in_generate=True,
    )
    with torch.no_grad():
        full = model(input_ids=output.sequences).logits[:, 4:-1]
    torch.testing.assert_close(torch.stack(output.logits, dim=1), full, atol=2e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:flex_attention called without")  # of torch itself
@pytest.mark.parametrize("variant", [(name, {}) for name in SOFTMAX], ids=SOFTMAX, indirect=True)
def test_flex_attention(model: Any, ids: Tensor) -> None:
    """Forward only (torch has no backward of it on the CPU), and not compiled, which would take a minute."""
    expected = model(input_ids=ids).logits
    model.set_attn_implementation("flex_attention")
    with torch.compiler.set_stance("force_eager"):
        torch.testing.assert_close(model(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_changes_nothing(model: Any, ids: Tensor, attention: str) -> None:
    model.set_attn_implementation(attention)
    alone = model(input_ids=ids[:1]).logits
    gap = torch.zeros(1, 6, dtype=torch.long)
    ones = torch.ones(1, TOKENS, dtype=torch.long)
    left = {
        "input_ids": torch.cat((gap, ids[:1]), dim=1),
        "attention_mask": torch.cat((gap, ones), dim=1),
        "position_ids": torch.cat((gap, torch.arange(TOKENS)[None]), dim=1),
    }
    torch.testing.assert_close(model(**left).logits[:, 6:], alone, atol=1e-4, rtol=1e-4)
    right = {"input_ids": torch.cat((ids[:1], gap), dim=1), "attention_mask": torch.cat((ones, gap), dim=1)}
    torch.testing.assert_close(model(**right).logits[:, :TOKENS], alone, atol=1e-4, rtol=1e-4)


def test_left_padded_generation(model: Any, ids: Tensor) -> None:
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    alone = model.generate(ids[:1], attention_mask=torch.ones_like(ids[:1]), **options)
    padded = torch.cat((torch.zeros(1, 4, dtype=torch.long), ids[:1]), dim=1)
    mask = (padded != 0).long()
    both = model.generate(padded, attention_mask=mask, **options)
    assert torch.equal(both[:, 4:], alone)


@torch.no_grad()
def test_saved_folder_loads_in_plain_transformers_and_here(model: Any, ids: Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    expected = model(input_ids=ids).logits
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(input_ids=ids).logits, expected)
    assert torch.equal(load_model(tmp_path, device="cpu")(input_ids=ids).logits, expected)


@torch.no_grad()
def test_bfloat16_is_near(model: Any, ids: Tensor) -> None:
    exact = model(input_ids=ids).logits
    rounded = model.to(torch.bfloat16)(input_ids=ids).logits
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() <= 0.1 * exact.norm()


def test_every_parameter_learns(model: Any, ids: Tensor, beside: dict[str, Any]) -> None:
    found = gradients(model.train(), model(input_ids=ids, labels=ids, **beside).loss)
    assert found and all(torch.isfinite(gradient).all() and gradient.any() for gradient in found.values())


def test_the_padding_row_learns_too(family: Family, model: Any, ids: Tensor) -> None:
    model.config.pad_token_id = 5
    again = type(model)(model.config)
    ids[:, 0] = 5
    again(input_ids=ids, labels=ids).loss.backward()
    assert again.get_input_embeddings().weight.grad[5].any()


def test_gradient_checkpointing_changes_no_gradient(model: Any, ids: Tensor, beside: dict[str, Any]) -> None:
    model.train()
    plain = gradients(model, model(input_ids=ids, labels=ids, **beside).loss)
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    again = model(input_ids=ids, labels=ids, use_cache=False, **beside).loss
    for name, gradient in gradients(model, again).items():
        assert torch.equal(gradient, plain[name]), name


def test_merged_lora_is_the_same_function(family: Family, model: Any, ids: Tensor) -> None:
    targets = family.lora_targets if isinstance(family.lora_targets, str) else list(family.lora_targets)
    tuned: Any = get_peft_model(model, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")).eval()
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.05)
        expected = tuned(input_ids=ids).logits
        merged = tuned.merge_and_unload()
        torch.testing.assert_close(merged(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_little_training_lowers_the_loss(model: Any, ids: Tensor, beside: dict[str, Any]) -> None:
    model.train()
    learner = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        loss = model(input_ids=ids, labels=ids, **beside).loss
        losses.append(float(loss.detach()))
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert losses[-1] < 0.5 * losses[0]
