"""Plugins are files: the name of a module inside a package is the name that a spec uses.

`set_difference.py` is written `set-difference` or `set_difference` in a spec. Adding a method,
an engine or an evaluation is adding one file; nothing has to be registered. What the plugins of
a kind share lies in `base.py` and in modules whose name begins with an underscore.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from harness.errors import UserError


def names(kind: str) -> list[str]:
    """Names of all plugins of a kind (`attribution`, `evaluations`, `reports.layouts`, ...: a package), sorted."""
    package = importlib.import_module(f"harness.{kind}")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in found if name != "base" and not name.startswith("_"))


def load(kind: str, name: str) -> ModuleType:
    """Import the plugin `name` of a kind. Raises UserError with a suggestion if there is none."""
    module_name = name.replace("-", "_")
    if module_name not in names(kind):
        raise UserError(f"no {kind} plugin is called {name!r}; {suggestion(name, names(kind))}")
    return importlib.import_module(f"harness.{kind}.{module_name}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """'did you mean …?' where one name is close, and the names that there are otherwise."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "there are " + ", ".join(known) if known else "there are none"
