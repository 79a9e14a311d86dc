"""Compiled layers compute what plain ones do: losses and gradients, for any length, with all that goes on around them.

One model goes through the C++ compiler, if there is one; all go through everything before it (backend "aot_eager"): what is traced,
and the graphs of the forward and the backward pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.config import read
from tunesmith.data.collate import collate
from tunesmith.data.types import Example
from tunesmith.errors import ConfigError
from tunesmith.models import auto
from tunesmith.models.load import load
from tunesmith.models.segments import packing_of
from tunesmith.models.tree import why_no_tree
from tunesmith.training import compiled
from tunesmith.training.compiled import FirstStep, compile_layer, compile_layers
from tunesmith.training.objective import Objective
from tunesmith.training.run import train
from tunesmith.training.settings import TrainConfig
from tunesmith.tuning import lora

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
    # torch of itself, while it compiles
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated:DeprecationWarning"),
]
Make = Callable[[str], Objective]


@pytest.fixture(autouse=True)
def _nothing_compiled_yet() -> Iterator[None]:
    """Forget what other tests compiled, and what was counted."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def make(tiny_model_folder: Path, seeing_folder: Path) -> Make:
    """Build a model of one layer, its adapters doing something."""

    def build(kind: str) -> Objective:
        torch.manual_seed(1)
        if kind == "llama":
            sizes = {"vocab_size": 260, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
            model, family = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2)), auto.FAMILY
        else:
            folder = {"minicpm": tiny_model_folder, "minicpmv": seeing_folder, "transnormer": "nano-transnormer"}[kind]
            model, _, family = load(folder, dtype=torch.float32, device="cpu")
        decoder = model.llm.model if kind == "minicpmv" else model.model
        decoder.layers = decoder.layers[:1]
        objective = Objective(lora.apply(model, family, lora.Config(rank=4)), family).train()
        with torch.no_grad():
            for name, parameter in objective.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(std=0.05)
        return objective

    return build


def padded(rows: int, tokens: int) -> dict[str, Any]:
    """A batch whose last row is shorter than the others."""
    ids, real = torch.randint(3, 250, (rows, tokens)), torch.ones(rows, tokens, dtype=torch.int64)
    real[-1, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": real, "labels": torch.where(real == 1, ids, -100)}


def packed(first: int, second: int) -> dict[str, Any]:
    """Two rows of two segments each."""
    ids, lengths = torch.randint(3, 250, (2, first + second)), torch.tensor([first, second])
    segments = torch.tensor([1, 2]).repeat_interleave(lengths).expand(2, -1)
    positions = torch.cat([torch.arange(first), torch.arange(second)]).expand(2, -1)
    return {"input_ids": ids, "attention_mask": segments, "labels": ids, "position_ids": positions}


def shared(common: int, *own: int) -> dict[str, Any]:
    """Rows that begin with the same tokens and go on with some of their own."""
    start = torch.randint(3, 250, (common,)).tolist()
    rows = [start + torch.randint(3, 250, (length,)).tolist() for length in own]
    batch: Any = collate([Example(row, row) for row in rows], 0, share=True)
    assert "tree" in batch
    return dict(batch)


def gradients(objective: Objective, batch: dict[str, Any]) -> tuple[float, dict[str, Tensor]]:
    """The loss, and the gradients of what learns."""
    objective.zero_grad()
    loss = objective(**batch)
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None}


def assert_same(objective: Objective, batches: list[dict[str, Any]], backend: str) -> None:
    """Compiled, each batch gives what it gave before."""
    plain = [gradients(objective, batch) for batch in batches]
    for layer in objective.inner.get_decoder().layers:
        compile_layer(layer, backend)
    for batch, (loss, expected) in zip(batches, plain, strict=True):
        found_loss, found = gradients(objective, batch)
        assert counters["stats"]["unique_graphs"] > 0
        assert found_loss == pytest.approx(loss, rel=1e-5)
        assert found.keys() == expected.keys() and len(found) >= 10
        for name, gradient in found.items():
            assert (gradient - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


def test_minicpm(make: Make) -> None:
    if (fault := compiled._fault(torch.device("cpu"))) is not None:
        pytest.skip(f"nothing can be compiled here: {fault}")
    torch._dynamo.reset()
    counters.clear()
    assert_same(make("minicpm"), [padded(3, 17), padded(2, 24), padded(4, 11)], "inductor")
    assert (
        counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]
    )  # one for all sizes, fused LoRA in it


