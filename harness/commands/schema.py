"""harness schema: JSON Schemas of the files that people write and read."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import UserError
from harness.exit_codes import with_exit_codes
from harness.terminal import echo


@click.command()
@click.argument("kind", required=False, type=click.Choice(["benchmark", "variant", "golden", "record"]))
@click.option("--out", type=click.Path(path_type=Path), help="Write all four into this folder.")
@with_exit_codes
def schema(kind: str | None, out: Path | None) -> None:
    """Print the JSON Schema of a KIND of file, or write all four with --out.

    An editor completes and checks keys by it. It reads the schema's place from the first line of a YAML file:
    `# yaml-language-server: $schema=schemas/benchmark.schema.json`
    """
    from harness.spec.schemas import schema_text, write_schemas

    if (kind is None) == (out is None):
        raise UserError("expected either KIND or --out DIR")
    if kind is not None:
        echo(schema_text(kind).rstrip("\n"))
        return
    assert out is not None
    for path in write_schemas(out):
        echo(str(path))
