"""What was trained in full beside an adapter: written, read, damaged; and the published trainer's pair of files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.errors import AdapterError
from tunesmith.models.load import load
from tunesmith.models.trained import FILE, PUBLISHED, stored_trained, trained_in_full, write_published
from tunesmith.models.weights import IDENTITY, write_adapter_identity
from tunesmith.tuning import lora

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
PARTS = {"vision": "full", "resampler": "full", "embeddings": "full"}
PREFIX = "base_model.model."
QUERY, TABLE = "resampler.query", "llm.model.embed_tokens.weight"

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


@torch.no_grad()
def logits(model: Any, batch: SimpleNamespace) -> Tensor:
    found: Tensor = model(**batch.inputs).logits[batch.real]
    return found


Saved = Callable[..., Any]


@pytest.fixture
def saved(seeing_folder: Path, tmp_path: Path) -> Saved:
    """Return a function that trains parts (at random), saves them into `tmp_path`/adapter and returns the model."""

    def make(dtype: torch.dtype = torch.float32, **options: str) -> Any:
        loaded = load(seeing_folder, dtype=dtype, device="cpu")
        model = lora.apply(loaded.model, loaded.family, lora.Config.model_validate(options)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter), alpha=0.02)
        (tmp_path / "adapter").mkdir()
        assert lora.save(model, tmp_path / "adapter") is True
        write_adapter_identity(tmp_path / "adapter", seeing_folder, str(seeing_folder))
        return model

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        PARTS,
        {"language": "frozen", "resampler": "full"},
        {"language": "full", "embeddings": "full", "vision": "lora"},
        {"vision": "lora"},
    ],
    ids=["recipe", "resampler alone", "language in full", "adapters alone"],
)
def test_all_that_was_trained_comes_back(
    options: dict[str, str], dtype: torch.dtype, saved: Saved, golden_batch: SimpleNamespace, tmp_path: Path
) -> None:
    model = saved(dtype, **options)
    loaded = load(tmp_path / "adapter", dtype=dtype, device="cpu").model
    there = dict(loaded.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(there[name], parameter) and there[name].dtype == parameter.dtype, name
    assert torch.equal(logits(loaded, golden_batch), logits(model, golden_batch))
    in_full = trained_in_full(model)
    assert set(stored_trained(tmp_path / "adapter")) == set(in_full)
    assert (tmp_path / "adapter" / FILE).is_file() == bool(in_full)
    kept = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all("lora_" in name for name in kept)


def test_no_digit_is_lost(saved: Saved, tmp_path: Path) -> None:
    """float32 parts stay so on a base in bfloat16, and files in bfloat16 do not make a float32 base coarse."""
    saved(**PARTS)
    there = dict(load(tmp_path / "adapter", dtype="bfloat16", device="cpu").model.get_base_model().named_parameters())
    assert there[QUERY].dtype == torch.float32 and there["llm.lm_head.weight"].dtype == torch.bfloat16
    tensors = load_file(tmp_path / "adapter" / FILE)
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, tmp_path / "adapter" / FILE)
    model = load(tmp_path / "adapter", dtype="float32", device="cpu").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(QUERY), f"{QUERY} is missing"),
        (lambda tensors: tensors.clear(), "and 4[0-9] more|and [0-9]+ more"),
        (lambda tensors: tensors.update({"resampler.more": torch.zeros(1)}), "resampler.more has no place"),
        (lambda tensors: tensors.update({QUERY: torch.zeros(2, 2)}), r"query is \[2, 2\] instead of"),
    ],
    ids=["one missing", "empty", "unknown", "shape"],
)
def test_files_that_do_not_fit(
    change: Callable[[dict[str, Tensor]], Any], said: str, saved: Saved, tmp_path: Path
) -> None:
    saved(**PARTS)
    tensors = load_file(tmp_path / "adapter" / FILE)
    change(tensors)
    save_file(tensors, tmp_path / "adapter" / FILE)
    with pytest.raises(AdapterError, match=said) as caught:
        load(tmp_path / "adapter")
    assert FILE in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_and_missing_files(saved: Saved, tmp_path: Path) -> None:
    saved(**PARTS)
    file = tmp_path / "adapter" / FILE
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdapterError, match="cut or damaged"):
        load(tmp_path / "adapter")
    file.unlink()
    with pytest.raises(AdapterError, match=f"{FILE}.*is missing"):
        load(tmp_path / "adapter")
    file.write_bytes(whole)
    assert load(tmp_path / "adapter") is not None
    (tmp_path / "adapter" / PUBLISHED).write_bytes(b"")
    with pytest.raises(AdapterError, match="holds both"):
        load(tmp_path / "adapter")


# --- the published pair ----------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The adapter that the published trainer wrote."""
    return Path(shutil.copytree(GOLDEN / "finetune_lora" / "adapter", tmp_path / "published"))


def test_published_pair_gives_the_published_logits(
    seeing_folder: Path, published: Path, golden_batch: SimpleNamespace
) -> None:
    expected = load_file(GOLDEN / "finetune_lora" / "train.safetensors")["logits_final"][golden_batch.real]
    model = load(seeing_folder, adapter=published, dtype="float32", device="cpu").model
    assert float((logits(model, golden_batch) - expected).abs().max()) < 2e-4
    file = published / "adapter_model.safetensors"
    torch.save(load_file(file), published / "adapter_model.bin")
    file.unlink()
    again = load(seeing_folder, adapter=published, dtype="float32", device="cpu").model
    assert torch.equal(logits(again, golden_batch), logits(model, golden_batch))


