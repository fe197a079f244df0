"""harness list: what there is, and where it comes from."""

from __future__ import annotations

import json

import click

from harness import plugins
from harness.exit_codes import with_exit_codes
from harness.spec import locations
from harness.spec.benchmark import BenchmarkSpec
from harness.spec.loading import load_yaml_model
from harness.spec.variant import ModelVariant


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@with_exit_codes
def list_command(as_json: bool) -> None:
    """List benchmarks, model variants and plugins; where one comes from, unless it ships."""
    kinds = {kind.rpartition(".")[2]: kind for kind in plugins.kinds()}
    content: dict[str, dict[str, str]] = {
        "benchmarks": {p.stem: load_yaml_model(p, BenchmarkSpec).title for p in locations.benchmark_paths()},
        "models": {p.stem: load_yaml_model(p, ModelVariant).title for p in locations.variant_paths()},
        **{shown: dict.fromkeys(plugins.names(kind), "") for shown, kind in kinds.items()},
    }
    origins = {shown: plugins.sources(kind) for shown, kind in kinds.items()}
    if as_json:
        lists = {kind: list(entries) if kind in kinds else entries for kind, entries in content.items()}
        click.echo(json.dumps({**lists, "from": {kind: found for kind, found in origins.items() if found}}, indent=1))
        return
    for kind, entries in content.items():
        click.echo(kind)
        for name, title in entries.items():
            origin = origins.get(kind, {}).get(name)
            click.echo(f"  {name:<22} {title}{f' [{origin}]' if origin else ''}".rstrip())
