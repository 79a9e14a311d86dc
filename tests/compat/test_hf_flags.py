"""The table of TrainingArguments: complete, without contradictions, and its settings exist."""

from __future__ import annotations

import dataclasses

from transformers import HfArgumentParser, TrainingArguments

from tunesmith import config
from tunesmith.compat.hf_flags import DIRECT, EXPLAINED, HF_FLAGS, IDLE, REFUSED
from tunesmith.training.settings import TrainConfig


def test_every_argument_of_the_installed_transformers_is_known() -> None:
    assert {field.name for field in dataclasses.fields(TrainingArguments)} <= set(HF_FLAGS)


def test_kinds_agree_with_transformers() -> None:
    parser = HfArgumentParser(TrainingArguments)
    for action in parser._actions:
        if action.dest == "help" or (flag := HF_FLAGS.get(action.dest)) is None:
            continue
        if action.nargs == "?":
            assert flag.kind in ("bool", "text"), action.dest
        elif action.nargs in ("+", "*"):
            assert flag.kind == "list", action.dest
        elif action.type in (int, float):
            assert flag.kind in ("int", "float"), action.dest


def test_each_flag_has_one_fate() -> None:
    assert sum(map(len, (DIRECT, EXPLAINED, IDLE, REFUSED))) == len(HF_FLAGS)
    for name, flag in HF_FLAGS.items():
        said = [text for text in (flag.key, flag.idle, flag.refused) if text]
        assert len(said) == (name not in EXPLAINED), name
        assert all(text.endswith(".") for text in (flag.idle, flag.refused) if text), name


def test_the_settings_exist() -> None:
    known = config.dotted_names(TrainConfig).values()
    assert {flag.key for flag in DIRECT.values()} <= set(known)
