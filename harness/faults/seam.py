"""The one seam through which a fault enters: an attribute of the harness is another one for a while.

Production code carries nothing for it. A function has to be replaced where it is looked up, not where it is
written: `harness.runs.regions:select`, since regions.py has imported the name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(target: str, make_wrong: Callable[[Any], Any]) -> Iterator[None]:
    """For the length of the context an attribute of a module or class is what `make_wrong` makes of the original.

    target: "harness.runs.regions:select" or "harness.engines.hf:HfEngine.generate".
    Raises AttributeError where the module or class itself does not hold it: a fault that hits nothing
    would pass for one that is not caught.
    """
    module, _, path = target.partition(":")
    *classes, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in classes:
        owner = getattr(owner, each)
    if name not in vars(owner):
        raise AttributeError(f"{target}: there is no {name!r} to replace; name the place where it is looked up")
    original = vars(owner)[name]
    setattr(owner, name, make_wrong(original))
    try:
        yield
    finally:
        setattr(owner, name, original)
