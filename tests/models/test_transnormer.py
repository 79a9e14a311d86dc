"""Every number that the published TransNormerLLM code produced, and what that code gets wrong, right."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig

from tunesmith.errors import ModelError
from tunesmith.models.family import family_of
from tunesmith.models.load import load_model
from tunesmith.models.segments import packing_of
from tunesmith.models.transnormer import FAMILY, FEATURE_MAPS, TransnormerForCausalLM
from tunesmith.models.transnormer_config import TransnormerConfig
from tunesmith.ops.loss import label_loss

GOLDEN = Path(__file__).parents[1] / "golden" / "transnormer"
CASES = ("base", "long", "padded", "variants", "packed")
GENERATED = ("base", "long", "padded", "variants")
RELATIVE, LOSS, NORM, GRADIENT, TRACE = 5e-5, 2e-5, 2e-4, 5e-4, 5e-5
GREEDY = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}


@cache
def tensors(case: str) -> dict[str, Tensor]:
    """The recorded tensors of a case."""
    return load_file(GOLDEN / case / "golden.safetensors")


@cache
def numbers(case: str) -> dict[str, Any]:
    """The recorded scalars of a case."""
    return json.loads((GOLDEN / case / "golden.json").read_text())


def build(case: str) -> Any:
    return load_model(GOLDEN / case, dtype="float32", device="cpu")


def batch(case: str) -> dict[str, Tensor]:
    """The training batch; a packed row's mask numbers its documents."""
    golden = tensors(case)
    mask = golden["segment_ids"] + 1 if case == "packed" else golden["attention_mask"]
    return {"input_ids": golden["input_ids"], "attention_mask": mask}


def relative(actual: Tensor, expected: Tensor, where: Tensor, least: float = 0.0) -> float:
    return float((actual - expected)[where].abs().max()) / max(least, float(expected[where].abs().max()))


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("case", CASES)
def test_logits_hidden_states_and_loss(case: str, training: bool) -> None:
    golden, model, inputs = tensors(case), build(case).train(training), batch(case)
    with torch.no_grad():
        output = model(**inputs, labels=golden["labels"], output_hidden_states=True)
    real = inputs["attention_mask"] != 0
    assert relative(output.logits, golden["logits"], real, least=1.0) <= RELATIVE
    assert len(output.hidden_states) == model.config.decoder_layers + 1
    for number, hidden in enumerate(output.hidden_states):
        assert relative(hidden, golden[f"hidden_states.{number}"], real) <= RELATIVE
    assert abs(float(output.loss) - numbers(case)["loss"]) <= LOSS


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("ours", [False, True], ids=["its loss", "label loss"])
@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str, ours: bool, checkpointing: bool) -> None:
    golden, model, inputs = tensors(case), build(case).train(), batch(case)
    if checkpointing:
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    labels = golden["labels"]
    if ours:
        head = FAMILY.head(model)
        assert head is not None
        loss = label_loss(model.model(**inputs)[0], labels, head, list(model.lm_head.parameters()))
        loss = loss / (labels[:, 1:] != -100).sum()
    else:
        loss = model(**inputs, labels=labels).loss
    loss.backward()
    norms, parameters = numbers(case)["grad_norms"], dict(model.named_parameters())
    assert set(norms) == set(parameters)
    for name, norm in norms.items():
        gradient = parameters[name].grad
        assert gradient is not None and abs(float(gradient.norm()) - norm) <= NORM * norm, name
        if f"grad.{name}" in golden:
            expected = golden[f"grad.{name}"]
            assert (gradient - expected).norm() <= GRADIENT * expected.norm(), name


@pytest.mark.parametrize("case", [case for case in CASES if "adamw_losses" in numbers(case)])
def test_training_trace(case: str) -> None:
    model, inputs, recorded = build(case).train(), batch(case), numbers(case)
    options = {name: recorded["adamw"][name] for name in ("lr", "betas", "eps", "weight_decay")}
    learner = torch.optim.AdamW(model.parameters(), **options)
    for expected in recorded["adamw_losses"]:
        loss = model(**inputs, labels=tensors(case)["labels"]).loss
        assert abs(float(loss.detach()) - expected) <= TRACE
        learner.zero_grad()
        loss.backward()
        learner.step()


@pytest.mark.parametrize("case", GENERATED)
def test_generation_and_states_several_times_on_one_object(case: str) -> None:
    golden, model = tensors(case), build(case)
    inputs = {"input_ids": golden["gen_input_ids"], "attention_mask": golden["gen_attention_mask"]}
    for _ in range(2):
        output = model.generate(**inputs, **GREEDY, max_new_tokens=20, output_logits=True, return_dict_in_generate=True)
        assert torch.equal(output.sequences, golden["gen_output_ids"])
        everything = torch.ones_like(golden["gen_step_logits"], dtype=torch.bool)
        assert relative(torch.stack(output.logits), golden["gen_step_logits"], everything, least=1.0) <= RELATIVE
    with torch.no_grad():
        states = model(**inputs, use_cache=True).past_key_values.states
    for layer, state in enumerate(states):
        expected = golden[f"prefill_state.{layer}"]
        assert relative(state, expected, torch.ones_like(expected, dtype=torch.bool)) <= RELATIVE


