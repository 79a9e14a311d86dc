"""fla-core's kernel behind our signature: rows as sequences, and what it is not asked for. The kernel itself is not here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.edges.fla import FlaAttention, Sequences, load_kernel
from tunesmith.errors import MachineError
from tunesmith.ops.lightning import Decay, Layout, block_attention, naive_attention

RATES = torch.tensor([0.3, 0.02])
MASKS = {
    "plain": None,
    "padded": [[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]],
    "holes": [[1, 0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1, 1]],
    "packed": [[1, 1, 2, 2, 2, 3, 3], [1, 1, 1, 1, 1, 1, 1]],
    "packed, padded": [[0, 1, 0, 1, 2, 0, 2], [4, 4, 0, 0, 5, 6, 0]],
    "one token": [[1], [1]],
}


class Kernel:
    """The definition with the arguments of `chunk_simple_gla`: one sequence after the other, heads behind tokens."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, *qkv: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
        self.calls.append({"dtypes": [x.dtype for x in qkv], **options})
        assert options["scale"] == 1.0
        assert options["output_final_state"]
        decay, first, starts = Decay(-options["g_gamma"]), options["initial_state"], options["cu_seqlens"]
        if starts is None:
            output, last = naive_attention(*(x.transpose(1, 2) for x in qkv), decay, first)
            return output.transpose(1, 2).to(qkv[0].dtype), last
        assert all(len(x) == 1 for x in qkv)
        assert first is None or len(first) == len(starts) - 1
        found = []
        for number, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
            assert start < end
            state = None if first is None else first[number : number + 1]
            found.append(naive_attention(*(x[:, start:end].transpose(1, 2) for x in qkv), decay, state))
        output = torch.cat([output.transpose(1, 2) for output, _ in found], dim=1)
        return output.to(qkv[0].dtype), torch.cat([last for _, last in found])


def case(mask: list[list[int]] | None) -> tuple[list[Tensor], Layout | None, Tensor]:
    """Queries, keys and values, the layout, and where real tokens stand."""
    torch.manual_seed(0)
    tokens = 7 if mask is None else len(mask[0])
    mask_BT = torch.ones(2, tokens, dtype=torch.int64) if mask is None else torch.tensor(mask)
    qkv = [torch.randn(2, 2, tokens, size) for size in (6, 6, 4)]
    return qkv, None if mask is None else Layout.of(mask_BT), (mask_BT != 0)[:, None, :, None]


@pytest.mark.parametrize("continued", [False, True], ids=["from nothing", "after a state"])
@pytest.mark.parametrize("name", MASKS)
def test_it_is_the_block_form(name: str, continued: bool) -> None:
    qkv, layout, real = case(MASKS[name])
    kernel, asked = Kernel(), (torch.randn(qkv[2].shape) * real, torch.randn(2, 2, 6, 4))
    inputs = [*qkv, torch.randn(2, 2, 6, 4)] if continued else qkv
    found = []
    for attend in (FlaAttention(kernel, "cpu", torch.float32), block_attention):
        leaves = [x.clone().requires_grad_() for x in inputs]
        output, state = attend(*leaves[:3], Decay(RATES, layout), *leaves[3:])
        assert output.dtype == state.dtype == torch.float32
        found.append((output * real, state, *torch.autograd.grad((output, state), leaves, asked)))
    assert len(kernel.calls) == 1
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_outputs_of_padding_are_zeros() -> None:
    qkv, layout, real = case(MASKS["padded"])
    output, _ = FlaAttention(Kernel(), "cpu", torch.float32)(*qkv, Decay(RATES, layout), torch.ones(2, 2, 6, 4))
    assert (output == 0).masked_fill(real, True).all()


