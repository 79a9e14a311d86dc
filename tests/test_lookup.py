"""Extensions are found by file name; a broken one is a fault, not an unknown name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunesmith import lookup
from tunesmith.errors import ConfigError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a good, a broken and a private module."""
    folder = tmp_path / "made_up_extensions"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text("VALUE = 7\n")
    (folder / "broken.py").write_text("import a_module_that_is_not_there\n")
    (folder / "_private.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_found_by_name_without_importing_the_rest(package: str) -> None:
    assert lookup.names(package) == ["broken", "good"]
    assert lookup.find(package, "good").VALUE == 7
    assert f"{package}.broken" not in sys.modules


def test_unknown_name_offers_the_nearest(package: str) -> None:
    with pytest.raises(ConfigError, match="Unknown kind of thing 'god'; did you mean 'good'. Known: broken, good."):
        lookup.find(package, "god", kind="kind of thing")
    with pytest.raises(ConfigError, match="Unknown name '_private'. Known"):
        lookup.find(package, "_private")


def test_broken_module_is_a_fault(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        lookup.find(package, "broken")


def test_nearest() -> None:
    assert lookup.nearest("lerning_rate", ["learning_rate", "rank"]) == "; did you mean 'learning_rate'?"
    assert lookup.nearest("xyz", ["learning_rate"]) == ""
