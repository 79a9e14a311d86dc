"""gguf: read back by its own library: tensors, metadata, tokenizer; every number format; and llama.cpp where it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.edges import gguf as edge
from tunesmith.errors import ConfigError, MachineError
from tunesmith.export import run
from tunesmith.export.merge import merge, published_tensors
from tunesmith.export.run import export
from tunesmith.export.source import Settings, Source, Task
from tunesmith.export.targets import gguf
from tunesmith.models.load import Place, load, text_tokenizer

library = pytest.importorskip("gguf")
pytestmark = pytest.mark.usefixtures("here")
Finished = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["lora", "head", "llama"])
def test_file_holds_the_model(kind: str, finished: Finished, tmp_path: Path) -> None:
    made, report = export(finished(kind), "gguf", tmp_path / "out", Settings(quant="f32"))
    assert report["check"]["max_logit_difference"] < 1e-4 and report["check"]["changed_answers"] == 0
    content = edge.read_file(made / gguf.FILE)
    loaded = load(finished(kind), dtype="float32", device="cpu")
    tensors = published_tensors(merge(loaded.model))
    assert len(content.shapes) == len(tensors) and ("output.weight" in content.shapes) == (kind != "lora")
    down = torch.from_numpy(content.get("blk.1.ffn_down.weight"))
    assert torch.equal(down, tensors["model.layers.1.mlp.down_proj.weight"])
    config, data = loaded.model.config, content.metadata
    heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    rows = torch.from_numpy(content.get("blk.0.attn_q.weight"))
    query = tensors["model.layers.0.self_attn.q_proj.weight"]
    assert torch.equal(rows[0::2][: size // 2], query[: size // 2])  # neighbours in llama.cpp are halves here
    assert torch.equal(rows[1::2][: size // 2], query[size // 2 : size])
    assert data[f"{content.architecture}.attention.head_count"] == heads
    if kind != "llama":
        scales = [data[f"minicpm.{name}"] for name in ("embedding_scale", "residual_scale", "logit_scale")]
        assert scales == pytest.approx([12.0, 1.4 / math.sqrt(4), 3.0])
    assert data["tokenizer.chat_template"] == text_tokenizer(loaded.tokenizer).chat_template
    assert data["tokenizer.ggml.tokens"][2] == "</s>" and data["tokenizer.ggml.eos_token_id"] == 2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "transnormer"}, "a dense MiniCPM, a Granite and a Llama"),
        ({"model_type": "minicpm", "num_experts": 8}, "mixture of experts"),
        ({"model_type": "granite"}, ""),
    ],
    ids=["other", "experts", "granite"],
)
def test_models_that_llama_cpp_has_no_place_for(config: dict[str, Any], said: str) -> None:
    found = gguf.refusal(Source("x", Place(Path("x")), None, config))
    assert said in found and bool(found) == bool(said)


@pytest.mark.parametrize(
    ("quant", "kinds", "least"),
    [("bf16", {"F32", "BF16"}, 1e-5), ("q8_0", {"F32", "Q8_0"}, 1e-4), ("Q4_0", {"F32", "Q4_0", "Q8_0"}, 1e-3)],
)
def test_number_formats(quant: str, kinds: set[str], least: float, finished: Finished, tmp_path: Path) -> None:
    made, report = export(finished("lora"), "gguf", tmp_path / "out", Settings(quant=quant))
    assert {one.tensor_type.name for one in library.GGUFReader(str(made / gguf.FILE)).tensors} == kinds
    assert least < report["check"]["relative_difference"] < report["check"]["bound"]


def test_wrong_turn_of_the_rows_is_seen(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Query rows that are left as they are give another model: the reading, by the metadata, must notice."""
    turned = gguf._turned
    monkeypatch.setattr(
        gguf, "_turned", lambda tensor, heads, back=False: turned(tensor, heads if back else None, back)
    )
    with pytest.raises(run.RoundTripError, match="the logits of row 0 differ"):
        export(finished("lora"), "gguf", tmp_path / "out", Settings(quant="f32"))


def test_what_is_refused(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for kind, quant, error, wanted in (
        ("vision", "f32", ConfigError, "the projector"),
        ("transnormer", "f32", ConfigError, "cannot become 'gguf'"),
        ("lora", "q2", ConfigError, "--quant q2: known are f32, bf16, q8_0, q4_0"),
        ("lora", "q4_k_m", MachineError, "'llama-quantize' is not on the PATH"),
    ):
        with pytest.raises(error, match=wanted):
            export(finished(kind), "gguf", tmp_path / "out", Settings(quant=quant))
    assert not list(tmp_path.iterdir())


def test_the_tool_of_llama_cpp_is_called(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the tool, which copies: what it is told, and what becomes of a failure."""
    tool = tmp_path / "bin" / "llama-quantize"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\n[ "$3" = Q4_K_M ] && cp "$1" "$2" || { echo "no $3" >&2; exit 1; }\n', encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    made, _ = export(finished("lora"), "gguf", tmp_path / "out", Settings(quant="q4_k_m"))
    assert [file.name for file in made.glob("*.gguf")] == [gguf.FILE]
    with pytest.raises(MachineError, match="llama-quantize failed: no Q6_K"):
        export(finished("lora"), "gguf", tmp_path / "other", Settings(quant="q6_k"))


@pytest.mark.parametrize(("kind", "quant"), [("lora", "f32"), ("lora", "q8_0"), ("llama", "f32")])
def test_llama_cpp_computes_the_same(kind: str, quant: str, finished: Finished, tmp_path: Path) -> None:
    """Where llama-cpp-python is installed, which it seldom is: it is built from source."""
    pytest.importorskip("llama_cpp")
    _, report = export(finished(kind), "gguf", tmp_path / "out", Settings(quant=quant))
    check = report["check"]["program"]
    assert check["by"].startswith("llama.cpp") and check["rows"] == 4 and check["answers"] == 4
    if quant == "f32":
        assert check["relative_difference"] < 1e-4 and check["changed_answers"] == 0


class Engine:
    """A stand-in for llama.cpp: reads the file as transformers does, and errs by `error`."""

    error = 0.0

    def __init__(self, file: Path, context: int) -> None:
        self.reading = gguf.read(Task(str(file.parent), "gguf", "", "float32", 0.0), "cpu")
        self.chat_template, self.encode = self.reading.chat_template, self.reading.encode

    def logits(self, ids: list[int]) -> Any:
        with torch.no_grad():
            return self.reading.model(input_ids=torch.tensor([ids])).logits[0].numpy() + self.error


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_what_llama_cpp_computes_counts(
    error: float, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf.llama_cpp, "version", lambda: "0")
    monkeypatch.setattr(gguf.llama_cpp, "Engine", Engine)
    monkeypatch.setattr(Engine, "error", error)
    if error:
        with pytest.raises(run.RoundTripError, match=r"llama\.cpp \(llama-cpp-python 0\): the logits of row 0 differ"):
            export(finished("lora"), "gguf", tmp_path / "out", Settings(quant="f32"))
        assert not list(tmp_path.iterdir())
    else:
        _, report = export(finished("lora"), "ollama", tmp_path / "out", Settings(quant="f32"))
        assert report["check"]["program"]["by"] == "llama.cpp (llama-cpp-python 0)"
        assert report["check"]["program"]["relative_difference"] < 1e-4