def test_gradient_checkpointing_goes_around_it(make: Make) -> None:
    objective, calls = make("minicpm"), []
    objective.inner.gradient_checkpointing_enable({"use_reentrant": False})
    (layer,) = objective.inner.get_decoder().layers
    batch = padded(3, 17)
    expected = gradients(objective, batch)
    compile_layer(layer, lambda graph, _: lambda *inputs: calls.append(1) or graph(*inputs))
    found = gradients(objective, batch)
    assert found[0] == expected[0] and all(torch.equal(found[1][name], expected[1][name]) for name in expected[1])
    assert len(calls) == 2 and counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("kind", ["minicpm", "llama", "transnormer"])
def test_families(make: Make, kind: str) -> None:
    assert_same(make(kind), [padded(3, 17), padded(2, 24)], "aot_eager")


def test_a_model_that_sees(make: Make, golden_batch: SimpleNamespace) -> None:
    batch = {**golden_batch.inputs, "labels": golden_batch.labels}
    assert_same(make("minicpmv"), [batch], "aot_eager")


@pytest.mark.parametrize("kind", ["minicpm", "transnormer"])
def test_packed_rows(make: Make, kind: str) -> None:
    objective = make(kind)
    packing_of(objective.inner)
    assert_same(objective, [packed(9, 8), packed(4, 12)], "aot_eager")


@pytest.mark.parametrize("kind", ["minicpm", "transnormer"])
def test_rows_that_share_tokens(make: Make, kind: str) -> None:
    objective = make(kind)
    assert why_no_tree(objective.inner, 64) is None
    assert_same(objective, [shared(20, 5, 5, 9)], "aot_eager")


def test_without_gradients_nothing_is_compiled(make: Make) -> None:
    objective, batch = make("minicpm"), padded(2, 9)
    with torch.no_grad():
        expected = objective(**batch)
        for layer in objective.inner.get_decoder().layers:
            compile_layer(layer)
        assert torch.equal(objective(**batch), expected)
    assert not counters["stats"]


def test_no_compiler(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Tensor) -> Tensor:
        raise RuntimeError("no g++ here")

    monkeypatch.setattr(compiled, "_sum", broken)
    objective, said = make("minicpm"), []
    before = [layer.forward for layer in objective.inner.get_decoder().layers]
    assert not compile_layers(objective, torch.device("cpu"), said.append)
    assert said == [
        "training.compile: nothing can be compiled on this machine (no g++ here.), so the run goes on without."
    ]
    assert [layer.forward for layer in objective.inner.get_decoder().layers] == before


def test_a_model_without_layers() -> None:
    objective, said = SimpleNamespace(inner=SimpleNamespace(get_decoder=lambda: None)), []
    assert not compile_layers(objective, torch.device("cpu"), said.append)  # type: ignore[arg-type]
    assert said == ["training.compile: SimpleNamespace has no list of layers, so nothing is compiled."]


def test_a_run(tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(compiled, "compile_layer", partial(compile_layer, backend="eager"))
    monkeypatch.setattr(compiled, "_fault", lambda _: None)
    monkeypatch.setenv(compiled.CACHE, "somewhere")
    losses = {}
    for compiles in (False, True):
        training = {**tiny_config["training"], "steps": 3, "torch_compile": compiles}
        run = train({**tiny_config, "training": training, "output": str(tmp_path / str(compiles))}).folder
        losses[compiles] = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert losses[True] == pytest.approx(losses[False], rel=1e-5) and counters["stats"]["unique_graphs"] > 0
    said = " ".join(capfd.readouterr().err.split())
    assert (
        "training.compile: 2 layers are compiled in the first step" in said and "for later runs in somewhere." in said
    )
    assert "On a CPU compiling takes minutes" in said and said.count("The first step took") == 1


def test_where_compiled_code_is_kept(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_fault", lambda _: "not now")
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path))
    monkeypatch.setenv(compiled.CACHE, "")  # so that it is put back at the end
    monkeypatch.delenv(compiled.CACHE)
    compile_layers(make("llama"), torch.device("cpu"), lambda _: None)
    assert compiled.os.environ[compiled.CACHE] == str(tmp_path / "compiled")


def test_the_first_step_is_timed_once() -> None:
    said: list[str] = []
    watch = FirstStep(said.append)
    for _ in range(3):
        watch.on_step_begin(None, None, None)
        watch.on_step_end(None, None, None)
    assert said == ["The first step took 0 s, with compiling."]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"training": {"compile": True, "activation_offload": True}}, "take one of them"),
        ({"training": {"compile": True}, "distributed": {"engine": "fsdp"}}, "training.compile needs whole tensors"),
    ],
    ids=["offload", "fsdp"],
)
def test_what_it_does_not_go_with(more: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(TrainConfig, {"model": "x", "output": "y", "data": {"train": "z"}, **more})
