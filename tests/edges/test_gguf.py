"""GGUF files are written and read back; without the library the message says what to install."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.edges import gguf
from tunesmith.errors import MachineError

np = pytest.importorskip("numpy")
library = pytest.importorskip("gguf")

SHAPES = {"token_embd.weight": (6, 64), "blk.0.ffn_up.weight": (5, 64), "blk.0.odd.weight": (5, 3), "n.weight": (64,)}
DATA = {"a.number": 3, "a.part": 0.5, "a.yes": True, "a.words": ["x", "", "你"], "a.types": [1, 6], "a.text": "t"}


def kinds_in(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (tensor, kind) of a file."""
    for tensor in library.GGUFReader(str(path)).tensors:
        yield tensor.name, tensor.tensor_type.name


@pytest.mark.parametrize(
    ("kind", "kinds", "error"),
    [
        ("F32", ("F32", "F32", "F32"), 0),
        ("BF16", ("BF16", "BF16", "BF16"), 2**-8),
        ("Q8_0", ("Q8_0", "Q8_0", "BF16"), 0.02),
        ("Q4_0", ("Q8_0", "Q4_0", "BF16"), 0.3),
    ],
)
def test_what_is_written_is_read(kind: str, kinds: tuple[str, ...], error: float, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tensors = {name: random.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    told: list[int] = []
    gguf.write_file(tmp_path / "x.gguf", gguf.Content("minicpm", DATA, SHAPES, tensors.__getitem__), kind, told.append)
    found = gguf.read_file(tmp_path / "x.gguf")
    assert found.architecture == "minicpm" and found.shapes == SHAPES
    assert {key: found.metadata[key] for key in DATA} == DATA
    assert tuple(dict(kinds_in(tmp_path / "x.gguf")).values()) == (*kinds, "F32")
    for name, tensor in tensors.items():
        assert found.get(name).dtype == np.float32
        assert np.abs(found.get(name) - tensor).max() <= error * np.abs(tensor).max(), name
    assert len(told) == len(SHAPES) and sum(told) < (tmp_path / "x.gguf").stat().st_size


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MachineError, match=r"pip install 'tunesmith\[gguf\]'"):
        gguf.library()
