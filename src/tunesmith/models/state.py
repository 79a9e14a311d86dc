"""The cache of linear attention: one matrix for each head and layer, whatever the number of tokens."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from transformers.cache_utils import Cache


class StateCache(Cache):
    """What a model of linear attention keeps between two calls, in the form that `generate()` works with.

    `states[layer]` (B, H, K, V) float32 and `next_B` int64, the position of each row's next token, are None before the
    first call. `get_seq_length()` counts padding too, as callers do.
    """

    def __init__(self, layers: int) -> None:
        super().__init__(layers=[])
        self.states: list[Tensor | None] = [None] * layers
        self.next_B: Tensor | None = None
        self.seen = 0

    def passed(self, tokens: int, next_B: Tensor) -> None:
        """Write down one call: its tokens, padding counted, and the position of each row's next token."""
        self.seen, self.next_B = self.seen + tokens, next_B

    def __len__(self) -> int:
        return len(self.states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many tokens have passed, padding counted."""
        return self.seen

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """Return -1: there is no limit."""
        return -1

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the length of a full mask, and 0, where it begins."""
        return self.seen + query_length, 0

    def reset(self) -> None:
        """Forget everything."""
        self.states, self.next_B, self.seen = [None] * len(self.states), None, 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows that beam search goes on with."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order."""
        self._rows(lambda x: x.index_select(0, indices.to(x.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self._rows(lambda x: x.repeat_interleave(repeats, dim=0))

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse to go back: a state does not remember what it was made of.

        Raises:
            ValueError: tokens are to be removed.
        """
        if tokens_to_remove:
            raise ValueError("The state of linear attention cannot be cropped: it does not keep single tokens.")

    @property
    def batch_size(self) -> int:
        """The number of rows, or -1 before the first call."""
        return -1 if self.next_B is None else len(self.next_B)

    @property
    def is_compileable(self) -> bool:
        """False: the tensors are replaced in each call."""
        return False

    @property
    def is_initialized(self) -> bool:
        """Whether anything has passed."""
        return self.next_B is not None

    @property
    def is_croppable(self) -> bool:
        """False: see `crop`."""
        return False

    def _rows(self, change: Callable[[Tensor], Tensor]) -> None:
        self.states = [None if state is None else change(state) for state in self.states]
        self.next_B = None if self.next_B is None else change(self.next_B)
