"""The one seam through which a fault enters: an attribute of the harness is another one for a while.

Production code carries nothing for it. A function has to be replaced where it is looked up, not where it is
written: `harness.regions._scored:select`, since _scored.py calls it by that name.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Makes the wrong thing of the right one.
MakeWrong = Callable[[Any], Any]


class StaleTarget(AttributeError):
    """A name to replace is not there (any more): a fault that hits nothing would pass for one that is not caught."""

    def __init__(self, target: str, lacks: str) -> None:
        name = target.rpartition(":")[2].rpartition(".")[2]
        places = ", ".join(_modules_with(name))
        found = f"{name!r} stands in {places}" if places else f"no module that is loaded has {name!r}"
        super().__init__(f"{target}: {lacks}; expected the place where the name is looked up: {found}")


@contextmanager
def replaced(target: str, make_wrong: MakeWrong) -> Iterator[None]:
    """For the length of the context an attribute of a module or class is what `make_wrong` makes of the original.

    target: "harness.regions._scored:select" or "harness.engines.hf:HfEngine.generate".
    Raises StaleTarget where the module or class itself does not hold it.
    """
    owner, name = _found(target)
    original = vars(owner)[name]
    setattr(owner, name, make_wrong(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _found(target: str) -> tuple[Any, str]:
    """The module or class that holds the attribute, and the attribute's name."""
    module, _, path = target.partition(":")
    *classes, name = path.split(".")
    try:
        owner: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise StaleTarget(target, f"there is no module {error.name}") from None
    for each in (*classes, name):
        if each not in vars(owner):
            raise StaleTarget(target, f"{getattr(owner, '__name__', owner)} has no {each!r}")
        owner, holder = vars(owner)[each], owner
    return holder, name


def _modules_with(name: str) -> list[str]:
    """Modules of the harness, and classes in them, that hold a name now."""
    found = set()
    for place, module in list(sys.modules.items()):
        if place.split(".")[0] != "harness" or module is None:
            continue
        if name in vars(module):
            found.add(f"{place}:{name}")
        for of_class, each in list(vars(module).items()):
            if isinstance(each, type) and each.__module__ == place and name in vars(each):
                found.add(f"{place}:{of_class}.{name}")
    return sorted(found)