@torch.no_grad()
def test_left_padding_is_right_padding() -> None:
    golden, model = tensors("padded"), build("padded")
    left = model(input_ids=golden["left_input_ids"], attention_mask=golden["left_attention_mask"].bool()).logits
    for row in range(len(left)):
        found = left[row, golden["left_attention_mask"][row] != 0]
        expected = golden["logits"][row, golden["attention_mask"][row] != 0]
        torch.testing.assert_close(found, expected, atol=5e-5, rtol=0)


def test_right_padded_generation_is_that_of_the_rows_alone() -> None:
    """The published code decays the state over the padding and reads the first token from it."""
    model, ids = build("padded"), tensors("padded")["gen_input_ids"]
    mask = tensors("padded")["gen_attention_mask"]
    prompts = [row[keep != 0] for row, keep in zip(ids, mask, strict=True)]
    right = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        right[row, : len(prompt)] = prompt
    together = model.generate(right, attention_mask=mask.flip(1), max_new_tokens=12, **GREEDY)
    uncached = model.generate(right, attention_mask=mask.flip(1), max_new_tokens=12, use_cache=False, **GREEDY)
    for row, prompt in enumerate(prompts):
        alone = model.generate(prompt[None], max_new_tokens=12, **GREEDY)[0, len(prompt) :]
        assert torch.equal(together[row, ids.shape[1] :], alone)
        assert torch.equal(uncached[row, ids.shape[1] :], alone)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1, 2), (7, 300), (256, 512), (599,)])
