"""Which plugins of other distributions a benchmark uses, and whose code they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness import plugins
from harness.attribution.base import method
from harness.evaluations.base import evaluation
from harness.judges.base import judge
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.common import Strict
from harness.spec.provenance import PluginOrigin
from harness.spec.variant import ModelVariant

#: The keys of a spec or variant that name a plugin, and its kind.
_KEYS = {
    "select": "regions",
    "method": "attribution",
    "kind": "evaluations",
    "layout": "reports.layouts",
    "engine": "engines",
    "judge": "judges",
}


def origins(variant: ModelVariant, *settings: Strict | None, executor: str | None = None) -> dict[str, PluginOrigin]:
    """`{"attribution/row_relative": whose code}` of everything installed that these parts of a spec name.

    The variant's engine is among them, and the executor. Those that ship are not: the hash of the source covers them.
    """
    found = {}
    for kind, name in _installed([variant, *settings], executor):
        origin = plugins.origin(kind, name)
        if origin is not None:
            key = f"{kind.rpartition('.')[2]}/{name}"
            found[key] = PluginOrigin(distribution=origin.distribution, version=origin.version, sha256=origin.sha256)
    return found


def whole_origins(spec: BenchmarkSpec, variant: ModelVariant, executor: str | None = None) -> dict[str, PluginOrigin]:
    """`origins` of a whole benchmark, the cells that a grid makes included."""
    return origins(variant, spec, *spec.expanded_cells(), executor=executor)


def require_plugins(spec: BenchmarkSpec) -> None:
    """Import the installed plugins that a spec names. Raises UserError for one that is broken, or there twice."""
    for kind, name in _installed([spec, *spec.expanded_cells()]):
        if kind == "attribution":
            method(name)
        else:
            plugins.load(kind, name)
    for settings in spec.evaluations:
        evaluation(settings)
        for named in settings.judged_by:
            judge(named)


def named_plugins(*parts: Strict | None, executor: str | None = None) -> list[tuple[str, str]]:
    """(kind, name) of everything that these parts of a spec or variant name and that is there, wherever from."""
    named = {("executors", executor)} if executor else set()
    for part in parts:
        named |= set(_named(part.model_dump(mode="json"))) if part is not None else set()
    pairs = {(kind, name.replace("-", "_")) for kind, name in named}
    known = {kind: set(plugins.names(kind)) for kind, _ in pairs}
    return sorted((kind, name) for kind, name in pairs if name in known[kind])


def _installed(parts: Sequence[Strict | None], executor: str | None = None) -> list[tuple[str, str]]:
    """Those of `named_plugins` that a distribution declares."""
    named = named_plugins(*parts, executor=executor)
    return [(kind, name) for kind, name in named if name in {each.name for each in plugins.installed(kind)}]


def _named(content: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of whatever may be a plugin: regions and their methods, evaluations, the layout, the engine."""
    if isinstance(content, Mapping):
        for key, kind in _KEYS.items():
            if isinstance(content.get(key), str):
                yield kind, content[key]
    for inner in content.values() if isinstance(content, Mapping) else content if isinstance(content, list) else ():
        yield from _named(inner)
