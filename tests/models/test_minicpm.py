"""Every number that the published MiniCPM code produced, within the tolerances of golden/minicpm/README.md."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, LlamaForCausalLM

from tunesmith.models.load import load_model
from tunesmith.models.minicpm import MiniCPMConfig

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpm"
CASES = ("mha_tied", "gqa_untied", "long_dynamic", "longrope_v4", "moe")
LONG = ("long_dynamic", "longrope_v4")
PADDED = ("mha_tied", "gqa_untied", "moe")
HIDDEN, LOSS, GRADIENT, TRACE, STEP = 5e-4, 1e-5, 2e-4, 5e-5, 1e-4

Folder = Callable[[str], Path]


@cache
def vectors(case: str) -> dict[str, Tensor]:
    """The recorded numbers of a case."""
    return load_file(GOLDEN / case / "vectors.safetensors")


def logit_tolerance(case: str) -> float:
    return 1e-4 if case in LONG else 2e-5


def close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """The name of a golden case."""
    return str(request.param)


@pytest.fixture
def model(case: str, golden_model: Folder) -> Any:
    """The case's model, freshly loaded."""
    return load_model(golden_model(case), dtype="float32", device="cpu")


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_and_hidden_states(case: str, model: Any, attention: str) -> None:
    model.set_attn_implementation(attention)
    golden = vectors(case)
    output = model(input_ids=golden["plain.input_ids"], output_hidden_states=True, use_cache=True)
    close(output.logits, golden["plain.logits"], logit_tolerance(case))
    assert output.logits.dtype == torch.float32
    close(torch.stack(output.hidden_states), golden["plain.hidden_states"], HIDDEN)
    cached = output.past_key_values.layers[0]
    close(cached.keys[:1], golden["plain.layer0.key"], HIDDEN)
    close(cached.values[:1], golden["plain.layer0.value"], HIDDEN)


@torch.no_grad()
@pytest.mark.parametrize("case", PADDED)
def test_last_layer_before_the_norm(case: str, model: Any) -> None:
    golden = vectors(case)
    seen: list[Tensor] = []
    model.model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(input_ids=golden["plain.input_ids"])
    close(seen[0], golden["plain.last_layer_prenorm"], HIDDEN)


def test_loss_and_gradients(case: str, model: Any) -> None:
    golden = vectors(case)
    loss = model(input_ids=golden["plain.input_ids"], labels=golden["loss.labels"]).loss
    close(loss.detach(), golden["loss.value"], LOSS)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    norms = {name.removeprefix("gradnorm."): value for name, value in golden.items() if name.startswith("gradnorm.")}
    assert set(norms) == set(gradients)
    for name, norm in norms.items():
        torch.testing.assert_close(gradients[name].norm(), norm, rtol=GRADIENT, atol=0)
    for name, gradient in golden.items():
        if name.startswith("grad."):
            difference = (gradients[name.removeprefix("grad.")] - gradient).norm()
            assert difference <= GRADIENT * gradient.norm(), name


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_trace(case: str, model: Any, optimizer: str) -> None:
    golden = vectors(case)
    learner: torch.optim.Optimizer
    if optimizer == "sgd":
        learner = torch.optim.SGD(model.parameters(), lr=float(golden["sgd.lr"]))
    else:
        learner = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    losses = []
    for _ in golden[f"{optimizer}.losses"]:
        loss = model(input_ids=golden["plain.input_ids"], labels=golden["loss.labels"]).loss
        losses.append(loss.detach())
        learner.zero_grad()
        loss.backward()
        learner.step()
    close(torch.stack(losses), golden[f"{optimizer}.losses"], TRACE)