def test_a_prompt_in_several_chunks(cuts: tuple[int, ...]) -> None:
    golden, model = tensors("long"), build("long")
    ids, cache, logits = golden["input_ids"], None, []
    for chunk in ids.tensor_split(cuts, dim=1):
        output = model(input_ids=chunk, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        logits.append(output.logits)
    torch.testing.assert_close(torch.cat(logits, dim=1), golden["logits"], atol=5e-5, rtol=0)
    assert cache.get_seq_length() == ids.shape[1]


def test_chunked_prefill_and_continued_conversations() -> None:
    model, ids = build("long"), tensors("long")["gen_input_ids"]
    expected = model.generate(ids, max_new_tokens=8, **GREEDY)
    chunks = model.generate(ids, max_new_tokens=8, prefill_chunk_size=100, **GREEDY)
    assert torch.equal(chunks, expected)
    first = model.generate(ids[:, :200], max_new_tokens=1, return_dict_in_generate=True, **GREEDY)
    cache = first.past_key_values
    assert cache.get_seq_length() == 200
    assert torch.equal(model.generate(ids, past_key_values=cache, max_new_tokens=8, **GREEDY), expected)


def test_beams_of_one_token_paths_are_scored_as_the_whole_text() -> None:
    model, ids = build("base"), tensors("base")["gen_input_ids"]
    options = {**GREEDY, "num_beams": 4, "max_new_tokens": 6}
    cached = model.generate(ids, **options)
    assert torch.equal(cached, model.generate(ids, **options, use_cache=False))
    several = model.generate(ids, **options, num_return_sequences=3)
    assert torch.equal(several[::3], cached)


@torch.no_grad()
def test_embeddings_instead_of_ids() -> None:
    golden, model = tensors("base"), build("base")
    scaled = model.get_input_embeddings()(golden["input_ids"]) * model.config.decoder_embed_dim**0.5
    found = model(inputs_embeds=scaled, attention_mask=golden["attention_mask"]).logits
    torch.testing.assert_close(found, golden["logits"], atol=5e-5, rtol=0)
    prompt = golden["gen_input_ids"]
    start = model.get_input_embeddings()(prompt) * model.config.decoder_embed_dim**0.5
    made = model.generate(inputs_embeds=start, attention_mask=golden["gen_attention_mask"], max_new_tokens=20, **GREEDY)
    assert torch.equal(made, golden["gen_output_ids"][:, prompt.shape[1] :])


@pytest.mark.parametrize("both", [False, True])
def test_ids_or_embeddings(both: bool) -> None:
    model = build("base")
    inputs = {"input_ids": torch.ones(1, 2, dtype=torch.int64), "inputs_embeds": torch.ones(1, 2, 64)} if both else {}
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model(**inputs)
    with pytest.raises(ValueError, match="attention_mask must be"):
        model(input_ids=torch.ones(1, 4, dtype=torch.int64), attention_mask=torch.ones(1, 3))


def test_packed_rows_are_proven_apart() -> None:
    model = build("variants")
    assert not isinstance(packing_of(model), str)


def test_packed_loss_and_gradients_are_those_of_the_documents() -> None:
    golden, model = tensors("packed"), build("packed").train()
    ids, labels, borders = golden["input_ids"], golden["labels"], golden["cu_seqlens"].tolist()
    alone = torch.zeros(())
    for start, end in pairwise(borders):
        piece = slice(start, end)
        alone = alone + model(input_ids=ids[:, piece], labels=labels[:, piece], num_items_in_batch=1).loss
    expected = torch.autograd.grad(alone, list(model.parameters()))
    inputs = batch("packed")
    for positions in (None, golden["position_ids"]):
        loss = model(**inputs, position_ids=positions, labels=labels, num_items_in_batch=1).loss
        torch.testing.assert_close(loss, alone)
        for found, wanted in zip(torch.autograd.grad(loss, list(model.parameters())), expected, strict=True):
            assert (found - wanted).norm() <= 1e-4 * wanted.norm()


@torch.no_grad()
def test_bfloat16_without_a_kernel() -> None:
    golden, model = tensors("long"), build("long").to(torch.bfloat16)
    logits = model(input_ids=golden["input_ids"]).logits
    assert logits.dtype == torch.float32
    assert (logits - golden["logits"]).abs().mean() <= 0.02


def test_as_published() -> None:
    """No model_type, remote code named, no output matrix: recognised, built, tied, without any of that code."""
    config = json.loads((GOLDEN / "base" / "config.json").read_text())
    assert "model_type" not in config and "auto_map" in config
    assert family_of(config, GOLDEN / "base") is FAMILY
    model = build("base")
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert not FAMILY.recognises({"model_type": "llama", "architectures": ["TransnormerForCausalLM"]})


@pytest.mark.parametrize(
    ("layers", "heads", "width", "glu", "parameters"),
    [(24, 8, 1024, 2816, 398_984_192), (16, 16, 2048, 5632, 1_020_266_496), (30, 32, 4096, 11008, 6_836_719_616)],
    ids=["385M", "1B", "7B"],
)
def test_published_sizes(layers: int, heads: int, width: int, glu: int, parameters: int) -> None:
    config = TransnormerConfig(
        decoder_layers=layers,
        decoder_attention_heads=heads,
        decoder_embed_dim=width,
        hidden_dim=width,
        glu_dim=glu,
    )
    with torch.device("meta"):
        model = TransnormerForCausalLM(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_saved_folders_need_no_inference(tmp_path: Path) -> None:
    model = build("base")
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "transnormer"
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    golden = tensors("base")
    with torch.no_grad():
        assert torch.equal(again(**batch("base")).logits, model(**batch("base")).logits)
    assert set(golden)


def test_the_15b_model_is_refused(tmp_path: Path) -> None:
    config = json.loads((GOLDEN / "base" / "config.json").read_text()) | {"gate_dim": 16}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((GOLDEN / "base" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="TransNormerLLM3"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", [*FEATURE_MAPS, "none"])
def test_feature_maps(name: str) -> None:
    """Each is its published formula, and the block form and the decoding agree on a model that uses it."""
    config = TransnormerConfig(
        vocab_size=50, decoder_embed_dim=16, hidden_dim=16, glu_dim=24, decoder_layers=2, decoder_attention_heads=2
    )
    config.linear_act_fun = name
    model = TransnormerForCausalLM(config).eval()
    ids = torch.randint(3, 50, (2, 9))
    output = model.generate(ids, max_new_tokens=4, output_logits=True, return_dict_in_generate=True, **GREEDY)
    with torch.no_grad():
        full = model(input_ids=output.sequences).logits[:, 8:-1]
    torch.testing.assert_close(torch.stack(output.logits, dim=1), full, atol=1e-5, rtol=1e-4)
    x = torch.linspace(-2, 2, 7)
    formulas = {
        "1+elu": torch.where(x > 0, 1 + x, x.exp()),
        "2+elu": torch.where(x > 0, 2 + x, 1 + x.exp()),
        "sine": x.sin(),
        "swish": x * x.sigmoid(),
        "leak": torch.where(x > 0, x, 0.01 * x),
        "exp": (x - 2).exp(),
        "none": x,
    }
    if name in formulas:
        torch.testing.assert_close(model.model.layers[0].token_mixer.act(x), formulas[name])


@pytest.mark.parametrize("norm_type", ["simplermsnorm", "layernorm"])
def test_norms(norm_type: str) -> None:
    config = TransnormerConfig(
        vocab_size=50, decoder_embed_dim=16, hidden_dim=16, glu_dim=-1, decoder_layers=1, decoder_attention_heads=2
    )
    config.norm_type = norm_type
    model = TransnormerForCausalLM(config)
    learned = [name for name, _ in model.named_parameters() if "norm" in name]
    assert bool(learned) == (norm_type == "layernorm")
    logits = model.to(torch.bfloat16)(input_ids=torch.randint(3, 50, (1, 5))).logits
    assert torch.isfinite(logits).all()


def test_generation_config_of_the_published_folder() -> None:
    model = build("base")
    assert isinstance(model.generation_config, GenerationConfig)
    assert (model.generation_config.pad_token_id, model.generation_config.eos_token_id) == (0, 2)
