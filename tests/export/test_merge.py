"""Folding an adapter in changes no logit; tied matrices of which one was adapted are parted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tunesmith.export.expected import rows_of
from tunesmith.export.merge import merge, published_tensors
from tunesmith.models.load import load
from tunesmith.models.weights import EMBEDDING, HEAD

Finished = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["lora", "head", "full", "transnormer", "llama"])
def test_merging_changes_no_logit(kind: str, finished: Finished) -> None:
    loaded = load(finished(kind), dtype="float32", device="cpu", base="rounded")
    row, *_ = rows_of(finished(kind), loaded)
    merged = merge(loaded.model)
    assert not any("lora" in name for name in merged.state_dict())
    with torch.no_grad():
        found = merged(**row.inputs).logits[0]
    assert row.recorded is not None and torch.allclose(found, row.recorded, atol=1e-4)


def test_tied_matrices_are_parted_only_where_one_was_adapted(finished: Finished) -> None:
    tied, parted = (merge(load(finished(kind), device="cpu").model) for kind in ("lora", "head"))
    assert tied.config.tie_word_embeddings and HEAD not in published_tensors(tied)
    assert not parted.config.tie_word_embeddings
    tensors, base = published_tensors(parted), published_tensors(load("nano-minicpm", device="cpu").model)
    assert torch.equal(tensors[EMBEDDING], base[EMBEDDING]) and not torch.equal(tensors[HEAD], base[EMBEDDING])


def test_published_names_are_those_of_the_base(finished: Finished) -> None:
    for kind, name in (("lora", "nano-minicpm"), ("vision", "nano-minicpmv"), ("transnormer", "nano-transnormer")):
        from tunesmith.locate import locate
        from tunesmith.models.files import stored_tensors

        found = published_tensors(merge(load(finished(kind), device="cpu").model))
        assert {key: tuple(one.shape) for key, one in found.items()} == {
            key: stored.shape for key, stored in stored_tensors(locate(name)).items()
        }
