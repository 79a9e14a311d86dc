"""gguf: llama.cpp's file format through its own library: metadata and tensors, written one after the other, read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import MachineError

FINE = {"Q4_0": "Q8_0"}
"""The first and the last matrix are held finer than the rest, as llama.cpp's own tool does."""
_OUTER = ("token_embd.weight", "output.weight")


@dataclass(frozen=True)
class Content:
    """What a file holds: `metadata` by key, the tensors' shapes by name, and how to get one as float32 (numpy).

    A whole number becomes uint32, a fraction float32; of a list the first element decides.
    """

    architecture: str
    metadata: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    get: Callable[[str], Any]


def library() -> ModuleType:
    """Return the library.

    Raises:
        MachineError: it is not installed.
    """
    try:
        import gguf
    except ImportError:
        raise MachineError(
            "A GGUF file needs the library gguf, which is not installed. Run: pip install 'tunesmith[gguf]'"
        ) from None
    found: ModuleType = gguf
    return found


def write_file(path: Path, content: Content, kind: str, tell: Callable[[int], None]) -> None:
    """Write a file: matrices as `kind` (F32, BF16, Q8_0, Q4_0), vectors as F32; `tell` gets the bytes of each tensor.

    A matrix whose rows are no multiple of the kind's block is written as BF16.
    """
    gguf = library()
    kinds = {name: _kind(gguf, name, shape, kind) for name, shape in content.shapes.items()}
    writer = gguf.GGUFWriter(str(path), content.architecture)
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    try:
        for key, value in content.metadata.items():
            (writer.add_array if isinstance(value, list) else add[type(value)])(key, value)
        writer.add_file_type(_file_type(gguf, kind))
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        sizes = {}
        for name, shape in content.shapes.items():
            stored = gguf.quant_shape_to_byte_shape(shape, kinds[name]) if kinds[name].name != "F32" else shape
            sizes[name] = size = _bytes(gguf, shape, kinds[name])
            kind_of_array = gguf.quants.np.uint8 if kinds[name].name != "F32" else gguf.quants.np.float32
            writer.add_tensor_info(name, stored, gguf.quants.np.dtype(kind_of_array), size, raw_dtype=kinds[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name in content.shapes:
            writer.write_tensor_data(gguf.quants.quantize(content.get(name), kinds[name]))
            tell(sizes[name])
        writer.flush()
    finally:
        writer.close()


def read_file(path: Path) -> Content:
    """Return what a file holds; a tensor is read, and made float32, when it is asked for."""
    gguf = library()
    reader = gguf.GGUFReader(str(path))
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    shapes = {name: tuple(int(size) for size in reversed(tensor.shape)) for name, tensor in tensors.items()}

    def get(name: str) -> Any:
        tensor = tensors[name]
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shapes[name]).copy()

    return Content(str(metadata["general.architecture"]), metadata, shapes, get)


def _kind(gguf: ModuleType, name: str, shape: tuple[int, ...], kind: str) -> Any:
    if len(shape) < 2:
        return gguf.GGMLQuantizationType.F32
    wanted = gguf.GGMLQuantizationType[FINE.get(kind, kind) if name in _OUTER else kind]
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if shape[-1] % block == 0 else gguf.GGMLQuantizationType.BF16


def _bytes(gguf: ModuleType, shape: tuple[int, ...], kind: Any) -> int:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    count = 1
    for one in shape:
        count *= one
    return int(count // block * size)


def _file_type(gguf: ModuleType, kind: str) -> int:
    return int(gguf.LlamaFileType[f"{'ALL' if kind == 'F32' else 'MOSTLY'}_{kind}"])
