"""Build a variant whose weights a recipe makes: into the cache, where the variant is looked for, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from harness.aligning.build import REPORT, AlignmentBuild
from harness.data.cache import data_folder
from harness.data.weights import aligned_folder, recipe_sha256, record_made, weights_problem
from harness.errors import UserError
from harness.fetching.downloads import Copies
from harness.reading import read_json
from harness.runs import provenance
from harness.runs.files import write_text
from harness.spec import alignment
from harness.spec.variant import ModelSource, ModelVariant
from harness.storage import locked


def build_aligned(
    variant: ModelVariant,
    variant_file: Path,
    out: Path | None,
    seed: int | None,
    report_progress: Callable[[str, float], None],
    copies: Copies,
) -> tuple[Path, dict[str, Any]]:
    """Build what is not there yet, and go on where a build was interrupted. Returns the folder and its report.

    out: None takes the cache, with the recipe's own seed. Raises UserError for another seed without a folder, for a
    folder that is not empty, for data that cannot be had, and where the result misses a demand.
    """
    name = variant.source.recipe or ""
    recipe = alignment.recipe(name)
    if seed is not None and seed != recipe.seed:
        if out is None:
            raise UserError(f"the seed of {name} is {recipe.seed}; expected a folder for another one: --out DIR")
        recipe = recipe.model_copy(update={"seed": seed})
    kept = aligned_folder(name, recipe)
    folder = kept if out is None else out
    if out is None and weights_problem(variant) is None:
        return folder, read_json(folder / REPORT)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists already and is not empty")
    work = data_folder() / "aligned" / f"building-{kept.name}"
    with locked(work.parent / f"{work.name}.lock"):
        if out is None and weights_problem(variant) is None:  # another process was faster
            return folder, read_json(folder / REPORT)
        build = AlignmentBuild(variant, variant_file, recipe, work, report_progress)
        build.fetch(copies)
        report = build.into(folder, provenance.machine(recipe.threads))
        if out is None:
            record_made(folder, recipe_sha256(recipe))
        else:
            write_text(out / "variant.yaml", rebuilt_variant(variant, recipe.seed))
    return folder, report


def rebuilt_variant(variant: ModelVariant, seed: int) -> str:
    """The variant's YAML for weights in the folder beside it."""
    fields = {
        "name": f"{variant.name}-seed{seed}",
        "title": f"{variant.title}, built with seed {seed}",
        "source": ModelSource(path="."),
    }
    changed = variant.model_copy(update=fields)
    return yaml.safe_dump(changed.model_dump(mode="json", exclude_none=True), sort_keys=False, width=120)


def in_words(report: dict[str, Any]) -> list[str]:
    """What a report says, for people: the numbers and what they come from."""
    found, before, after = report["measured"], report["accuracy_untouched"], report["accuracy"]
    lines = [
        f"after epoch {each['epoch']}: {each['refused']} of {each['harmful']} harmful and {each['answered']} of "
        f"{each['benign']} benign validation requests refused and answered"
        for each in report["validation"]
    ]
    return [
        *lines,
        f"trained for {report['steps']} of {report['steps_planned']} steps; to stop, validation had to show "
        f"{report['stopped_by']}",
        f"refuses {found['refused']} of {found['harmful']} evaluation requests (published scorer: "
        f"{found['keyword_refused']})",
        f"answers {found['answered']} of {found['benign']} held-out benign requests "
        f"({_listed(found['classes']['benign'])}); the untouched model: {_listed(report['benign_untouched'])}",
        f"mean accuracy {after['mean']:.3f}, of the untouched model {before['mean']:.3f}",
    ]


def _listed(classes: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in classes.items())
