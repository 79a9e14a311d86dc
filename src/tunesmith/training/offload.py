"""Activations in main memory: what the forward pass keeps for the backward pass leaves the GPU and comes back.

Both ways are gone on a stream of their own while the GPU computes: out behind the forward pass, back ahead of the
backward pass, which needs what was kept last first. The known pattern: torch.autograd.graph.save_on_cpu, with streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

SMALL = 2**16
"""Tensors of fewer numbers than this stay: moving them would cost more than it saves."""
LEAVING = 8
"""Tensors that may be on their way out at one time; each stays on the GPU until it has left."""
AHEAD = 8
"""Tensors that are brought back before the backward pass asks for them."""
LAST = 1
"""The last layers, whose tensors stay: the backward pass begins with them."""


class Copies(Protocol):
    """Copies between a device and main memory beside what the device computes.

    `out` and `back` begin a copy and return it with an event; who uses the copy, or lets go of what it was made from,
    calls `wait` with the event before, whereupon what the device is told to do later comes after the copy.
    """

    device: torch.device

    def out(self, tensor: Tensor) -> tuple[Tensor, Any]:
        """Copy from the device."""

    def back(self, away: Tensor) -> tuple[Tensor, Any]:
        """Copy to the device what an `out` before has brought."""

    def wait(self, event: Any, copy: Tensor) -> None:
        """Let the device's computation come after the event; `copy` is used there."""


class CudaCopies:
    """`Copies` on a CUDA stream of their own, which does one after the other; main memory is pinned."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)

    def out(self, tensor: Tensor) -> tuple[Tensor, Any]:
        """Copy from the GPU, after what it was told to do so far."""
        away = torch.empty_like(tensor, device="cpu", pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            away.copy_(tensor, non_blocking=True)
            return away, self._stream.record_event()

    def back(self, away: Tensor) -> tuple[Tensor, Any]:
        """Copy to the GPU, into memory of the copying stream."""
        with torch.cuda.stream(self._stream):
            return away.to(self.device, non_blocking=True), self._stream.record_event()

    def wait(self, event: Any, copy: Tensor) -> None:
        """Let the current stream wait for the event, and the allocator know that it uses the copy."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(event)
        if copy.is_cuda:
            copy.record_stream(current)


class Moved:
    """A tensor that leaves: at first still `here`, in the end `away`, for a while `back`."""

    def __init__(self, number: int, tensor: Tensor, copies: Copies) -> None:
        self.number, self.users = number, 0
        self.here: Tensor | None = tensor
        self.away, self._left = copies.out(tensor)
        self.back: tuple[Tensor, Any] | None = None

    def let_go(self, copies: Copies) -> None:
        """Leave nothing on the device; what it computes next comes after the copy."""
        if self.here is not None:
            copies.wait(self._left, self.away)
            self.here = None


class Offload(saved_tensors_hooks):
    """While it is entered, tensors that are kept on the device for the backward pass are moved to main memory.

    The model's own weights stay, as they are on the device anyway, and so do small tensors and what the last of `layers`
    keep. A tensor that several operations keep is moved once. What has not left when the backward pass needs it is
    used as it is.
    """

    def __init__(self, model: nn.Module, copies: Copies, layers: Sequence[nn.Module] = ()) -> None:
        super().__init__(self._pack, self._unpack)
        self._model, self._copies = model, copies
        self._own: set[int] = set()
        self._moved: list[Moved] = []
        self._known: dict[Any, Moved] = {}
        self._leaving: deque[Moved] = deque()
        self._next = -1
        self._stays = False
        for layer in layers[-LAST:][:1]:
            layer.register_forward_pre_hook(self._keep_from_here)

    def __enter__(self) -> None:
        """Begin a forward pass: what was moved in an earlier one is only known to its own graph."""
        self._own = {parameter.untyped_storage().data_ptr() for parameter in self._model.parameters()}
        self._moved, self._known, self._stays = [], {}, False
        self._let_leave(0)
        super().__enter__()

    def __exit__(self, *args: object) -> None:
        """End it: the backward pass begins with what was moved last."""
        super().__exit__(*args)
        self._next = len(self._moved) - 1

    def _keep_from_here(self, *_: Any) -> None:
        self._stays = True

    def _pack(self, tensor: Tensor) -> Tensor | Moved:
        storage = tensor.untyped_storage()
        if (
            self._stays
            or tensor.device.type != self._copies.device.type
            or tensor.numel() < SMALL
            or tensor.is_sparse
            or storage.data_ptr() in self._own
        ):
            return tensor
        same = StorageWeakRef(storage)  # while this lives, no other storage takes its place
        key = (same, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version)
        moved = self._known.get(key)
        if moved is None:
            self._let_leave(LEAVING - 1)
            moved = self._known[key] = Moved(len(self._moved), tensor, self._copies)
            self._moved.append(moved)
            self._leaving.append(moved)
        moved.users += 1
        return moved

    def _let_leave(self, most: int) -> None:
        """Let go of the oldest tensors that are leaving, until there are no more than these."""
        while len(self._leaving) > most:
            self._leaving.popleft().let_go(self._copies)

    def _unpack(self, packed: Tensor | Moved) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        found = packed.here
        if found is None:
            tensor, event = packed.back or self._copies.back(packed.away)
            if event is not None:
                self._copies.wait(event, tensor)
            packed.back, found = (tensor, None), tensor
        packed.users -= 1
        if packed.users <= 0:  # a graph that is gone through twice fetches it once more
            packed.let_go(self._copies)
            packed.back = None
        self._fetch(packed)
        return found

    def _fetch(self, before: Moved) -> None:
        """Begin to bring back those that come next, if this one is of the last forward pass."""
        if before.number >= len(self._moved) or self._moved[before.number] is not before:
            return
        while self._next >= max(0, before.number - AHEAD):
            moved = self._moved[self._next]
            if moved.here is None and moved.back is None and moved.number < before.number:
                moved.back = self._copies.back(moved.away)
            self._next -= 1
