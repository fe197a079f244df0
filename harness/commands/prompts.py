"""The command that shows how a variant's prompts read as token ids."""

from __future__ import annotations

import click

from harness.exit_codes import with_exit_codes
from harness.terminal import echo


@click.command()
@click.argument("model")
@click.option("--obtained", default="harness prompts", show_default=True, help="Where the tokenizer comes from.")
@with_exit_codes
def prompts(model: str, obtained: str) -> None:
    """Golden prompts of MODEL (a variant's name, its YAML file, or a folder with variant.yaml) on stdout.

    Only its tokenizer is loaded. benchmarks/models/prompts/<variant>.yaml holds what was once printed.
    """
    from harness.models.golden_prompts import as_yaml, golden_prompts
    from harness.models.loading import load_tokenizer
    from harness.spec import locations
    from harness.spec.loading import load_yaml_model
    from harness.spec.variant import ModelVariant

    path = locations.find_variant(model)
    variant = load_yaml_model(path, ModelVariant)
    echo(as_yaml(golden_prompts(variant, load_tokenizer(variant, path), obtained)), nl=False)