def test_published_pair_is_written_as_it_was_read(seeing_folder: Path, published: Path, tmp_path: Path) -> None:
    model = load(seeing_folder, adapter=published, dtype="float32", device="cpu").model
    write_published(model, published, tmp_path / "again")
    for name in (PUBLISHED, "adapter_model.safetensors"):
        read = load_file if name.endswith("safetensors") else lambda file: torch.load(file, weights_only=True)
        before, after = read(published / name), read(tmp_path / "again" / name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert not (tmp_path / "again" / FILE).exists()
    folder_mode = (tmp_path / "again").stat().st_mode
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "again").iterdir()} == {folder_mode & 0o666}


def test_our_adapter_in_the_published_layout(
    seeing_folder: Path, saved: Saved, golden_batch: SimpleNamespace, tmp_path: Path
) -> None:
    model = saved(embeddings="full", resampler="full")
    loaded = load(tmp_path / "adapter", dtype="float32", device="cpu").model
    write_published(loaded, tmp_path / "adapter", tmp_path / "pair")
    write_adapter_identity(tmp_path / "pair", seeing_folder, str(seeing_folder))
    held = torch.load(tmp_path / "pair" / PUBLISHED, weights_only=True)
    assert all(name.startswith(PREFIX) for name in held)
    assert {name.removeprefix(PREFIX).split(".")[0] for name in held} == {"vpm", "resampler", "llm"}
    assert torch.equal(
        logits(load(tmp_path / "pair", dtype="float32", device="cpu").model, golden_batch), logits(model, golden_batch)
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [({"vision": "lora"}, "vpm.*lora_A.* no place"), ({"language": "full", "vision": "lora"}, "llm.* no place")],
)
def test_what_the_published_layout_cannot_hold(
    options: dict[str, str], said: str, saved: Saved, tmp_path: Path
) -> None:
    saved(**options)
    model: Any = load(tmp_path / "adapter").model
    with pytest.raises(AdapterError, match=said):
        write_published(model, tmp_path / "adapter", tmp_path / "pair")
    assert not (tmp_path / "pair").exists()


def test_text_models_have_no_published_layout(adapter: Path, tmp_path: Path) -> None:
    model: Any = load(adapter).model
    with pytest.raises(AdapterError, match="another kind of model"):
        write_published(model, adapter, tmp_path / "pair")


def test_published_pair_that_is_not_whole(seeing_folder: Path, published: Path) -> None:
    """The published trainer's last save writes an empty file, and its own reader does not notice."""
    tensors = torch.load(published / PUBLISHED, weights_only=True)
    del tensors[f"{PREFIX}{TABLE}"]
    torch.save(tensors, published / PUBLISHED)
    with pytest.raises(AdapterError, match=f"{TABLE} is missing"):
        load(seeing_folder, adapter=published)
    torch.save({}, published / PUBLISHED)
    with pytest.raises(AdapterError, match="last step"):
        load(seeing_folder, adapter=published)
    (published / PUBLISHED).write_bytes(b"no tensors")
    with pytest.raises(AdapterError, match="plain tensors"):
        load(seeing_folder, adapter=published)


def test_later_published_layout(seeing_folder: Path, golden_batch: SimpleNamespace, tmp_path: Path) -> None:
    """Since July 2024 the published trainer lets PEFT copy what it trains in full (modules_to_save): one file for all."""
    from peft import LoraConfig, get_peft_model

    targets = r"llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj)"
    settings = LoraConfig(r=4, target_modules=targets, modules_to_save=["embed_tokens", "resampler", "vpm"])
    model: Any = get_peft_model(load(seeing_folder, dtype="float32", device="cpu").model, settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
    model.save_pretrained(tmp_path / "later")
    loaded: Any = load(seeing_folder, adapter=tmp_path / "later", dtype="float32", device="cpu").model
    assert torch.equal(logits(loaded, golden_batch), logits(model, golden_batch))
    with pytest.raises(AdapterError, match="modules_to_save.* no place"):
        write_published(loaded, tmp_path / "later", tmp_path / "pair")


def test_pissa_beside_parts_in_full(seeing_folder: Path, golden_batch: SimpleNamespace, tmp_path: Path) -> None:
    """PiSSA's adapter is rewritten for the original base; the other parts are saved as they are."""
    base, _, family = load(seeing_folder, dtype="float32", device="cpu")
    model: Any = lora.apply(base, family, lora.Config.model_validate({**PARTS, "rank": 4, "init": "pissa"})).eval()
    lora.prepare(model, tmp_path)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
    (tmp_path / "adapter").mkdir()
    assert lora.save(model, tmp_path / "adapter") is False
    write_adapter_identity(tmp_path / "adapter", seeing_folder, str(seeing_folder))
    loaded = load(tmp_path / "adapter", dtype="float32", device="cpu").model
    torch.testing.assert_close(logits(loaded, golden_batch), logits(model, golden_batch), atol=5e-5, rtol=0)
    assert all(
        torch.equal(tensor, loaded.get_base_model().get_parameter(name))
        for name, tensor in trained_in_full(model).items()
    )


def test_list_is_kept_beside_the_base(saved: Saved, tmp_path: Path) -> None:
    saved(**PARTS)
    listed = json.loads((tmp_path / "adapter" / IDENTITY).read_text(encoding="utf-8"))["trained_parts"]
    assert listed[QUERY] and set(listed) == set(load_file(tmp_path / "adapter" / FILE))
