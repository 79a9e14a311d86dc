"""Which files of a model are needed, and what a whole file is."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tunesmith.errors import ModelError
from tunesmith.hub import Choice, Listing, RemoteFile, choose, similar

SMALL = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "LICENSE",
)
CODE = ("modeling_minicpm.py", "configuration_minicpm.py", "resampler.py")


def _choice(*names: str) -> Choice:
    return choose(Listing("owner/model", "main", "0" * 40, tuple(RemoteFile(name, 1) for name in names)))


@pytest.mark.parametrize(
    ("weights", "others"),
    [
        (["model.safetensors"], ["pytorch_model.bin"]),
        (["pytorch_model.bin"], []),
        (
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"],
            ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json", "consolidated.safetensors"],
        ),
        (["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"], ["training_args.pt"]),
        (["model.safetensors"], ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]),
        (["model.safetensors", "adapter_model.bin"], []),
        (["adapter_model.safetensors", "trained_parts.safetensors"], ["adapter_model.bin", "optimizer.pt"]),
    ],
    ids=["safetensors", "torch", "shards", "torch shards", "one file before shards", "both", "adapter"],
)
def test_one_copy_of_the_weights(weights: list[str], others: list[str]) -> None:
    choice = _choice(*SMALL, *CODE, *weights, *others)
    assert {file.path for file in choice.needed} == {*SMALL, *weights}
    assert choice.left_out.get("other copies of the weights", []) == others
    assert choice.left_out["code, which is never run"] == list(CODE)
    assert choice.size == len(SMALL) + len(weights)


def test_every_file_left_out_has_a_reason() -> None:
    names = (
        "onnx/model.onnx",
        "../model.safetensors",
        "assets\\x.png",
        "figure.PNG",
        "model-q4.gguf",
        "notes.pdf",
        ".git",
    )
    choice = _choice("config.json", "model.safetensors", *names)
    assert {file.path for file in choice.needed} == {"config.json", "model.safetensors"}
    assert choice.left_out == {
        "in sub-folders": ["onnx/model.onnx", "../model.safetensors", "assets\\x.png"],
        "pictures and films": ["figure.PNG"],
        "weights for other programs": ["model-q4.gguf"],
        "not read by tunesmith": ["notes.pdf"],
    }


def test_what_is_no_model() -> None:
    with pytest.raises(ModelError, match=r"no config.json.*; it holds a.gguf"):
        _choice("README.md", "a.gguf")
    with pytest.raises(ModelError, match=r"no weights that can be read.*; it holds 1.bin, 2.bin, 3.bin \.\.\."):
        _choice("config.json", "1.bin", "2.bin", "3.bin", "4.bin")


@pytest.mark.parametrize("content", [b"", b"some bytes", b"x" * 3_000_000], ids=["empty", "small", "large"])
def test_digests(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    git = subprocess.run(["git", "hash-object", str(path)], capture_output=True, text=True, check=True).stdout.strip()
    for digest in (git, hashlib.sha256(content).hexdigest(), ""):
        read: list[int] = []
        assert RemoteFile("file", len(content), digest).is_whole(path, read.append)
        assert sum(read) == (len(content) if digest else 0)
    assert not RemoteFile("file", len(content) + 1).is_whole(path)
    assert not RemoteFile("file", len(content), "0" * 64).is_whole(path)
    assert not RemoteFile("file", len(content), "0" * 40).is_whole(path)
    assert not RemoteFile("file", 0).is_whole(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("openbmb/MiniCPM-2B-stf-bf16", " Did you mean 'openbmb/MiniCPM-2B-sft-bf16'?"),
        ("MiniCPM-V-2", " Did you mean 'openbmb/MiniCPM-V-2'?"),
        ("openbmb/minicpm4-0.5b", " Did you mean 'openbmb/MiniCPM4-0.5B'?"),
        ("openbmb/MiniCPM4-8B", ""),
        ("someone/something", ""),
    ],
)
def test_similar_names(name: str, hint: str) -> None:
    assert similar(name) == hint
