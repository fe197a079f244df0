"""Every shipped organism, one after the other."""

import pytest

from harness.organisms.catalogue import organism_directory, organism_names
from harness.organisms.recipe import RECIPES


@pytest.fixture(scope="module", params=organism_names())
def recipe(request):
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def folder(recipe):
    return organism_directory(recipe.name)
