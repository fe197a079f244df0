"""harness list: what there is, and where it comes from."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from harness import plugins
from harness.commands.options import JSON
from harness.errors import UserError
from harness.exit_codes import with_exit_codes
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant
from harness.terminal import echo, echo_json


@click.command("list")
@JSON
@with_exit_codes
def list_command(as_json: bool) -> None:
    """List benchmarks, model variants and plugins; where one comes from, unless it ships."""
    kinds = {kind.rpartition(".")[2]: kind for kind in plugins.kinds()}
    files = {"benchmarks": locations.benchmark_paths(), "models": locations.variant_paths()}
    content: dict[str, dict[str, str]] = {
        "benchmarks": {path.stem: _title(path, BenchmarkSpec) for path in files["benchmarks"]},
        "models": {path.stem: _title(path, ModelVariant) for path in files["models"]},
        **{shown: dict.fromkeys(plugins.names(kind), "") for shown, kind in kinds.items()},
    }
    origins = {kind: {path.stem: locations.source(path) for path in paths} for kind, paths in files.items()}
    origins |= {shown: plugins.sources(kind) for shown, kind in kinds.items()}
    origins = {kind: {name: words for name, words in found.items() if words} for kind, found in origins.items()}
    if as_json:
        lists = {kind: list(entries) if kind in kinds else entries for kind, entries in content.items()}
        echo_json(json.dumps({**lists, "from": {kind: found for kind, found in origins.items() if found}}, indent=1))
        return
    for kind, entries in content.items():
        echo(kind)
        for name, title in entries.items():
            origin = origins[kind].get(name)
            echo(f"  {name:<22} {title}{f' [{origin}]' if origin else ''}".rstrip())


def _title(path: Path, model: type[BenchmarkSpec] | type[ModelVariant]) -> str:
    """The title of a file of a catalogue; one that is wrong hides no other."""
    try:
        return load_yaml_model(path, model).title
    except UserError:
        return f"not valid: see harness validate {shlex.quote(str(path))}"
