"""Merging: cat is the weighted sum, the result is an adapter like any other; what has no sum is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tunesmith.adapters import merge as module
from tunesmith.adapters.folder import Adapter
from tunesmith.adapters.merge import METHODS, Plan, merge
from tunesmith.errors import AdapterError, ConfigError, ModelError, RoundTripError
from tunesmith.models.load import load
from tunesmith.models.trained import FILE

Make = Callable[..., Path]


def edit(file: Path, **values: Any) -> None:
    """Change values of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **values}), "utf-8")


def delta(folder: Path, layer: str) -> torch.Tensor:
    """What an adapter adds to a layer; nothing where it does not act on it."""
    pair = Adapter.of(folder).pairs.get(layer)
    return torch.zeros(()) if pair is None else pair.scale * (pair.B @ pair.A)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_cat_is_the_weighted_sum(make: Make, tmp_path: Path) -> None:
    """Ranks, scales (rsLoRA in the first) and layers differ; the result is loaded by PEFT."""
    a, b = make("a", rslora=True), make("b", 2, rank=2, targets=["q_proj", "embed_tokens"])
    before = {file: file.read_bytes() for folder in (a, b) for file in folder.iterdir()}
    mask = os.umask(0o027)
    try:
        made = merge([str(a), str(b)], tmp_path / "out", Plan(weights=(0.75, -2.0)))
    finally:
        os.umask(mask)
    assert made.rank == 6 and made.apart < 1e-6 and {file: file.read_bytes() for file in before} == before
    assert {file.stat().st_mode & 0o777 for file in made.folder.iterdir()} == {0o640}
    model: Any = load(made.folder, device="cpu").model  # checks base and tensors
    layers = {*Adapter.of(a).pairs, *Adapter.of(b).pairs}
    assert set(Adapter.of(made.folder).pairs) == layers and "model.embed_tokens" in layers
    for layer in layers:
        added = 0.75 * delta(a, layer) - 2 * delta(b, layer)
        found = model.get_submodule(f"base_model.model.{layer}").get_delta_weight("default")
        assert torch.allclose(found, added.T if layer == "model.embed_tokens" else added, atol=1e-5), layer
    identity = json.loads((made.folder / "tunesmith.json").read_text("utf-8"))
    assert identity["merged_from"][1] == {"adapter": str(b), "weight": -2.0}
    assert not (made.folder / "README.md").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_an_adapter(method: str, make: Make, tmp_path: Path) -> None:
    a, b = make("a", targets=["q_proj"]), make("b", 2, targets=["q_proj"])
    plan = Plan(method, density=0.9)
    made = merge([str(a), str(b)], tmp_path / "out", plan)
    load(made.folder, device="cpu")
    assert made.rank == (8 if method == "cat" else 4) and (made.apart < 1e-6) == (method == "cat")
    again = merge([str(a), str(b)], tmp_path / "again", plan)
    weights = "adapter_model.safetensors"
    assert (again.folder / weights).read_bytes() == (made.folder / weights).read_bytes()  # dare draws from the seed


def test_svd_of_enough_rank_loses_nothing(make: Make, tmp_path: Path) -> None:
    names = [str(make("a")), str(make("b", 2))]
    assert merge(names, tmp_path / "out", Plan("svd", rank=8)).apart < 1e-5
    assert 0.01 < merge(names, tmp_path / "less", Plan("svd", rank=2)).apart < 1


def test_another_tokenizer_is_said(make: Make, tmp_path: Path) -> None:
    a, b = make("a"), make("b", 2)
    (b / "chat_template.jinja").write_text("x", "utf-8")
    made = merge([str(a), str(b)], tmp_path / "out", Plan())
    assert made.notes == [f"'{b}' has another chat_template.jinja than '{a}'; that of the first is kept."]
    assert not (made.folder / "chat_template.jinja").exists()


def test_a_wrong_sum_is_not_handed_over(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make("a"), make("b", 2)
    combine = module._combine

    def careless(base: Path, adapters: Any, weights: Any, plan: Plan, folder: Path) -> None:
        combine(base, adapters, [1.01 * weights[0], *weights[1:]], plan, folder)

    monkeypatch.setattr(module, "_combine", careless)
    with pytest.raises(RoundTripError, match="is not the weighted sum of its sources"):
        merge([str(a), str(b)], tmp_path / "out", Plan())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (Plan("sum"), "--method sum: known are cat, linear"),
        (Plan(weights=(1.0,)), "1 weights for 2 adapters"),
        (Plan(weights=(1.0, float("nan"))), "each must be a number other than 0"),
        (Plan(density=0.0), "--density 0.0"),
        (Plan(rank=4), "--rank goes with the methods that end in svd"),
    ],
    ids=["method", "count", "nan", "density", "rank"],
)
def test_settings_that_make_no_sense(plan: Plan, said: str, make: Make, tmp_path: Path) -> None:
    names = [str(make("a")), str(make("b", 2))]
    with pytest.raises(ConfigError, match=said):
        merge(names, tmp_path / "out", plan)
    with pytest.raises(ConfigError, match="Two or more"):
        merge(names[:1], tmp_path / "out", Plan())
    with pytest.raises(ConfigError, match="exists already"):
        merge(names, tmp_path / "a", Plan())


def test_adapters_that_have_no_sum(
    make: Make, other_base: Callable[..., Path], run_with: Callable[..., Path], tmp_path: Path
) -> None:
    a = str(make("a"))

    def refused(other: Path, said: str, method: str = "cat", error: type[Exception] = AdapterError) -> None:
        with pytest.raises(error, match=said):
            merge([a, str(other)], tmp_path / "out", Plan(method))

    refused(make("dora", dora=True), "is DoRA")
    refused(make("ranks", rank=2), r"all must have one rank \('.*a' 4, '.*ranks' 2\)", "linear")
    refused(make("base", base=other_base("model", change=True)), "Adapters of different bases cannot be merged")
    refused(make("regex", targets=r".*\.q_proj"), "PEFT merges no such mixture")
    refused(run_with("failed", make("f"), state="failed", reason="x."), "is marked as failed")
    refused(run_with("running", None, state="interrupted"), "has no result yet", error=ModelError)
    full = make("full")
    save_file({"model.norm.weight": torch.ones(64)}, full / FILE)
    refused(full, r"whole tensors of the model were trained \(model.norm.weight\)")
    quantised = make("quantised")
    edit(quantised / "tunesmith.json", quantisation={"bits": 4})
    refused(quantised, "trained on a quantised base and others not")
    few = make("few")
    edit(few / "adapter_config.json", target_modules=["q_proj"])  # the file holds more layers than PEFT will load
    refused(few, "does not fit its base")
    assert not (tmp_path / "out").exists()
