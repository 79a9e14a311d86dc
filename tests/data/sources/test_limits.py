"""Limits as people read them."""

from __future__ import annotations

from tunesmith.data.sources import limits


def test_limits_are_named_in_mebibytes() -> None:
    assert limits.mebibytes(limits.MAX_RECORD) == "64 MiB"
    assert limits.mebibytes(100) == "100 bytes"
