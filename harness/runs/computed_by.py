"""What computes each kind of stored result: the modules it begins with, and what is left out of its key, and why.

A result is read again only where the same code would compute it: everything that these modules import, without
docstrings and comments; the source of installed plugins; and the versions of the packages that all of it imports. What
else the harness holds (reports, commands, explanations) may change without anything being computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from importlib import metadata
from typing import Any, TypedDict

from harness import plugins
from harness.runs.closure import Closure, ImportGraph

#: Importance scores and Grams of an intact model; the method of attribution is a root besides.
SCORES = ("harness.runs.scoring", "harness.models.loading")
GRAMS = ("harness.low_rank.grams", "harness.models.loading")
#: What the probes of attention heads say.
HEADS = ("harness.probing.probe", "harness.models.loading")
#: Finished cells, canaries and thresholds of an unfinished run: regions, edits, evaluations, receipts, judging. Of the
#: methods those count that are named: a receipt that does not hold tries the others too, for its words alone.
CELLS = ("harness.runs.workbench",)

#: Modules that compute nothing, and why what they import does not count either.
NO_FIGURE = {
    "harness": "holds the version, and names of the API that are imported when they are asked for",
    "harness.models.golden_prompts": "refuses a tokenizer, each time that a model is loaded; the key holds its hash",
    "harness.runs.closure": "says what a result is filed under",
    "harness.runs.computed_by": "says what a result is filed under",
    "harness.runs.keys": "says what a result is filed under",
    "harness.runs.provenance": "says where a result comes from; what of it decides figures stands in the key",
}
#: Packages that read, check, write or print what others compute, by the name that is imported.
NO_FIGURE_PACKAGES = {
    "aiohttp": "an error of downloads; what is downloaded is held against its hash",
    "click": "reads what people type",
    "filelock": "locks",
    "httpx": "an error of downloads; what is downloaded is held against its hash",
    "huggingface_hub": "fetches files; weights, tokenizer and data stand in the key by their hashes",
    "pandas": "makes a table of a finished record",
    "pydantic": "checks settings; their values stand in the key",
    "pydantic_core": "checks settings; their values stand in the key",
    "rich": "prints",
    "safetensors": "copies weights from files; the key holds their hash",
    "yaml": "reads settings; their values stand in the key",
}
#: Distributions that no module imports by itself, by the one that calls them.
BENEATH = {"transformers": ("tokenizers",)}


class Code(TypedDict):
    """The code of a result. source: hash of the harness's. packages: versions by distribution. plugins: whose code."""

    source: str
    packages: dict[str, str]
    plugins: dict[str, dict[str, str]]


def of_scores(method: str) -> Code:
    """The code of importance scores."""
    return _code(SCORES, (("attribution", method.replace("-", "_")),))


def of_grams() -> Code:
    """The code of Gram matrices."""
    return _code(GRAMS, ())


def of_heads() -> Code:
    """The code of probes of attention heads."""
    return _code(HEADS, ())


def of_cells(named: Iterable[tuple[str, str]]) -> Code:
    """The code of cells that use these plugins, each by kind and name; layouts draw finished records, and do not count.

    Raises UserError for a plugin that is not there.
    """
    return _code(CELLS, _that_count(named))


def departures(made: Any, now: Code) -> list[str]:
    """How the code that a stored result names differs from the one that is here, in words; empty where it does not."""
    if not isinstance(made, Mapping):
        return ["an earlier version of the harness made it"]
    found = [*_other_versions(made.get("packages", {}), now["packages"])]
    found += [] if made.get("plugins") == now["plugins"] else ["the source of an installed plugin has changed"]
    return found + ([] if made.get("source") == now["source"] else ["what computes it has changed"])


def in_words(code: Code, machine: Mapping[str, object]) -> str:
    """What computes something on which machine, short, to stand beside what is stored: `code 12345678 on 9abcdef0`."""
    parts = (json.dumps(part, sort_keys=True, default=str) for part in (code, machine))
    return "code {} on {}".format(*(hashlib.sha256(part.encode()).hexdigest()[:8] for part in parts))


def _other_versions(made: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*made, *now}):
        if made.get(name) != now.get(name):
            yield f"{name} {made.get(name, 'missing')}, now {now.get(name, 'missing')}"


def cells_closure(named: Iterable[tuple[str, str]]) -> Closure:
    """The modules and packages behind `of_cells`."""
    return _closure(CELLS, _that_count(named))


def _that_count(named: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({(kind, name) for kind, name in named if kind != "reports.layouts"}))


def _closure(roots: Iterable[str], named: Iterable[tuple[str, str]]) -> Closure:
    return _graph().closure([*roots, *(plugins.module_of(kind, name) for kind, name in named)])


@cache
def _code(roots: tuple[str, ...], named: tuple[tuple[str, str], ...]) -> Code:
    closure = _closure(roots, named)
    origins = {f"{kind}/{name}": plugins.origin(kind, name) for kind, name in named}
    return Code(
        source=closure.digest,
        packages=_versions(closure.third_party - NO_FIGURE_PACKAGES.keys()),
        plugins={key: asdict(origin) for key, origin in origins.items() if origin is not None},
    )


@cache
def _graph() -> ImportGraph:
    """Of the source as it is when it is first asked for, which is what this process runs."""
    return ImportGraph(frozenset(NO_FIGURE))


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: sorted(set(owners)) for name, owners in metadata.packages_distributions().items()}


def _versions(names: Iterable[str]) -> dict[str, str]:
    """Version by distribution, of those that are installed and give these names."""
    owners = {owner for name in names for owner in _distributions().get(name, [])}
    installed = {name for each in owners for name in BENEATH.get(each, ())} & {
        owner for found in _distributions().values() for owner in found
    }
    return {owner: metadata.version(owner) for owner in sorted(owners | installed)}
