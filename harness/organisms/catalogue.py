"""The organisms that ship with the package."""

from pathlib import Path

from harness.errors import UserError
from harness.organisms.recipe import RECIPES
from harness.plugins import suggestion


def organism_names() -> list[str]:
    """Names of all organisms, sorted."""
    return sorted(RECIPES)


def organism_directory(name: str) -> Path:
    """Where the shipped files of an organism are; UserError on an unknown name."""
    if name not in RECIPES:
        raise UserError(f"no organism is called {name!r}; {suggestion(name, RECIPES)}")
    return Path(__file__).parent / name
