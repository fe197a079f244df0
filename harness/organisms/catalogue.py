"""The organisms that ship with the package."""

import difflib
from pathlib import Path

from harness.errors import UserError
from harness.organisms.recipe import RECIPES


def organism_names() -> list[str]:
    """Names of all organisms, sorted."""
    return sorted(RECIPES)


def organism_directory(name: str) -> Path:
    """Where the shipped files of an organism are; UserError on an unknown name."""
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise UserError(f"There is no organism '{name}'; there are: {', '.join(organism_names())}.{hint}")
    return Path(__file__).parent / name