@pytest.mark.parametrize("case", PADDED)
@torch.no_grad()
def test_padded_batches(case: str, model: Any) -> None:
    golden = vectors(case)
    for side in ("leftpad", "rightpad"):
        inputs = {
            key: golden[f"{side}.{key}"]
            for key in ("input_ids", "attention_mask", "position_ids", "labels")
            if f"{side}.{key}" in golden
        }
        output = model(**inputs)
        seen = golden[f"{side}.attention_mask"].bool()
        close(output.logits[seen], golden[f"{side}.logits"][seen], logit_tolerance(case))
        if side == "rightpad":
            close(output.loss, golden["rightpad.loss"], LOSS)


@pytest.mark.parametrize("case", PADDED)
@torch.no_grad()
def test_embeddings_handed_in_are_not_scaled(case: str, model: Any) -> None:
    golden = vectors(case)
    embeddings = model.model.embed_tokens(golden["plain.input_ids"][:1, :12])
    close(model(inputs_embeds=embeddings).logits, golden["inputs_embeds.logits"], logit_tolerance(case))


@torch.no_grad()
@pytest.mark.parametrize("case", LONG)
def test_shorter_inputs(case: str, model: Any) -> None:
    golden = vectors(case)
    lengths = [name.split(".")[0] for name in golden if name.startswith("len") and name.endswith(".logits")]
    assert lengths
    model(input_ids=golden["plain.input_ids"])  # a long input before must leave no trace
    for length in lengths:
        logits = model(input_ids=golden[f"{length}.input_ids"]).logits
        close(logits, golden[f"{length}.logits"], logit_tolerance(case))


@pytest.mark.parametrize(
    ("case", "prompt"), [*((case, "gen") for case in CASES), *((case, "genpad") for case in PADDED)]
)
def test_greedy_generation(case: str, model: Any, prompt: str) -> None:
    golden = vectors(case)
    ids = golden[f"{prompt}.prompt_ids"]
    output = model.generate(
        ids,
        attention_mask=golden.get(f"{prompt}.attention_mask", torch.ones_like(ids)),
        max_new_tokens=20,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    assert torch.equal(output.sequences, golden[f"{prompt}.sequences"])
    steps = torch.stack(output.logits)
    close(steps[:, 0] if prompt == "gen" else steps, golden[f"{prompt}.step_logits"], STEP)


@torch.no_grad()
@pytest.mark.parametrize("case", PADDED)
def test_bfloat16_is_within_its_noise(case: str, golden_model: Folder) -> None:
    model = load_model(golden_model(case), dtype="bf16", device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    golden = vectors(case)
    exact = golden["plain.logits"][:1]
    noise = max((golden[f"bf16.logits_{kind}"] - exact).abs().max() for kind in ("eager", "sdpa"))
    logits = model(input_ids=golden["plain.input_ids"][:1]).logits
    assert logits.dtype == torch.float32
    assert (logits - exact).abs().max() <= 1.5 * noise


@torch.no_grad()
def test_folded_into_llama(golden_model: Folder) -> None:
    golden = vectors("llama_fold")
    model = load_model(golden_model("llama_fold"), dtype="float32", device="cpu")
    close(model(input_ids=golden["input_ids"]).logits, golden["minicpm.logits"], 2e-5)
    config = AutoConfig.for_model("llama").from_json_file(GOLDEN / "llama_fold" / "llama_config.json")
    llama = LlamaForCausalLM(config).eval()
    llama.load_state_dict(load_file(GOLDEN / "llama_fold" / "llama_weights.safetensors"))
    close(llama(input_ids=golden["input_ids"]).logits, golden["llama.logits"], 2e-5)
    close(llama(input_ids=golden["input_ids"]).logits, model(input_ids=golden["input_ids"]).logits, 2e-5)


def test_published_defaults() -> None:
    config = MiniCPMConfig()
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (32000, 4096, 32)
    assert config.tie_word_embeddings and config.num_key_value_heads == 32
    assert (config.scale_emb, config.scale_depth, config.dim_model_base) == (1, 1, 1)
    assert config.rope_parameters == {"rope_theta": 10000.0, "rope_type": "default"}
