"""What TRL is told: its settings exist in the installed version (how it computes is tested with bench/sides/trl.py)."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys

import pytest

from tunesmith.edges import trl as edge
from tunesmith.errors import MachineError


def test_every_setting_is_known_to_trl() -> None:
    from trl import SFTConfig

    calls = [node for node in ast.walk(ast.parse(inspect.getsource(edge))) if isinstance(node, ast.Call)]
    (told,) = [call.keywords for call in calls if ast.unparse(call.func) == "SFTConfig"]
    names = {keyword.arg for keyword in told if keyword.arg is not None}
    assert names and names <= {field.name for field in dataclasses.fields(SFTConfig)}


def test_who_has_no_trl_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(MachineError, match="pip install trl"):
        edge.fine_tune("nowhere", {}, {"bf16": False}, {}, [])