def test_rows_as_sequences() -> None:
    found = Sequences.of(Layout.of(torch.tensor(MASKS["packed, padded"])))
    assert found.places_L.tolist() == [1, 3, 4, 6, 7, 8, 11, 12]
    assert found.starts_N1.tolist() == [0, 2, 4, 6, 7, 8]
    assert (found.first_B.tolist(), found.last_B.tolist(), found.complete) == ([0, 2], [1, 4], True)
    assert not Sequences.of(Layout.of(torch.tensor([[1, 1], [0, 0]]))).complete
    assert not Sequences.of(Layout.of(torch.tensor([[0, 0], [0, 0]]))).complete


def test_rows_are_looked_at_once_for_all_layers() -> None:
    qkv, layout, _ = case(MASKS["packed"])
    kernel = Kernel()
    attend = FlaAttention(kernel, "cpu", torch.float32)
    for _ in range(3):
        attend(*qkv, Decay(RATES, layout))
    attend(*qkv, Decay(RATES, Layout.of(torch.tensor(MASKS["padded"]))))
    first, second, third, other = (call["cu_seqlens"] for call in kernel.calls)
    assert first is second is third
    assert other.tolist() == [0, 5, 10]


def test_query_and_key_of_a_finer_dtype_keep_it() -> None:
    """LRPE's are float32 in a bfloat16 model."""
    (query, key, value), _, _ = case(None)
    kernel = Kernel()
    attend = FlaAttention(kernel, "cpu", torch.bfloat16)
    output, state = attend(query, key, value.bfloat16(), Decay(RATES))
    assert kernel.calls[0]["dtypes"] == [torch.float32] * 3
    torch.testing.assert_close((output, state), block_attention(query, key, value.bfloat16(), Decay(RATES)))
    output, _ = attend(*(x.bfloat16() for x in (query, key, value)), Decay(RATES))
    assert kernel.calls[1]["dtypes"] == [torch.bfloat16] * 3
    assert output.dtype == torch.float32


@pytest.mark.parametrize(
    ("device", "dtype", "mask"),
    [
        ("cuda", torch.float32, None),
        ("cpu", torch.bfloat16, None),
        ("cpu", torch.float32, [[1, 1, 2, 2], [0, 0, 0, 0]]),
    ],
    ids=["another device", "another dtype", "a row of padding"],
)
def test_what_the_kernel_is_not_asked_for(device: str, dtype: torch.dtype, mask: list[list[int]] | None) -> None:
    qkv, layout, _ = case(mask)
    kernel, state = Kernel(), torch.randn(2, 2, 6, 4)
    found = FlaAttention(kernel, device, dtype)(*qkv, Decay(RATES, layout), state)
    torch.testing.assert_close(found, block_attention(*qkv, Decay(RATES, layout), state), rtol=0, atol=0)
    assert kernel.calls == []


@pytest.fixture
def fla(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a package `fla` that is imported in place of an installed one."""
    real = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "fla"}
    file = tmp_path / "fla/ops/simple_gla.py"
    file.parent.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield file
    for name in [name for name in sys.modules if name.partition(".")[0] == "fla"]:
        del sys.modules[name]
    sys.modules.update(real)


def test_the_kernel_that_is_taken(fla: Path) -> None:
    fla.write_text("def chunk_simple_gla():\n    return 'simple'\n")
    assert load_kernel()() == "simple"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "import a_triton_that_is_not_there",
            "fla-core cannot be imported: No module named 'a_triton_that_is_not_there'",
        ),
        ("raise RuntimeError('0 active drivers')", "fla-core cannot be imported: RuntimeError: 0 active drivers"),
        ("", "fla-core cannot be imported: ImportError: cannot import name 'chunk_simple_gla'"),
    ],
    ids=["no triton", "no driver", "another version"],
)
def test_it_cannot_be_imported(fla: Path, text: str, reason: str) -> None:
    fla.write_text(text)
    with pytest.raises(MachineError, match=reason):
        load_kernel()


def test_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fla", None)
    with pytest.raises(MachineError, match=r"fla-core is not installed; pip install 'tunesmith\[fla\]'"):
        load_kernel()
