"""Training, validation and test part: drawn by a seed, near the wanted shares, and without leakage.

Records with the same prompt stay in one part. Only a hash of 8 bytes is held of each record, and the order of the
records does not matter: the parts are stretches of the sorted hashes, which depend on the seed.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, DataError
from ..types import Conversation

PARTS = ("train", "validation", "test")


def read_shares(text: str) -> tuple[float, float, float]:
    """Return the shares of the three parts, written as "0.9,0.05,0.05"; two numbers mean no test part.

    Raises:
        ConfigError: they are no shares, or do not add up to 1.
    """
    try:
        shares = [float(share) for share in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) == 2:
        shares.append(0.0)
    if len(shares) != 3 or not all(0 <= share <= 1 for share in shares) or not math.isclose(sum(shares), 1):
        raise ConfigError(
            f"--split: '{text}' are no shares. Write the training, validation and test part as numbers that add up "
            "to 1, for example 0.9,0.05,0.05."
        )
    if shares[0] == 0 or shares[0] == 1:
        raise ConfigError(f"--split: '{text}' {'leaves nothing to train on' if not shares[0] else 'splits nothing'}.")
    return shares[0], shares[1], shares[2]


def prompt_key(conversation: Conversation, seed: int) -> int:
    """Return a number of 64 bits that two records share if their prompts are the same.

    The prompt is everything before the last answer: texts with white space normalised, calls and pictures. Of a plain
    text it is the whole text.
    """
    digest = hashlib.blake2b(digest_size=8, key=str(seed).encode()[:64])
    marks = [ref.mark for ref in conversation.images]
    for message in conversation.messages[:-1]:
        text = message.content
        for mark in marks:
            text = text.replace(mark, " <image> ")
        digest.update(f"{message.role}\0{' '.join(text.split())}\0{message.calls}\0".encode())
    for ref in conversation.images:
        digest.update(f"{os.path.abspath(ref.path)}\0".encode())
    if conversation.text is not None:
        digest.update(" ".join(conversation.text.split()).encode())
    return int.from_bytes(digest.digest(), "little")


def assign(keys: Sequence[int], shares: Sequence[float]) -> NDArray[np.int8]:
    """Return the number of each record's part; every part with a share gets something.

    Raises:
        DataError: there are fewer different prompts than parts.
    """
    _, group, counts = np.unique(np.asarray(keys, dtype=np.uint64), return_inverse=True, return_counts=True)
    wanted = [number for number, share in enumerate(shares) if share > 0]
    if len(counts) < len(wanted):
        raise DataError(
            f"--split: {len(keys)} records with {len(counts)} different prompts cannot be split into {len(wanted)} "
            "parts: records with the same prompt stay together."
        )
    middles = np.cumsum(counts) - counts / 2
    part = np.empty(len(counts), dtype=np.int8)
    start, reach = 0, 0.0
    for position, number in enumerate(wanted):
        reach += shares[number] * len(keys)
        left = len(wanted) - position - 1
        end = int(np.searchsorted(middles, reach)) if left else len(counts)
        end = min(max(end, start + 1), len(counts) - left)
        part[start:end] = number
        start = end
    return part[group.reshape(-1)]
