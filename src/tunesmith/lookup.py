"""find(package, name): the one way in which extensions are found. The file's name is the extension's name."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from .errors import ConfigError


def names(package: str) -> list[str]:
    """Return the names of the public modules in `package` (a dotted name), sorted, without importing them."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return sorted(module.name for module in found if not module.name.startswith("_"))


def nearest(name: str, known: list[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def find(package: str, name: str, kind: str = "name") -> ModuleType:
    """Import and return the module `package.name`.

    A module that exists but fails to import raises its own error: that is a fault, not an unknown name.

    Raises:
        ConfigError: no such module; the message offers the nearest name and lists all.
    """
    known = names(package)
    if name not in known:
        raise ConfigError(f"Unknown {kind} '{name}'{nearest(name, known) or '.'} Known: {', '.join(known)}.")
    return importlib.import_module(f"{package}.{name}")
